/**
 * Whatever happens (events in any order, twice or never, organizations, plans and prices that come late, names that are
 * mapped to another organization, people who edit contracts meanwhile), in the end every organization has exactly what the
 * last word of each source gives, in every environment; and an end acts as soon as it is delivered.
 *
 * What a CRM lost on the way is found by the list of what it has; so is what Stripe's events do not tell.
 */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'
import {
  type Act,
  begin,
  crm,
  entitled,
  flagDeleted,
  has,
  mapped,
  organization,
  ruled,
  startOver,
  subscribed,
  subscriptionObject,
  tell,
} from './stories.ts'
import { snapshot } from './support.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
  await begin(control)
})

const RUNS = { numRuns: 8, endOnFailure: true }
const FLAGS: Record<string, readonly string[]> = {
  team: ['reports'],
  enterprise: ['reports', 'sso'],
  gold: ['scim'],
}
const GRANTING = ['active', 'trialing']
const gold: Act = { api: ['POST', '/plans', { key: 'gold', name: 'Gold', flags: ['scim'] }] }

/** A position for each act, so that they come in any order; whether it comes twice, and whether it is lost. */
const fate = fc.record({ at: fc.nat(1000), again: fc.option(fc.nat(1000), { freq: 3 }), lost: fc.boolean() })
type Fate = { at: number; again: number | null; lost: boolean }

interface Planned {
  readonly act: Act
  readonly fate: Fate
  /** Of a contract: its number, the event's revision, and whether it ends it. */
  readonly ends?: { readonly contract: string; readonly revision: number; readonly over: boolean }
}

/** In the order of their fates. */
function travel(planned: readonly Planned[]): Planned[] {
  return planned
    .flatMap((one) => [
      { one, at: one.fate.at },
      ...(one.fate.again === null ? [] : [{ one, at: one.fate.again }]),
    ])
    .toSorted((a, b) => a.at - b.at)
    .map(({ one }) => one)
}

/** Does it all; after an event that ends a contract, nothing of it grants. */
async function happen(acts: readonly Planned[]): Promise<void> {
  const latest = new Map<string, number>()
  for (const { act, ends } of acts) {
    await tell(control, [act])
    if (!ends || ends.revision < (latest.get(ends.contract) ?? 0)) continue
    latest.set(ends.contract, ends.revision)
    if (ends.over) expect(await granting(ends.contract), `${ends.contract} has ended`).toBe(0)
  }
}

const granting = async (contract: string): Promise<number> => {
  const statement = bindings.DB.prepare(
    `SELECT count(*) AS rows FROM contracts WHERE (id = ? OR id LIKE ? || '~%') AND status IN ('active', 'trialing', 'past_due')`,
  )
  return (await statement.bind(contract, contract).first<{ rows: number }>())?.rows ?? 0
}

const union = (all: readonly (readonly string[])[]) => [...new Set(all.flat())].sort().join(' ')

async function allHave(expected: (org: string) => string): Promise<void> {
  for (const org of ['org_a', 'org_b', 'org_late'])
    expect([org, await has(control, org)]).toEqual([org, expected(org)])
}

const reconciled = async (source: string, entries: readonly object[]) => {
  const body = { source, apply: true, list: { entries, last: true } }
  const answer = await control.call('POST', '/reconciliations', { role: 'editor', body })
  expect(answer.status).toBe(202)
  expect(answer.body.differences.every(({ repaired }: { repaired: boolean }) => repaired)).toBe(true)
}

