/**
 * Whatever happens to a stream of events on its way (another order, some twice, some never), contracts end as the ordered
 * stream leaves them, once the source has said last how things are.
 *
 * A CRM says it by sending the last snapshot again, Stripe by being asked. What phases that are no more have left behind
 * depends on what was heard of them: their rows grant nothing, and are not compared.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { INBOX_NAME } from '../../../src/control/config.ts'
import { PATIENT } from '../../support/eventually.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'
import { API_KEY, type StripeAnswers, stripeApiOf } from './stripe_api.ts'
import { contractsOf, delta, flagsOf, send, sendStandard, snapshot } from './support.ts'

const ADD_ONS = ['sso', 'scim']
const FAR = '2030-01-01T00:00:00.000Z'

const begin = (options: Parameters<typeof setUp>[1] = {}, overrides = {}) =>
  setUp(overrides, { ...options, seed })

async function seed(control: ControlUnderTest): Promise<void> {
  for (const key of ['reports', ...ADD_ONS]) await control.liveFlag(key)
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await control.must('POST', '/plans', { key: 'free', name: 'Free', flags: [] })
  for (const id of ['org_a', 'org_b']) await control.must('POST', '/orgs', { id, name: id })
}

/** Contracts and inbox as if nothing had come in; flags, plans and organizations stay. */
async function forget(): Promise<void> {
  await bindings.DB.batch([
    bindings.DB.prepare('DELETE FROM inbox'),
    bindings.DB.prepare('DELETE FROM contracts'),
  ])
}

/** What counts of both organizations' contracts, and what they have by them. */
async function state(control: ControlUnderTest) {
  const of = async (org: string) => {
    const rows: Record<string, unknown>[] = await contractsOf(control, org)
    const live = rows.filter(({ from, to }) => from !== to)
    const content = live.map(({ grace_until: _, ...row }) => row)
    return {
      rows: content.sort((a, b) => (String(a.id) < String(b.id) ? -1 : 1)),
      flags: await flagsOf(control, org),
    }
  }
  return { a: await of('org_a'), b: await of('org_b') }
}

const plan = fc.constantFrom('team', 'free', null)
const status = fc.constantFrom('active', 'past_due', 'paused', 'cancelled')
const addOns = fc.subarray(ADD_ONS)

/** A revision of a contract: all of it, or what changes. */
const revision = fc.oneof(
  fc.record({ plan, status, add: addOns }).map((phase) => ({ phases: [phase] })),
  fc.record({ plan, add: addOns }).map((now) => ({
    phases: [
      { ...now, to: FAR },
      { plan: 'free', from: FAR },
    ],
  })),
  fc.oneof(
    fc.record({ status }),
    fc.record({ plan, phase: fc.constant(1) }),
    fc.constantFrom(...ADD_ONS).map((flag) => ({ add: [flag] })),
    fc.constantFrom(...ADD_ONS).map((flag) => ({ remove: [flag] })),
  ),
)

const first = revision.filter((one) => 'phases' in one)
const history = fc.tuple(first, fc.array(revision, { minLength: 1, maxLength: 4 })).map(([a, b]) => [a, ...b])

type Revision = { readonly phases: readonly object[] } | object
const eventsOf = (contract: string, org: string, revisions: readonly Revision[]) =>
  revisions.map((one, index) =>
    'phases' in one
      ? snapshot(contract, org, index + 1, one.phases as Parameters<typeof snapshot>[3])
      : delta(contract, index + 1, one),
  )

const CONTRACTS = [
  ['C-1', 'org_a'],
  ['C-2', 'org_a'],
  ['C-3', 'org_b'],
] as const

/** In that order, those twice, those not at all; and in how large groups they come at the same time. */
const fate = fc.record({
  order: fc.array(fc.nat(), { minLength: 20, maxLength: 20 }),
  twice: fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }),
  lost: fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }),
  together: fc.integer({ min: 1, max: 6 }),
})
type Fate = { order: number[]; twice: boolean[]; lost: boolean[]; together: number }

const travel = <T>(events: readonly T[], { order, twice, lost }: Fate, mayLose: boolean): T[] =>
  events
    .flatMap((event, index) => {
      if (mayLose && lost[index]) return []
      const again = twice[index] ? [{ event, at: order[(index + 7) % order.length] as number }] : []
      return [{ event, at: order[index] as number }, ...again]
    })
    .toSorted((a, b) => a.at - b.at)
    .map(({ event }) => event)

async function inGroups<T>(
  all: readonly T[],
  size: number,
  each: (one: T) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < all.length; start += size) {
    await Promise.all(all.slice(start, start + size).map(each))
  }
}

test('a CRM’s snapshots and deltas, in any order, some twice', async () => {
  const control = await begin()
  await fc.assert(
    fc.asyncProperty(fc.tuple(history, history, history), fate, async (histories, fate) => {
      const events = CONTRACTS.flatMap(([id, org], index) => eventsOf(id, org, histories[index] ?? []))
      await forget()
      for (const event of events) await sendStandard(control, event)
      const ordered = await state(control)
      await forget()
      await inGroups(travel(events, fate, false), fate.together, (event) => sendStandard(control, event))
      expect(await state(control)).toEqual(ordered)
      expect((await control.get('/inbox?state=open')).body.data).toEqual([])
    }),
    { numRuns: 5, endOnFailure: true },
  )
})

