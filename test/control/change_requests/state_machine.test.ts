/**
 * Any sequence of calls, by anybody: nothing changes what customers can do in production unless as many people besides the
 * author as the policy then asked for have approved exactly that; a kill and break-glass apart.
 *
 * A model tracks what was approved. It knows only the calls and their responses, never the control plane's state.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

const ACTORS = ['editor', 'approver', 'admin', 'break-glass', 'viewer'] as const
type ActorName = (typeof ACTORS)[number]

type Step =
  | { readonly kind: 'write'; readonly by: ActorName; readonly write: number; readonly org: number }
  | {
      readonly kind: 'ask' | 'edit'
      readonly by: ActorName
      readonly which: number
      readonly items: readonly number[]
      readonly draft: boolean
    }
  | {
      readonly kind: 'verb'
      readonly by: ActorName
      readonly which: number
      readonly verb: string
      readonly forge: boolean
    }
  | { readonly kind: 'policy'; readonly by: ActorName; readonly approvals: number }
  | { readonly kind: 'glass'; readonly by: ActorName; readonly org: number }

/** Mostly the right people, sometimes anybody. */
const mostly = (name: ActorName) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(name) }, { weight: 1, arbitrary: fc.constantFrom(...ACTORS) })
const by = mostly('editor')
/** Mostly the latest request. */
const which = fc.constantFrom(0, 0, 0, 1, 2)
const WOULD: Record<string, ActorName> = { approve: 'approver', reject: 'approver', review: 'approver' }
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      by,
      write: fc.nat({ max: 5 }),
      org: fc.nat({ max: 1 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ kind: fc.constantFrom('ask' as const, 'edit' as const, 'edit' as const), by, which },
      items: fc.uniqueArray(fc.nat({ max: 5 }), { minLength: 1, maxLength: 3 }),
      draft: fc.constantFrom(false, false, false, false, true),
    }),
  },
  {
    weight: 12,
    arbitrary: fc
      .constantFrom(
        'approve',
        'approve',
        'approve',
        'apply',
        'apply',
        'apply',
        'submit',
        'reject',
        'cancel',
        'review',
      )
      .chain((verb) =>
        fc.record({
          ...{ kind: fc.constant('verb' as const), by: mostly(WOULD[verb] ?? 'editor'), which },
          verb: fc.constant(verb),
          forge: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
        }),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('glass' as const),
      by: mostly('break-glass'),
      org: fc.nat({ max: 1 }),
    }),
  },
)

/** What the model knows about a request: its author, its content, and who has approved that since its last change. */
interface Known {
  readonly author: string
  agreed: Map<string, string>
  content: string
}

const contentOf = ({ rows, effect, items }: Record<string, { changes?: unknown }>) =>
  JSON.stringify([items, rows, effect?.changes])

/** All rows in D1 that decide about production. */
async function production(): Promise<string> {
  const tables = await bindings.DB.batch([
    bindings.DB.prepare(
      "SELECT flag, access, percentage, killed FROM rules WHERE environment = 'production' ORDER BY flag",
    ),
    bindings.DB.prepare(
      'SELECT id, flag, subject_id, effect, "to" FROM grants WHERE environment = \'production\' ORDER BY id',
    ),
    bindings.DB.prepare('SELECT id, plan, status, "add" FROM contracts ORDER BY id'),
    bindings.DB.prepare('SELECT key, flags, grace_days FROM plans ORDER BY key'),
    bindings.DB.prepare('SELECT key, state FROM flags ORDER BY key'),
    bindings.DB.prepare(
      "SELECT approvals, owner_approves, exclusive FROM policies WHERE environment = 'production'",
    ),
  ])
  return JSON.stringify(tables.map(({ results }) => results))
}

async function asked(control: ControlUnderTest, write: number, org: number) {
  const subject = { kind: 'org', id: `org_${org}` }
  const to = control.in(30)
  const inputs = [
    ['rule.set', { flag: 'a', environment: 'production', access: 'all', percentage: null }],
    ['rule.set', { flag: 'a', environment: 'production', access: 'some', percentage: 50 }],
    ['rule.revive', { flag: 'a', environment: 'production' }],
    ['grant.create', { environment: 'production', subject, flag: 'b', source: 'support', to }],
    ['plan.update', { plan: 'team', flags: ['a', 'b'] }],
    [
      'contract.put',
      {
        ...{ org: `org_${org}`, contract: `C-${org}`, plan: 'team', status: 'active', add: [] },
        ...{ from: '2026-01-01T00:00:00.000Z', revision: Math.floor(control.clock.now / 1000) },
      },
    ],
  ] as const
  const [action, input] = inputs[write] ?? inputs[0]
  return { action, input }
}

/** The route that applies an item at once. */
async function direct(control: ControlUnderTest, role: ActorName, write: number, org: number) {
  const { action, input } = await asked(control, write, org)
  const { flag, plan, org: owner, contract, environment: _, ...rest } = input as Record<string, string>
  const reason = { reason: 'any' }
  const revision = async (path: string) => (await control.get(path)).body.revision
  switch (action) {
    case 'rule.set': {
      const path = `/flags/${flag}/rules/production`
      return control.call('PUT', path, { role, body: { ...rest, ...reason }, ifMatch: await revision(path) })
    }
    case 'rule.revive':
      return control.call('POST', `/flags/${flag}/rules/production/revive`, { role, body: reason })
    case 'grant.create':
      return control.call('POST', '/grants', { role, body: { ...input, ...reason } })
    case 'plan.update': {
      const path = `/plans/${plan}`
      return control.call('PATCH', path, {
        role,
        body: { ...rest, ...reason },
        ifMatch: await revision(path),
      })
    }
    default:
      return control.call('PUT', `/orgs/${owner}/contracts/${contract}`, {
        role,
        body: { ...rest, plan, ...reason },
      })
  }
}