describe('a CRM', () => {
  const word = fc.record({
    org: fc.constantFrom('org_a', 'org_b', 'acme', 'org_late'),
    plan: fc.constantFrom('team', 'enterprise', 'gold', null),
    add: fc.subarray(['sso', 'scim']),
    status: fc.constantFrom('active', 'active', 'trialing', 'paused', 'cancelled'),
  })
  type Word = { org: string; plan: string | null; add: string[]; status: string }
  const stream = fc.array(fc.tuple(word, fate), { minLength: 1, maxLength: 4 })
  const world = fc.record({
    first: fc.constantFrom('org_a', 'org_b'),
    last: fc.constantFrom('org_a', 'org_b'),
    fates: fc.array(fate, { minLength: 6, maxLength: 6 }),
  })

  test('says last what everybody has, whatever came of what it said before', async () => {
    await fc.assert(
      fc.asyncProperty(fc.tuple(stream, stream, stream), world, async (streams, { first, last, fates }) => {
        await startOver()
        const planned = streams.flatMap((events, index) =>
          events.flatMap(([said, own], position): Planned[] => {
            const [contract, revision] = [`C-${index}`, position + 1]
            const over = !GRANTING.includes(said.status)
            const act = crm(snapshot(contract, said.org, revision, [said]))
            return own.lost ? [] : [{ act, fate: own, ends: { contract, revision, over } }]
          }),
        )
        const late = [mapped('standard/org/acme', first), organization('org_late'), gold, 'cron'] as const
        const meanwhile = late.map(
          (act, index): Planned => ({ act, fate: { ...(fates[index] as Fate), again: null } }),
        )
        await happen(travel([...planned, ...meanwhile]))
        await people()
        await tell(control, [mapped('standard/org/acme', last), 'cron'])
        const lastly = streams.map((events) => events.at(-1)?.[0] as Word)
        const entries = lastly.map(
          (said, index) => snapshot(`C-${index}`, said.org, streams[index]?.length ?? 0, [said]).data,
        )
        await reconciled('standard', entries)
        await tell(control, ['cron'])
        const orgOf = ({ org }: Word) => (org === 'acme' ? last : org)
        await allHave((org) =>
          union(
            lastly
              .filter((said) => orgOf(said) === org && GRANTING.includes(said.status))
              .map(({ plan, add }) => [...(plan === null ? [] : (FLAGS[plan] ?? [])), ...add]),
          ),
        )
        expect((await control.get('/audit/verify')).body.intact).toBe(true)
      }),
      RUNS,
    )
  })

  /** Somebody sets every contract to something else. */
  async function people(): Promise<void> {
    for (const org of ['org_a', 'org_b']) {
      for (const { id, revision, source } of (await control.get(`/orgs/${org}`)).body.contracts) {
        const body = { plan: 'enterprise', status: 'active', from: '2026-01-01T00:00:00.000Z' }
        await control.must('PUT', `/orgs/${org}/contracts/${id}`, { ...body, source, revision: revision + 1 })
      }
    }
  }

  test('a contract is on no list: it has ended', async () => {
    await fc.assert(
      fc.asyncProperty(fc.tuple(stream, stream), async (streams) => {
        await startOver()
        await tell(control, [mapped('standard/org/acme', 'org_a'), organization('org_late'), gold])
        const events = streams.flatMap((words, index) =>
          words.map(([said], position) => crm(snapshot(`C-${index}`, said.org, position + 1, [said]))),
        )
        await tell(control, events)
        await reconciled('standard', [])
        await allHave(() => '')
        // Also where it is derived again.
        for (const index of streams.keys()) {
          await control.call('POST', `/contracts/C-${index}/derive`, { body: { reason: 'a test' } })
        }
        await allHave(() => '')
      }),
      RUNS,
    )
  })
})