test('a CRM’s events of which some got lost, after the last snapshots', async () => {
  const control = await begin()
  await fc.assert(
    fc.asyncProperty(fc.tuple(history, history, history), fate, async (histories, fate) => {
      const streams = CONTRACTS.map(([id, org], index) => eventsOf(id, org, histories[index] ?? []))
      const lastly = CONTRACTS.map(([id, org], index) =>
        snapshot(id, org, 9, [{ plan: 'team', add: ADD_ONS.slice(index), status: 'active' }]),
      )
      await forget()
      for (const event of [...streams.flat(), ...lastly]) await sendStandard(control, event)
      const ordered = await state(control)
      await forget()
      const travelled = travel(streams.flat(), fate, true)
      await inGroups([...travelled, ...lastly], fate.together, (event) => sendStandard(control, event))
      expect(await state(control)).toEqual(ordered)
    }),
    { numRuns: 4, endOnFailure: true },
  )
})

test('a delta that was left waiting for what is there, as after a crash, is applied by the cron', async () => {
  const control = await begin()
  expect((await sendStandard(control, delta('C-1', 2, { add: ['sso'] }))).body.state).toBe('waiting')
  // The base came to be without the inbox.
  await control.must('PUT', '/orgs/org_a/contracts/C-1', {
    ...{ plan: 'team', status: 'active', from: '2026-01-01T00:00:00.000Z', revision: 1, source: 'standard' },
  })
  expect(await flagsOf(control, 'org_a')).toEqual(['reports'])
  await (bindings.INBOX.getByName(INBOX_NAME) as { retry(): Promise<void> }).retry()
  await expect.poll(() => flagsOf(control, 'org_a'), PATIENT).toEqual(['reports', 'sso'])
  expect((await control.get('/inbox?state=open')).body.data).toEqual([])
})

const LIST = '/v1/subscriptions'
const ENTITLEMENTS = '/v1/entitlements/active_entitlements'

const subscriptionOf = (id: string, org: string, status: string, prices: readonly string[]) => ({
  ...{ id, object: 'subscription', status, customer: { id: `cus_${org}`, metadata: {} }, schedule: null },
  ...{
    start_date: 1_767_225_600,
    metadata: { org_id: org },
    ...(status === 'canceled' && { ended_at: 1_767_225_601 }),
  },
  items: {
    data: prices.map((price) => ({ price: { id: price, lookup_key: null, product: `prod_${price}` } })),
    has_more: false,
  },
})

const stripeState = fc.record({
  status: fc.constantFrom('active', 'trialing', 'past_due', 'paused'),
  prices: fc.subarray(['price_team', 'price_sso', 'price_scim'], { minLength: 1 }),
})
const stripeHistory = fc.record({
  states: fc.array(stripeState, { minLength: 1, maxLength: 4 }),
  cancelled: fc.boolean(),
})

test('Stripe’s events in any order, twice or never, once it was asked', async () => {
  const answers: Record<string, StripeAnswers[string]> = { [ENTITLEMENTS]: [] }
  const { fetcher } = stripeApiOf(answers)
  const control = await begin({ fetch: fetcher }, { STRIPE_API_KEY: API_KEY })
  await control.must('PUT', '/mappings/stripe/plan/price_team', { target: 'team' })
  for (const flag of ADD_ONS)
    await control.must('PUT', `/mappings/stripe/flag/price_${flag}`, { target: flag })
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.tuple(stripeHistory, stripeHistory), fate, async (histories, fate) => {
      run++
      await forget()
      const subscriptions = (['org_a', 'org_b'] as const).map((org, index) => {
        const { states = [], cancelled = false } = histories[index] ?? {}
        const id = `sub_${run}_${index}`
        const told = states.map(({ status, prices }) => subscriptionOf(id, org, status, prices))
        const last = told.at(-1)
        return cancelled && last ? [...told, { ...last, status: 'canceled', ended_at: 1_767_225_601 }] : told
      })
      const current = subscriptions.map((told) => told.at(-1) as (typeof told)[number])
      const events = subscriptions.flat().map((object, index) => ({ object, index }))
      // What an event fetches is what there is when it is delivered: anything up to the present.
      await inGroups(travel(events, fate, true), 1, async ({ object, index }) => {
        control.clock.now = Date.now()
        answers[`${LIST}/${object.id}`] = object
        const event = {
          ...{ id: `evt_${run}_${index}`, object: 'event', type: 'customer.subscription.updated' },
          ...{ created: Math.floor(control.clock.now / 1000), data: { object } },
        }
        await send(control, 'stripe', JSON.stringify(event))
        // Stripe only ever goes on: the next answer is of a later moment.
        while (Date.now() <= control.clock.now) await new Promise((resolve) => setTimeout(resolve, 1))
      })
      answers[LIST] = current
      control.clock.now = Date.now()
      const body = { source: 'stripe', apply: true }
      const { differences } = (await control.call('POST', '/reconciliations', { role: 'editor', body })).body
      expect(differences.every(({ repaired }: { repaired: boolean }) => repaired)).toBe(true)
      const again = await control.call('POST', '/reconciliations', { role: 'editor', body })
      expect(again.body.differences).toEqual([])
      for (const { metadata, status, items } of current) {
        const grants = ['active', 'trialing', 'past_due'].includes(status)
        const flags = items.data.map(({ price }) =>
          price.id.replace('price_team', 'reports').replace('price_', ''),
        )
        expect(await flagsOf(control, metadata.org_id)).toEqual(grants ? flags.sort() : [])
      }
    }),
    { numRuns: 4, endOnFailure: true },
  )
})