async function seed(control: ControlUnderTest): Promise<void> {
  await control.must('POST', '/plans', { key: 'team', name: 'Team' })
  for (const key of ['a', 'b']) await control.liveFlag(key)
  for (const id of ['org_0', 'org_1']) await control.must('POST', '/orgs', { id, name: id })
  await control.must('POST', '/flags/a/rules/production/kill', {})
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}

test('no sequence of calls by any roles changes production without the approvals that its policy asks for, to exactly what was approved', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 12, maxLength: 30 }), async (steps) => {
      const control = await setUp({}, { seed })
      const known = new Map<string, Known>()
      const pick = (n: number) => [...known.keys()].at(-1 - (n % Math.max(1, known.size)))

      for (const one of steps) {
        control.clock.now += 1000
        const before = await production()
        const policy = (await control.get('/policies')).body.data[1].approvals as number
        const { answer, id } = await take(one)
        const { data } = answer.body ?? {}
        const changed = (await production()) !== before

        // The model learns from responses alone.
        const isOpened = answer.status < 300 && typeof data?.id === 'string' && data.id.startsWith('change_')
        if (isOpened && !known.has(data.id) && data.kind === 'change') {
          known.set(data.id, { author: `user:${one.by}`, agreed: new Map(), content: contentOf(data) })
        }
        const of = id === undefined ? undefined : known.get(id)
        if (of && answer.status < 300 && one.kind === 'edit') {
          Object.assign(of, { agreed: new Map(), content: contentOf(data) })
        }
        if (of && answer.status < 300 && one.kind === 'verb') {
          if (one.verb === 'submit') Object.assign(of, { agreed: new Map(), content: contentOf(data) })
          if (one.verb === 'approve') of.agreed.set(`user:${one.by}`, contentOf(data))
        }

        if (!changed) continue
        const glass = one.kind === 'glass' && one.by === 'break-glass'
        if (glass) continue
        if (policy === 0 && one.kind !== 'verb') continue
        expect(one).toMatchObject({ kind: 'verb', verb: 'apply' })
        expect(of).toBeDefined()
        if (!of) continue
        const others = [...of.agreed].filter(
          ([who, content]) => who !== of.author && content === contentOf(data),
        )
        expect(others.length).toBeGreaterThanOrEqual(policy)
        expect(others.every(([who]) => ['user:approver', 'user:admin'].includes(who))).toBe(true)
        if (policy > 0) expect(contentOf(data)).toBe(of.content)
        expect(answer.body.effect.changes).toEqual(data.effect.changes)
      }
      expect((await control.get('/audit/verify')).body.intact).toBe(true)

      async function take(one: Step) {
        switch (one.kind) {
          case 'write':
            return { answer: await direct(control, one.by, one.write, one.org), id: undefined }
          case 'ask':
          case 'edit': {
            const items = await Promise.all(one.items.map((n) => asked(control, n, one.which % 2)))
            const body = { items, reason: 'any' }
            const id = one.kind === 'edit' ? pick(one.which) : undefined
            if (id === undefined) {
              const answer = await control.call('POST', '/changes', {
                role: one.by,
                body: { ...body, draft: one.draft },
              })
              return { answer, id }
            }
            const { revision } = (await control.get(`/changes/${id}`)).body
            return {
              answer: await control.call('PATCH', `/changes/${id}`, {
                role: one.by,
                body,
                ifMatch: revision,
              }),
              id,
            }
          }
          case 'verb': {
            const id = pick(one.which) ?? 'change_none'
            const { digest } = (await control.get(`/changes/${id}`)).body
            const sent = one.forge || digest === undefined ? 'f'.repeat(64) : digest
            const body = { reason: 'any', ...(one.verb === 'approve' && { digest: sent }) }
            return {
              answer: await control.call('POST', `/changes/${id}/${one.verb}`, { role: one.by, body }),
              id,
            }
          }
          case 'policy': {
            const { revision } = (await control.get('/policies')).body.data[1]
            const body = { approvals: one.approvals, reason: 'any' }
            const answer = await control.call('PUT', '/policies/production', {
              role: one.by,
              body,
              ifMatch: revision,
            })
            return { answer, id: undefined }
          }
          case 'glass': {
            const body = {
              ...{ environment: 'production', subject: { kind: 'org', id: `org_${one.org}` }, flag: 'b' },
              ...{ reason: 'any', ticket: 'INC-1', minutes: 5 },
            }
            return {
              answer: await control.call('POST', '/break-glass', { role: one.by, body }),
              id: undefined,
            }
          }
        }
      }
    }),
    // A failure is shown as it came: making it smaller would take longer than finding it.
    { numRuns: 15, endOnFailure: true },
  )
}, 180_000)