describe('Stripe', () => {
  const PRICES: Record<string, readonly string[]> = {
    ...{ price_team: ['reports'], price_ent: ['reports', 'sso'], price_late: ['scim'] },
  }
  const state = fc.record({
    status: fc.constantFrom('active', 'trialing', 'paused', 'unpaid'),
    prices: fc.subarray(Object.keys(PRICES), { minLength: 1 }),
    named: fc.constantFrom('org_a', 'org_b'),
  })
  const stream = fc.record({
    states: fc.array(fc.tuple(state, fate), { minLength: 1, maxLength: 4 }),
    cancelled: fc.boolean(),
    names: fc.boolean(),
  })
  const customers = fc.record({
    first: fc.constantFrom('org_a', 'org_b'),
    last: fc.constantFrom('org_a', 'org_b'),
    entitlements: fc.array(fc.tuple(fc.subarray(['sso', 'scim']), fate), { minLength: 1, maxLength: 3 }),
    fates: fc.array(fate, { minLength: 4, maxLength: 4 }),
  })

  test('says last what everybody has, with its customers’ entitlements', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(stream, stream),
        customers,
        async (streams, { first, last, entitlements, fates }) => {
          await startOver()
          const start = Math.floor(Date.now() / 1000) - 1000
          const subscriptions = streams.map(({ states, cancelled, names }, index) => {
            const told = states.map(([one, own]) => ({ ...one, fate: own }))
            const final = told.at(-1) as (typeof told)[number]
            const all = cancelled ? [...told, { ...final, status: 'canceled' }] : told
            const optionsOf = ({ status, prices, named }: (typeof all)[number]) => ({
              ...{ status, prices, customer: `cus_${index}`, metadata: names ? { org_id: named } : {} },
            })
            return { id: `sub_${index}`, all, optionsOf, names }
          })
          const events = subscriptions.flatMap(({ id, all, optionsOf }) =>
            all.flatMap((one, position): Planned[] => {
              const over = !GRANTING.includes(one.status)
              const act = subscribed(id, { ...optionsOf(one), at: start + position * 10 })
              const revision = one.status === 'canceled' ? 1000 : position + 1
              return one.fate.lost ? [] : [{ act, fate: one.fate, ends: { contract: id, revision, over } }]
            }),
          )
          const features = entitlements.map(
            ([flags, own], position): Planned => ({
              ...{ act: entitled('cus_0', flags, start + position * 10), fate: own },
            }),
          )
          const late = [
            mapped('stripe/org/cus_0', first),
            mapped('stripe/flag/price_late', 'scim'),
            'cron',
          ] as const
          const meanwhile = late.map(
            (act, index): Planned => ({ act, fate: { ...(fates[index] as Fate), again: null } }),
          )
          await happen(travel([...events, ...features, ...meanwhile]))
          await tell(control, [organization('org_late'), mapped('stripe/org/cus_1', 'org_b')])
          await tell(control, [mapped('stripe/org/cus_0', last), 'cron'])
          const lastly = subscriptions.map(({ all, optionsOf, id }) =>
            subscriptionObject(id, optionsOf(all.at(-1) as never)),
          )
          await reconciled('stripe', lastly)
          await tell(control, ['cron'])
          const payer = ['cus_0', 'cus_1'].map((_, index) => (index === 0 ? last : 'org_b'))
          const given = subscriptions.map(({ all, names }, index) => {
            const { status, prices, named } = all.at(-1) as (typeof all)[number]
            const flags = GRANTING.includes(status) ? prices.flatMap((price) => PRICES[price] ?? []) : []
            return { org: names ? named : payer[index], flags, status }
          })
          const [firstGiven] = given
          const own = GRANTING.includes(firstGiven?.status ?? '') ? (entitlements.at(-1)?.[0] ?? []) : []
          await allHave((org) =>
            union([
              ...given.filter((one) => one.org === org).map(({ flags }) => flags),
              org === last ? own : [],
            ]),
          )
        },
      ),
      RUNS,
    )
  })
})

test('WorkOS says last who a flag is on for, whatever was deleted and made again under its name', async () => {
  const rule = fc.record({
    deleted: fc.boolean(),
    organizations: fc.subarray(['org_a', 'org_b']),
    access: fc.constantFrom('some', 'none'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(rule, fate), { minLength: 1, maxLength: 6 }), async (history) => {
      await startOver()
      let made = 1
      const planned = history.map(([{ deleted, organizations, access }, own], index): Planned => {
        const at = `2026-11-22T${String(10 + index)}:00:00.000Z`
        const id = `flag_${made}`
        if (deleted) made++
        const act = deleted ? flagDeleted(at, id) : ruled(at, { id, organizations, access })
        return { act, fate: own }
      })
      await happen(travel(planned))
      const [last] = history.at(-1) as (typeof history)[number]
      for (const org of ['org_a', 'org_b']) {
        const { body } = await control.get(`/orgs/${org}/entitlements?environment=production`)
        const on = body.flags.some((one: { on: boolean; flag: string }) => one.on && one.flag === 'scim')
        expect([org, on]).toEqual([
          org,
          !last.deleted && last.access === 'some' && last.organizations.includes(org),
        ])
      }
    }),
    { numRuns: 20, endOnFailure: true },
  )
})
