/**
 * Any sequence of calls, by anybody: nothing changes what customers can do in production unless as many people besides the
 * author as the policy then asked for have approved exactly that; a kill and break-glass apart.
 *
 * A model tracks what was approved. It knows only the calls and their responses, never the control plane's state.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Role } from '../../../src/control/roles.ts'
import {
  type Answer,
  bindings,
  type ControlUnderTest,
  type RequestOptions,
  setUp,
} from '../support/control.ts'
import { CI_AUDIENCE } from '../support/operators.ts'

const PEOPLE = ['editor', 'approver', 'admin', 'break-glass', 'viewer', 'EDITOR', 'ben'] as const
const KEYS = ['key:editor', 'key:ci', 'key:approver', 'ci:approver', 'ci:unknown'] as const
const ACTORS = [...PEOPLE, ...KEYS]
type ActorName = (typeof ACTORS)[number]

/** Everybody behind an actor, as the model knows it: the owner of a key, the admin who made it, who started the pipeline. */
const BEHIND: Record<ActorName, readonly string[]> = {
  ...{ editor: ['editor'], approver: ['approver'], admin: ['admin'], 'break-glass': ['break-glass'] },
  ...{ viewer: ['viewer'], EDITOR: ['editor'], ben: ['ben'] },
  ...{ 'key:editor': ['editor', 'admin'], 'key:ci': ['admin'], 'key:approver': ['ben', 'admin'] },
  ...{ 'ci:approver': ['admin', 'approver'], 'ci:unknown': ['admin'] },
}
const isKey = (name: ActorName): boolean => name.includes(':')
/** The key that an actor of a pipeline uses. */
const keyOf = (name: ActorName): string => (name.startsWith('ci:') ? 'key:ci' : name)

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
  | { readonly kind: 'end'; readonly by: ActorName; readonly who: ActorName }
  | { readonly kind: 'glass'; readonly by: ActorName; readonly org: number }

/** Mostly the right people, sometimes anybody. */
const mostly = (name: ActorName) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(name) }, { weight: 1, arbitrary: fc.constantFrom(...ACTORS) })
const by = fc.oneof(
  { weight: 1, arbitrary: mostly('editor') },
  { weight: 2, arbitrary: fc.constantFrom(...KEYS) },
)
/** Mostly the latest request. */
const which = fc.constantFrom(0, 0, 0, 1, 2)
const reviewer = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom<ActorName>('approver', 'approver', 'EDITOR', 'ben', 'key:approver'),
  },
  { weight: 1, arbitrary: fc.constantFrom(...ACTORS) },
)
const REVIEWS = ['approve', 'reject', 'review']
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
          ...{
            kind: fc.constant('verb' as const),
            by: REVIEWS.includes(verb) ? reviewer : mostly('editor'),
            which,
          },
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
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      by: fc.constant('admin' as const),
      who: fc.constantFrom('editor' as const, 'approver' as const, 'key:editor' as const, 'key:ci' as const),
    }),
  },
)

/** A request that is approved, with something that may end in between, and applied. */
const story: fc.Arbitrary<Step[]> = fc
  .record({
    by: fc.constantFrom<ActorName>('editor', ...KEYS),
    item: fc.nat({ max: 5 }),
    first: reviewer,
    second: fc.option(reviewer),
    end: fc.option(fc.constantFrom<ActorName>('editor', 'approver', 'key:editor', 'key:ci')),
  })
  .map(({ by, item, first, second, end }) => {
    const verb = (verb: string, by: ActorName) => ({
      kind: 'verb' as const,
      by,
      which: 0,
      verb,
      forge: false,
    })
    return [
      { kind: 'ask' as const, by, which: 0, items: [item], draft: false },
      ...(second ? [verb('approve', second)] : []),
      verb('approve', first),
      ...(end ? [{ kind: 'end' as const, by: 'admin' as const, who: end }] : []),
      verb('apply', 'admin'),
    ]
  })
const sequence = fc
  .array(fc.oneof({ weight: 6, arbitrary: step.map((one) => [one]) }, { weight: 1, arbitrary: story }), {
    minLength: 10,
    maxLength: 25,
  })
  .map((parts) => parts.flat())

