/** What Stripe's events mean, each of them: from the event alone, and with the API. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FINAL } from '../../../../src/control/contract_sync/events.ts'
import { subscriptionRevision } from '../../../../src/control/contract_sync/sources/stripe/order.ts'
import { stripeSource } from '../../../../src/control/contract_sync/sources/stripe/source.ts'
import { NOW, parsed, SECRET } from '../deliveries.ts'
import apiEntitlements from '../fixtures/stripe/api.active_entitlements.json' with { type: 'json' }
import apiSubscription from '../fixtures/stripe/api.subscription.json' with { type: 'json' }
import checkout from '../fixtures/stripe/checkout.session.completed.json' with { type: 'json' }
import created from '../fixtures/stripe/customer.subscription.created.json' with { type: 'json' }
import deleted from '../fixtures/stripe/customer.subscription.deleted.json' with { type: 'json' }
import paused from '../fixtures/stripe/customer.subscription.paused.json' with { type: 'json' }
import applied from '../fixtures/stripe/customer.subscription.pending_update_applied.json' with {
  type: 'json',
}
import expired from '../fixtures/stripe/customer.subscription.pending_update_expired.json' with {
  type: 'json',
}
import resumed from '../fixtures/stripe/customer.subscription.resumed.json' with { type: 'json' }
import trialEnds from '../fixtures/stripe/customer.subscription.trial_will_end.json' with { type: 'json' }
import updated from '../fixtures/stripe/customer.subscription.updated.json' with { type: 'json' }
import summary from '../fixtures/stripe/entitlements.active_entitlement_summary.updated.json' with {
  type: 'json',
}
import scheduled from '../fixtures/stripe/subscription_schedule.updated.json' with { type: 'json' }
import { API_KEY, type StripeAnswers, stripeApiOf } from '../stripe_api.ts'

const API = 'https://api.stripe.com'
const SUBSCRIPTION = '/v1/subscriptions/sub_1SVbAcme000000000000001'
const ENTITLEMENTS = '/v1/entitlements/active_entitlements'
const CUSTOMER_PATH = '/v1/customers/cus_TSbAcme0000001'
const CUSTOMER_OBJECT = { id: 'cus_TSbAcme0000001', object: 'customer', metadata: {} }

const alone = stripeSource({ secrets: [SECRET], apiKey: undefined, apiBase: API, testMode: true }, () => {
  throw new Error('nothing is to be fetched')
})

function withApi(answers: StripeAnswers, apiKey = API_KEY, apiBase = API) {
  const { fetcher, asked } = stripeApiOf(answers)
  return { source: stripeSource({ secrets: [SECRET], apiKey, apiBase, testMode: true }, fetcher), asked }
}

const ENTERPRISE = {
  kind: 'price',
  candidates: ['price_1SVaEnterprise0000000001', 'enterprise_monthly', 'prod_TSaEnterprise01'],
}
const SCIM = { kind: 'price', candidates: ['price_1SVaScim00000000000001', 'prod_TSaScim00000001'] }
const TEAM = {
  kind: 'price',
  candidates: ['price_1SVaTeam00000000000001', 'team_monthly', 'prod_TSaTeam00000001'],
}
const FROM = '2026-11-22T09:00:00.000Z'
const END = '2026-12-22T09:00:00.000Z'
const CUSTOMER = { kind: 'org', candidates: ['sub_1SVbAcme000000000000001', 'cus_TSbAcme0000001'] }
const phase = { status: 'active', from: FROM, to: null, items: [ENTERPRISE, SCIM] }

const snapshot = (revision: number, phases: object[], org: object = CUSTOMER) => ({
  ok: true,
  value: [
    {
      ...{ type: 'contract.snapshot', source: 'stripe', system: null },
      ...{ contract: 'sub_1SVbAcme000000000000001', revision, org, customer: 'cus_TSbAcme0000001' },
      phases,
    },
  ],
})

interface SubscriptionEvent {
  readonly type: string
  readonly created: number
  readonly data: { readonly object: typeof created.data.object }
}

const changed = (event: unknown, object: object, members: object = {}) => {
  const base = event as SubscriptionEvent
  return { ...base, ...members, data: { object: { ...base.data.object, ...object } } }
}

describe('an event alone', () => {
  test.each([
    ['created, not paid yet', created, NOW, { status: 'unpaid' }],
    [
      'cancelled at the end of the period: still active, its end known',
      updated,
      NOW + 3_600_000 + 102,
      { to: END },
    ],
    [
      'trial over without a card',
      paused,
      NOW + 10_000 + 105,
      { status: 'paused', from: '2026-11-08T09:00:00.000Z' },
    ],
    ['resumed', resumed, NOW + 20_000 + 102, {}],
    ['trialing', trialEnds, NOW + 30_000 + 101, { status: 'trialing', from: '2026-11-11T09:00:00.000Z' }],
    ['an update was paid for', applied, NOW + 40_000 + 102, {}],
    ['an update was not paid for', expired, NOW + 50_000 + 103, { status: 'past_due' }],
    [
      'deleted: over for good',
      deleted,
      FINAL + NOW + 7_200_000,
      { status: 'cancelled', to: '2026-11-22T11:00:00.000Z' },
    ],
  ])('subscription %s', async (_, event, revision, members) => {
    expect(await parsed(alone, event)).toEqual(snapshot(revision, [{ ...phase, ...members }]))
  })

  test.each([
    ['incomplete', 'unpaid'],
    ['incomplete_expired', 'expired'],
    ['trialing', 'trialing'],
    ['active', 'active'],
    ['past_due', 'past_due'],
    ['paused', 'paused'],
    ['unpaid', 'unpaid'],
    ['canceled', 'cancelled'],
  ])('status %s is %s', async (status, ours) => {
    const result = await parsed(
      alone,
      changed(updated, { status, cancel_at: null, cancel_at_period_end: false }),
    )
    expect(result).toMatchObject({ ok: true, value: [{ phases: [{ status: ours }] }] })
  })

  test('a status that Stripe may have one day is for the quarantine', async () => {
    expect(await parsed(alone, changed(updated, { status: 'suspended' }))).toEqual({
      ok: false,
      reason: 'payload_invalid',
    })
  })

  test('pausing the collection of money takes nothing from anybody', async () => {
    const pause_collection = { behavior: 'mark_uncollectible', resumes_at: null }
    expect(await parsed(alone, changed(resumed, { pause_collection }))).toMatchObject({
      value: [{ phases: [{ status: 'active', to: null }] }],
    })
  })

  test.each([
    ['cancel_at', { cancel_at: 1798000000, cancel_at_period_end: false }, '2026-12-23T04:26:40.000Z'],
    ['the period of the items', { cancel_at: null, cancel_at_period_end: true }, END],
    [
      'the period of the subscription, in API versions before 2025-03-31',
      { cancel_at: null, cancel_at_period_end: true, current_period_end: 1798000000, items: legacyItems() },
      '2026-12-23T04:26:40.000Z',
    ],
    ['nothing', { cancel_at: null, cancel_at_period_end: false }, null],
  ])('its end is that of %s', async (_, object, to) => {
    expect(await parsed(alone, changed(updated, object))).toMatchObject({ value: [{ phases: [{ to }] }] })
  })

  test('an upgrade is the new price at once', async () => {
    const data = [{ ...created.data.object.items.data[0], price: 'price_1SVaTeam00000000000001' }]
    const items = { ...created.data.object.items, data }
    expect(await parsed(alone, changed(resumed, { items }))).toMatchObject({
      value: [{ phases: [{ items: [{ kind: 'price', candidates: ['price_1SVaTeam00000000000001'] }] }] }],
    })
  })

  test('a subscription that names its organization is that one’s, no matter who pays', async () => {
    expect(await parsed(alone, changed(resumed, { metadata: { org_id: 'org_globex' } }))).toMatchObject({
      value: [{ org: { candidates: ['sub_1SVbAcme000000000000001', 'org_globex'], ours: 'org_globex' } }],
    })
  })

  test.each([
    [
      'more items than it lists',
      { items: { ...created.data.object.items, has_more: true } },
      'refetch_unavailable',
      undefined,
    ],
    ['an id that is none', { id: 'sub 1' }, 'payload_invalid', 'data.object.id'],
    ['no items', { items: undefined }, 'payload_invalid', 'data.object.items'],
    ['a date beyond the calendar', { start_date: 1e15 }, 'payload_invalid', 'data.object.start_date'],
  ])('a subscription with %s is for the quarantine', async (_, object, reason, detail) => {
    expect(await parsed(alone, changed(resumed, object))).toEqual({ ok: false, reason, detail })
  })

  test('a schedule’s event tells too little', async () => {
    expect(await parsed(alone, scheduled)).toEqual({ ok: false, reason: 'refetch_unavailable' })
  })

  test('a schedule without a subscription yet has no effect', async () => {
    expect(await parsed(alone, changed(scheduled, { subscription: null }))).toEqual({
      ok: true,
      value: [{ type: 'ignored', why: 'not_a_subscription' }],
    })
  })

  test('ten entitlements of more are not taken for all', async () => {
    expect(await parsed(alone, summary)).toEqual({ ok: false, reason: 'refetch_unavailable' })
  })

  test('entitlements are all of the customer’s, an empty list included', async () => {
    const [sso] = summary.data.object.entitlements.data
    const all = (data: unknown[]) => changed(summary, { entitlements: { data, has_more: false } })
    const expected = {
      type: 'entitlements.snapshot',
      source: 'stripe',
      contract: 'stripe-entitlements:cus_TSbAcme0000001',
      revision: NOW + 5_000,
      org: { kind: 'org', candidates: ['cus_TSbAcme0000001'] },
      customer: 'cus_TSbAcme0000001',
      from: '2026-11-22T09:00:05.000Z',
      flags: [
        { kind: 'flag', candidates: ['advanced-analytics', 'feat_test_61TS00'], ours: 'advanced-analytics' },
      ],
    }
    expect(await parsed(alone, all([sso]))).toEqual({ ok: true, value: [expected] })
    expect(await parsed(alone, all([]))).toEqual({ ok: true, value: [{ ...expected, flags: [] }] })
  })

  const link = {
    ...{ type: 'org.linked', source: 'stripe', external_id: 'cus_TSbAcme0000001', org: 'org_acme' },
    ...{ confirmed: false, click: false },
  }
  test.each([
    ['links the customer', {}, [link]],
    [
      'believes the server before the address',
      { metadata: { org_id: 'org_globex' } },
      [{ ...link, org: 'org_globex', confirmed: true }],
    ],
    [
      'of nobody that is named has no effect',
      { client_reference_id: null },
      [{ type: 'ignored', why: 'no_organization_named' }],
    ],
    [
      'with a name that can be none has no effect',
      { client_reference_id: 'a b' },
      [{ type: 'ignored', why: 'no_organization_named' }],
    ],
    [
      'of a guest who pays once has no effect',
      { mode: 'payment', customer: null, subscription: null },
      [{ type: 'ignored', why: 'not_a_subscription' }],
    ],
  ])('a checkout %s', async (_, object, value) => {
    expect(await parsed(alone, changed(checkout, object))).toEqual({ ok: true, value })
  })
})

function legacyItems() {
  const { items } = created.data.object
  return { ...items, data: items.data.map(({ current_period_end: _, ...item }) => item) }
}

describe('with an API key', () => {
  test.each([[created], [deleted], [scheduled]])(
    'what is current counts, not what the event says: $type',
    async (event) => {
      const { source, asked } = withApi({ [SUBSCRIPTION]: { ...apiSubscription, schedule: null } })
      expect(await parsed(source, event, NOW + 7)).toEqual(snapshot(NOW + 7, [phase]))
      expect(asked).toEqual([
        {
          path: SUBSCRIPTION,
          query: { 'expand[0]': 'customer', 'expand[1]': 'schedule.phases.items.price' },
          authorization: `Bearer ${API_KEY}`,
        },
      ])
    },
  )

  const [today, then] = [
    { ...phase, to: END },
    { ...phase, from: END, items: [TEAM] },
  ]
  const downgrade: object[] = [today, then]
  const { schedule } = apiSubscription
  test.each([
    ['a downgrade at the end of the period', {}, {}, downgrade],
    [
      'a downgrade, then the end',
      { end_behavior: 'cancel' },
      {},
      [today, { ...then, to: '2027-01-22T09:00:00.000Z' }],
    ],
    ['a schedule that is released', { status: 'released' }, {}, [phase]],
    ['a schedule without a phase yet', { current_phase: null }, {}, [phase]],
    [
      'a phase that differs in a discount only',
      {
        phases: [schedule.phases[0], { ...schedule.phases[0], start_date: 1797930000, end_date: 1800608400 }],
      },
      {},
      [phase],
    ],
    ['an end before the downgrade', {}, { cancel_at: 1797930000 }, [{ ...phase, to: END }]],
    [
      'a downgrade while payment is due',
      {},
      { status: 'past_due' },
      downgrade.map((one) => ({ ...one, status: 'past_due' })),
    ],
    ['a downgrade after a trial', {}, { status: 'trialing' }, [{ ...today, status: 'trialing' }, then]],
  ])('%s is visible now', async (_, change, members, phases) => {
    const subscription = { ...apiSubscription, ...members, schedule: { ...schedule, ...change } }
    const { source } = withApi({ [SUBSCRIPTION]: subscription })
    expect(await parsed(source, scheduled)).toEqual(snapshot(NOW, phases))
  })

  test('prices of a phase that are not expanded are known by the items of today', async () => {
    const phases = schedule.phases.map((one) => ({
      ...one,
      items: one.items.map((item) => ({ ...item, price: item.price.id })),
    }))
    const { source } = withApi({ [SUBSCRIPTION]: { ...apiSubscription, schedule: { ...schedule, phases } } })
    const team = { kind: 'price', candidates: ['price_1SVaTeam00000000000001'] }
    expect(await parsed(source, scheduled)).toEqual(snapshot(NOW, [today, { ...then, items: [team] }]))
  })

  test('what is cancelled meanwhile is over for good', async () => {
    const subscription = { ...apiSubscription, status: 'canceled', ended_at: 1795345200 }
    const { source } = withApi({ [SUBSCRIPTION]: subscription })
    expect(await parsed(source, created)).toMatchObject({
      value: [{ revision: FINAL + NOW, phases: [{ status: 'cancelled', to: '2026-11-22T11:00:00.000Z' }] }],
    })
  })

  test('all items are there, however many', async () => {
    const items = Array.from({ length: 150 }, (_, index) => ({
      id: `si_${index}`,
      object: 'subscription_item',
      price: { id: `price_${index}`, lookup_key: null, product: 'prod_1' },
    }))
    const { source, asked } = withApi({
      [SUBSCRIPTION]: {
        ...apiSubscription,
        schedule: null,
        items: { ...apiSubscription.items, has_more: true },
      },
      '/v1/subscription_items': items,
    })
    const result = await parsed(source, created)
    expect(asked.map(({ path }) => path)).toEqual([
      SUBSCRIPTION,
      '/v1/subscription_items',
      '/v1/subscription_items',
    ])
    expect(result).toMatchObject({ value: [{ phases: [{ items: { length: 150 } }] }] })
  })

  test('a customer that names its organization does so for its subscriptions', async () => {
    const customer = { ...apiSubscription.customer, metadata: { org_id: 'org_acme' } }
    const { source } = withApi({ [SUBSCRIPTION]: { ...apiSubscription, customer } })
    expect(await parsed(source, created)).toMatchObject({
      value: [{ org: { candidates: [...CUSTOMER.candidates, 'org_acme'], ours: 'org_acme' } }],
    })
  })

  test.each([1, 10, 12, 100, 101, 250])('%i entitlements are all fetched, page by page', async (count) => {
    const all = Array.from({ length: count }, (_, index) => ({
      ...apiEntitlements[index % apiEntitlements.length],
      id: `ent_${index}`,
      lookup_key: `feature-${index}`,
    }))
    const { source, asked } = withApi({ [ENTITLEMENTS]: all, [CUSTOMER_PATH]: CUSTOMER_OBJECT })
    const result = await parsed(source, summary, NOW + 9)
    expect(result).toMatchObject({ ok: true, value: [{ revision: NOW + 9, flags: { length: count } }] })
    const pages = asked.filter(({ path }) => path === ENTITLEMENTS)
    expect(pages).toHaveLength(Math.ceil(count / 100))
    expect(pages[0]?.query).toEqual({ customer: 'cus_TSbAcme0000001', limit: '100' })
    if (result.ok && result.value[0]?.type === 'entitlements.snapshot') {
      expect(new Set(result.value[0].flags.map(({ ours }) => ours)).size).toBe(count)
    }
  })

  test('more entitlements than anybody has flags are for the quarantine, not cut off', async () => {
    const all = Array.from({ length: 1_001 }, (_, index) => ({ ...apiEntitlements[0], id: `ent_${index}` }))
    const { source } = withApi({ [ENTITLEMENTS]: all })
    expect(await parsed(source, summary)).toEqual({ ok: false, reason: 'payload_invalid' })
  })

  test('a checkout brings its subscription along, whose organization is its own matter', async () => {
    const { source } = withApi({ [SUBSCRIPTION]: { ...apiSubscription, schedule: null } })
    expect(await parsed(source, checkout)).toEqual({
      ok: true,
      value: [
        {
          ...{ type: 'org.linked', source: 'stripe', external_id: 'cus_TSbAcme0000001', org: 'org_acme' },
          ...{ confirmed: false, click: false },
        },
        ...snapshot(NOW, [phase]).value,
      ],
    })
  })

  test.each([
    [400, 'refetch_refused'],
    [403, 'refetch_refused'],
    [404, 'refetch_refused'],
    [429, 'refetch_failed'],
    [500, 'refetch_failed'],
    [503, 'refetch_failed'],
  ])('where the API answers %i: %s, and the event is not believed instead', async (status, reason) => {
    const { source } = withApi({ [SUBSCRIPTION]: status, [ENTITLEMENTS]: status })
    expect(await parsed(source, resumed)).toEqual({ ok: false, reason })
    expect(await parsed(source, summary)).toEqual({ ok: false, reason })
    expect(await parsed(source, checkout)).toEqual({ ok: false, reason })
  })

  test('a key that Stripe does not know is distinguished from an outage', async () => {
    const { source } = withApi({ [SUBSCRIPTION]: apiSubscription }, 'rk_test_another000000')
    expect(await parsed(source, resumed)).toEqual({ ok: false, reason: 'refetch_refused' })
  })

  test('an API that cannot be reached is an outage', async () => {
    const source = stripeSource(
      { secrets: [SECRET], apiKey: API_KEY, apiBase: API, testMode: true },
      async () => {
        throw new TypeError('network')
      },
    )
    expect(await parsed(source, resumed)).toEqual({ ok: false, reason: 'refetch_failed' })
  })

  test.each([
    ['http://127.0.0.1:12111', 'http://127.0.0.1:12111'],
    ['https://api.stripe.com', 'https://api.stripe.com'],
  ])('it asks at %s', async (apiBase, origin) => {
    const origins: string[] = []
    const source = stripeSource(
      { secrets: [SECRET], apiKey: API_KEY, apiBase, testMode: true },
      async (input, init) => {
        origins.push(new URL(new Request(input, init).url).origin)
        return Response.json(apiSubscription)
      },
    )
    expect(await parsed(source, resumed)).toMatchObject({ ok: true })
    expect(origins).toEqual([origin])
  })
})

describe('the order of events that tell all there is', () => {
  const STATUSES = [
    'incomplete',
    'trialing',
    'active',
    'past_due',
    'unpaid',
    'paused',
    'canceled',
    'incomplete_expired',
  ]
  const TYPES = ['created', 'updated', 'paused', 'resumed', 'trial_will_end'].map(
    (type) => `customer.subscription.${type}`,
  )
  const events = fc.record({
    type: fc.constantFrom(...TYPES),
    status: fc.constantFrom(...STATUSES),
    created: fc.integer({ min: 1_700_000_000, max: 4_000_000_000 }),
  })
  const order = ({ type, status, created }: { type: string; status: string; created: number }) =>
    subscriptionRevision(type, status, created)

  test('a deletion wins over whatever else, of whatever second', () => {
    fc.assert(
      fc.property(events, fc.integer({ min: 1_700_000_000, max: 4_000_000_000 }), (event, created) => {
        if (event.status === 'canceled' || event.status === 'incomplete_expired') return
        const deletion = order({ type: 'customer.subscription.deleted', status: 'canceled', created })
        expect(deletion).toBeGreaterThan(order(event))
        expect(Number.isSafeInteger(deletion)).toBe(true)
      }),
    )
  })

  test('of what is not over, a later second wins', () => {
    fc.assert(
      fc.property(events, events, (a, b) => {
        const over = [a, b].some(({ status }) => status === 'canceled' || status === 'incomplete_expired')
        if (over || a.created === b.created) return
        expect(order(a) < order(b)).toBe(a.created < b.created)
      }),
    )
  })

  test('within a second, a creation is the first', () => {
    fc.assert(
      fc.property(events, (event) => {
        if (event.type === 'customer.subscription.created') return
        const creation = { ...event, type: 'customer.subscription.created', status: 'active' }
        expect(order(creation)).toBeLessThan(order(event))
      }),
    )
  })

  test('within a second, the first payment comes after the wait for it', async () => {
    const second = { created: updated.created }
    const revisionOf = async (event: object) => {
      const result = await parsed(alone, event)
      return result.ok && result.value[0]?.type === 'contract.snapshot' ? result.value[0].revision : 0
    }
    const course = [
      changed(created, { status: 'incomplete' }, second),
      changed(updated, { status: 'incomplete' }, second),
      changed(updated, { status: 'active' }, second),
      changed(updated, { status: 'past_due' }, second),
      changed(updated, { status: 'unpaid' }, second),
      changed(deleted, { status: 'canceled' }, second),
    ]
    const revisions = await Promise.all(course.map(revisionOf))
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
    expect(new Set(revisions).size).toBe(course.length)
  })
})