/** What the model knows about a request: its author, its content, and who has approved that since its last change. */
interface Known {
  readonly authors: Set<string>
  /** Whose credentials vouch for it. */
  by: ActorName
  agreed: Map<ActorName, string>
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
async function direct(control: ControlUnderTest, as: Send, by: ActorName, write: number, org: number) {
  const { action, input } = await asked(control, write, org)
  const { flag, plan, org: owner, contract, environment: _, ...rest } = input as Record<string, string>
  const reason = { reason: 'any' }
  const revision = async (path: string) => (await control.get(path)).body.revision
  switch (action) {
    case 'rule.set': {
      const path = `/flags/${flag}/rules/production`
      return as(by, 'PUT', path, { body: { ...rest, ...reason }, ifMatch: await revision(path) })
    }
    case 'rule.revive':
      return as(by, 'POST', `/flags/${flag}/rules/production/revive`, { body: reason })
    case 'grant.create':
      return as(by, 'POST', '/grants', { body: { ...input, ...reason } })
    case 'plan.update': {
      const path = `/plans/${plan}`
      return as(by, 'PATCH', path, {
        body: { ...rest, ...reason },
        ifMatch: await revision(path),
      })
    }
    default:
      return as(by, 'PUT', `/orgs/${owner}/contracts/${contract}`, {
        body: { ...rest, plan, ...reason },
      })
  }
}

type Send = (by: ActorName, method: string, path: string, options?: RequestOptions) => Promise<Answer>

const vouched = (of: Known, by: ActorName, data: Parameters<typeof contentOf>[0]) => {
  for (const person of BEHIND[by]) of.authors.add(person)
  Object.assign(of, { by, agreed: new Map(), content: contentOf(data) })
}

const CI = { CI_PROVIDER: 'github', CI_AUDIENCE, CI_PROJECTS: 'acme/flags' }
/** Short enough to end in the middle of a sequence. */
const CI_KEY_MS = 15_000

/** Made by the admin: of a person, of a system, and one that could approve under an earlier version. */
async function makeKeys(control: ControlUnderTest) {
  const secrets: Record<string, string> = {}
  const ids: Record<string, string> = {}
  const ciEndsAt = control.clock.now + CI_KEY_MS
  for (const [name, owner, endsAt] of [
    ['key:editor', 'user:editor', control.clock.now + 86_400_000],
    ['key:ci', 'system:ci', ciEndsAt],
    ['key:approver', 'user:ben', control.clock.now + 86_400_000],
  ] as const) {
    const body = { name, owner, role: 'editor', ends_at: new Date(endsAt).toISOString() }
    const { data, secret } = await control.must('POST', '/api-keys', body)
    secrets[name] = secret
    ids[name] = data.id
  }
  await bindings.DB.prepare("UPDATE api_keys SET role = 'approver' WHERE id = ?")
    .bind(ids['key:approver'])
    .run()
  await control.must('PUT', '/people/user:approver', { identities: ['github:octocat'] }, 0)
  return { secrets, ids, ciEndsAt }
}

const ROLE_OF: Partial<Record<ActorName, Role>> = { EDITOR: 'approver', ben: 'approver' }

async function credentials(
  { operators, clock }: ControlUnderTest,
  { secrets }: Awaited<ReturnType<typeof makeKeys>>,
  by: ActorName,
): Promise<Record<string, string>> {
  if (!isKey(by)) {
    const token = await operators.token({ roles: [ROLE_OF[by] ?? by], sub: by }, clock.now)
    return { authorization: `Bearer ${token}` }
  }
  const key = { authorization: `Bearer ${secrets[keyOf(by)]}` }
  if (!by.startsWith('ci:')) return key
  const actor = by === 'ci:approver' ? 'octocat' : 'hubot'
  return { ...key, 'remint-on-behalf-of': await operators.ciToken({ claims: { actor } }, clock.now) }
}

async function seed(control: ControlUnderTest): Promise<void> {
  await control.must('POST', '/plans', { key: 'team', name: 'Team' })
  for (const key of ['a', 'b']) await control.liveFlag(key)
  for (const id of ['org_0', 'org_1']) await control.must('POST', '/orgs', { id, name: id })
  await control.must('POST', '/flags/a/rules/production/kill', {})
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}

test('no sequence of calls by people and keys, some of which end on the way, changes production without the approvals that its policy asks for, to exactly what was approved', async () => {
  await fc.assert(
    fc.asyncProperty(sequence, async (steps) => {
      const control = await setUp(CI, { seed })
      const known = new Map<string, Known>()
      const pick = (n: number) => [...known.keys()].at(-1 - (n % Math.max(1, known.size)))
      const keys = await makeKeys(control)
      const ended = new Set<string>()
      const as: Send = async (by, method, path, options = {}) =>
        control.call(method, path, { role: null, headers: await credentials(control, keys, by), ...options })

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
          const authors = new Set(BEHIND[one.by])
          known.set(data.id, { authors, by: one.by, agreed: new Map(), content: contentOf(data) })
        }
        const of = id === undefined ? undefined : known.get(id)
        if (of && answer.status < 300 && one.kind === 'edit') {
          vouched(of, one.by, data)
        }
        if (of && answer.status < 300 && one.kind === 'verb') {
          if (one.verb === 'submit') vouched(of, one.by, data)
          if (one.verb === 'approve') of.agreed.set(one.by, contentOf(data))
        }
        if (one.kind === 'end' && answer.status < 300) ended.add(one.who)
        if (control.clock.now >= keys.ciEndsAt) ended.add('key:ci')

        if (!changed) continue
        const glass = one.kind === 'glass' && one.by === 'break-glass'
        if (glass) continue
        if (policy === 0 && one.kind !== 'verb') continue
        expect(one).toMatchObject({ kind: 'verb', verb: 'apply' })
        expect(of).toBeDefined()
        if (!of) continue
        const others = [...of.agreed].filter(
          ([who, content]) =>
            !isKey(who) &&
            content === contentOf(data) &&
            BEHIND[who].every((person) => !of.authors.has(person) && !ended.has(person)),
        )
        const people = new Set(others.flatMap(([who]) => BEHIND[who]))
        // One of those who approved may be the one that nobody knows.
        const needed = policy > 0 && of.by === 'ci:unknown' ? policy + 1 : policy
        expect(people.size).toBeGreaterThanOrEqual(needed)
        expect(others.every(([who]) => ['approver', 'admin', 'EDITOR', 'ben'].includes(who))).toBe(true)
        // Nothing is done any more that a key requested which has ended, or a person who has left.
        expect([...ended]).not.toContain(isKey(of.by) ? keyOf(of.by) : BEHIND[of.by][0])
        if (of.by === 'key:editor') expect([...ended]).not.toContain('editor')
        if (of.by === 'ci:approver') expect([...ended]).not.toContain('approver')
        if (policy > 0) expect(contentOf(data)).toBe(of.content)
        expect(answer.body.effect.changes).toEqual(data.effect.changes)
      }
      expect((await control.get('/audit/verify')).body.intact).toBe(true)

      async function take(one: Step) {
        switch (one.kind) {
          case 'write':
            return { answer: await direct(control, as, one.by, one.write, one.org), id: undefined }
          case 'ask':
          case 'edit': {
            const items = await Promise.all(one.items.map((n) => asked(control, n, one.which % 2)))
            const body = { items, reason: 'any' }
            const id = one.kind === 'edit' ? pick(one.which) : undefined
            if (id === undefined) {
              const answer = await as(one.by, 'POST', '/changes', { body: { ...body, draft: one.draft } })
              return { answer, id }
            }
            const { revision } = (await control.get(`/changes/${id}`)).body
            return {
              answer: await as(one.by, 'PATCH', `/changes/${id}`, { body, ifMatch: revision }),
              id,
            }
          }
          case 'verb': {
            const id = pick(one.which) ?? 'change_none'
            const { digest } = (await control.get(`/changes/${id}`)).body
            const sent = one.forge || digest === undefined ? 'f'.repeat(64) : digest
            const body = { reason: 'any', ...(one.verb === 'approve' && { digest: sent }) }
            return {
              answer: await as(one.by, 'POST', `/changes/${id}/${one.verb}`, { body }),
              id,
            }
          }
          case 'end': {
            const path = isKey(one.who)
              ? `/api-keys/${keys.ids[one.who]}/revoke`
              : `/people/user:${one.who}/leave`
            return { answer: await as(one.by, 'POST', path, { body: { reason: 'any' } }), id: undefined }
          }
          case 'glass': {
            const body = {
              ...{ environment: 'production', subject: { kind: 'org', id: `org_${one.org}` }, flag: 'b' },
              ...{ reason: 'any', ticket: 'INC-1', minutes: 5 },
            }
            return {
              answer: await as(one.by, 'POST', '/break-glass', { body }),
              id: undefined,
            }
          }
        }
      }
    }),
    // A failure is shown as it came: making it smaller would take longer than finding it.
    { numRuns: 40, endOnFailure: true },
  )
}, 180_000)
