/**
 * What each event means: the contract before and after it, and what the organization has. Read it as a specification. Each
 * event goes in as its sender sends it, signed with the sender's package; Stripe without an API key.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'
import checkout from './fixtures/stripe/checkout.session.completed.json' with { type: 'json' }
import created from './fixtures/stripe/customer.subscription.created.json' with { type: 'json' }
import deleted from './fixtures/stripe/customer.subscription.deleted.json' with { type: 'json' }
import paused from './fixtures/stripe/customer.subscription.paused.json' with { type: 'json' }
import pendingApplied from './fixtures/stripe/customer.subscription.pending_update_applied.json' with {
  type: 'json',
}
import pendingExpired from './fixtures/stripe/customer.subscription.pending_update_expired.json' with {
  type: 'json',
}
import resumed from './fixtures/stripe/customer.subscription.resumed.json' with { type: 'json' }
import trialWillEnd from './fixtures/stripe/customer.subscription.trial_will_end.json' with { type: 'json' }
import updated from './fixtures/stripe/customer.subscription.updated.json' with { type: 'json' }
import summary from './fixtures/stripe/entitlements.active_entitlement_summary.updated.json' with {
  type: 'json',
}
import schedule from './fixtures/stripe/subscription_schedule.updated.json' with { type: 'json' }
import flagCreated from './fixtures/workos/flag.created.json' with { type: 'json' }
import flagDeleted from './fixtures/workos/flag.deleted.json' with { type: 'json' }
import ruleUpdated from './fixtures/workos/flag.rule_updated.json' with { type: 'json' }
import flagUpdated from './fixtures/workos/flag.updated.json' with { type: 'json' }
import organizationDeleted from './fixtures/workos/organization.deleted.json' with { type: 'json' }
import organizationUpdated from './fixtures/workos/organization.updated.json' with { type: 'json' }
import {
  type Act,
  agreed,
  begin,
  crm,
  edited,
  entitled,
  has,
  mapped,
  organization,
  subscribed,
  tell,
} from './stories.ts'
import { contractsOf, delta, flagsOf, send, sendStandard, snapshot } from './support.ts'

const ORG = 'org_acme'
const CUSTOMER = checkout.data.object.customer
/** The server that made the session has said whose it is. */
const namedCheckout = structuredClone(checkout)
Object.assign(namedCheckout.data.object, { metadata: { org_id: checkout.data.object.client_reference_id } })
const FLAGS = ['reports', 'sso', 'scim', 'advanced-analytics']

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  for (const key of FLAGS) await control.liveFlag(key)
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await control.must('POST', '/plans', { key: 'enterprise', name: 'Enterprise', flags: ['reports', 'sso'] })
  await control.must('POST', '/orgs', { id: ORG, name: 'Acme' })
  await control.must('PUT', '/mappings/stripe/plan/enterprise_monthly', { target: 'enterprise' })
  await control.must('PUT', '/mappings/stripe/flag/price_1SVaScim00000000000001', { target: 'scim' })
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

/** The contracts as one line each: `C-9 enterprise + scim, active, until 2027-01-01`. */
async function contracts(): Promise<string[]> {
  const rows = await contractsOf(control, ORG)
  return rows
    .map(
      ({
        id,
        plan,
        add,
        status,
        to,
      }: {
        id: string
        plan: string
        add: string[]
        status: string
        to: string
      }) =>
        [
          `${id.replace(/^sub_\w+$/, 'sub').replace(/:cus_\w+/, '')} ${[...(plan === null ? [] : [plan]), ...add].join(' + ')}`,
          ...[status, ...(to === null ? [] : [`until ${to.slice(0, 10)}`])],
        ].join(', '),
    )
    .sort()
}

const flags = async () => (await flagsOf(control, ORG)).join(' ')
const ALL = 'reports scim sso'

/** An event, what came before it, and contracts with flags before and after it. */
interface Row {
  readonly name: string
  readonly earlier?: readonly object[]
  readonly event: object
  /** `applied`, unless it says otherwise. */
  readonly state?: string
  readonly before: readonly string[]
  /** As before, unless it says otherwise. */
  readonly after?: readonly string[]
}

/** The contracts, a line each, and the flags in the last line. */
const standing = async () => [...(await contracts()), await flags()]

describe('Stripe', () => {
  const sendStripe = (event: object) => send(control, 'stripe', JSON.stringify(event))
  const entitled = structuredClone(summary)
  entitled.data.object.entitlements.data.splice(1)
  entitled.data.object.entitlements.has_more = false

  const none = ['']
  const unpaid = ['sub enterprise + scim, unpaid', '']
  const active = ['sub enterprise + scim, active', ALL]
  const stopped = ['sub enterprise + scim, paused', '']
  const ending = ['sub enterprise + scim, active, until 2026-12-22', ALL]
  const over = ['sub enterprise + scim, cancelled, until 2026-11-22', '']
  const more = [
    'stripe-entitlements advanced-analytics, active',
    ...['sub enterprise + scim, active', `advanced-analytics ${ALL}`],
  ]
  const noMore = ['stripe-entitlements advanced-analytics, paused', ...stopped]

  test.each<Row>([
    { name: 'is made, and not paid yet', event: created, before: none, after: unpaid },
    { name: 'is paid', earlier: [created], event: resumed, before: unpaid, after: active },
    { name: 'is to end with its period', earlier: [resumed], event: updated, before: active, after: ending },
    { name: 'is over', earlier: [updated], event: deleted, before: ending, after: over },
    { name: 'stays over', earlier: [deleted], event: laterOf(resumed), state: 'superseded', before: over },
    { name: 'is paused after its trial', earlier: [created], event: paused, before: unpaid, after: stopped },
    { name: 'is resumed', earlier: [paused], event: resumed, before: stopped, after: active },
    {
      ...{ name: 'has a trial that ends soon', earlier: [created], event: trialWillEnd },
      ...{ before: unpaid, after: ['sub enterprise + scim, trialing', ALL] },
    },
    { name: 'is updated and paid', earlier: [paused], event: pendingApplied, before: stopped, after: active },
    {
      ...{ name: 'is updated and not paid: it is due', earlier: [resumed], event: today(pendingExpired) },
      ...{ before: active, after: ['sub enterprise + scim, past_due', ALL] },
    },
    {
      ...{ name: 'is scheduled, which takes an API key to see', earlier: [resumed], event: schedule },
      ...{ state: 'quarantined', before: active },
    },
    { name: 'has an entitlement', earlier: [resumed], event: entitled, before: active, after: more },
    {
      ...{ name: 'is paused, and its entitlement with it', earlier: [resumed, entitled] },
      ...{ event: laterOf(paused), before: more, after: noMore },
    },
    {
      ...{ name: 'has more entitlements than are listed', earlier: [resumed], event: summary },
      ...{ state: 'quarantined', before: active },
    },
  ])('a subscription $name', async ({ earlier = [], event, state = 'applied', before, after = before }) => {
    await sendStripe(namedCheckout)
    for (const one of earlier) await sendStripe(one)
    expect(await standing()).toEqual(before)
    expect((await sendStripe(event)).body.state).toBe(state)
    expect(await standing()).toEqual(after)
  })

  test('a checkout maps its customer, and changes no contract', async () => {
    expect((await sendStripe(namedCheckout)).body.state).toBe('applied')
    const { data } = (await control.get('/mappings?kind=org')).body
    expect(data).toMatchObject([{ external_id: CUSTOMER, target: ORG }])
    expect([await contracts(), await flags()]).toEqual([[], ''])
  })
})

/** The same, today: grace counts from when a payment failed. */
function today<T extends { created: number }>(event: T): T {
  return { ...structuredClone(event), created: Math.floor(Date.now() / 1000) }
}

/** The same, an hour later. */
function laterOf<T extends { id: string; created: number }>(event: T): T {
  return { ...structuredClone(event), id: `${event.id}later`, created: event.created + 3_600 }
}

describe('a CRM', () => {
  const day = '2027-01-01T00:00:00.000Z'
  const C9 = (revision: number, ...phases: Parameters<typeof snapshot>[3]) =>
    snapshot('C-9', ORG, revision, phases)
  const both = C9(1, { plan: 'enterprise', add: ['scim'], to: day }, { plan: 'team', from: day })
  const team = C9(1, { plan: 'team' })
  const hasTeam = ['C-9 team, active', 'reports']
  const hasEnterprise = ['C-9 enterprise, active', 'reports sso']
  const hasBoth = ['C-9 enterprise + scim, active, until 2027-01-01', 'C-9~2 team, active', ALL]

  test.each<Row>([
    { name: 'a whole contract', event: team, before: [''], after: hasTeam },
    { name: 'a contract with a later phase', event: both, before: [''], after: hasBoth },
    {
      ...{ name: 'an upgrade', earlier: [team], event: C9(2, { plan: 'enterprise' }) },
      ...{ before: hasTeam, after: hasEnterprise },
    },
    {
      ...{ name: 'a later phase that is no more', earlier: [both], event: C9(2, { plan: 'enterprise' }) },
      before: hasBoth,
      after: ['C-9 enterprise, active', 'C-9~2 team, cancelled, until 2027-01-01', 'reports sso'],
    },
    {
      ...{ name: 'add-ons only', earlier: [team], event: C9(2, { plan: null, add: ['scim'] }) },
      ...{ before: hasTeam, after: ['C-9 scim, active', 'scim'] },
    },
    {
      ...{ name: 'a change of add-ons', earlier: [C9(1, { plan: 'team', add: ['scim'] })] },
      event: delta('C-9', 2, { add: ['sso'], remove: ['scim'] }),
      before: ['C-9 team + scim, active', 'reports scim'],
      after: ['C-9 team + sso, active', 'reports sso'],
    },
    {
      ...{ name: 'a change of plan', earlier: [team], event: delta('C-9', 2, { plan: 'enterprise' }) },
      ...{ before: hasTeam, after: hasEnterprise },
    },
    {
      ...{ name: 'a change of one phase', earlier: [both] },
      ...{ event: delta('C-9', 2, { phase: 1, plan: 'team' }), before: hasBoth },
      after: ['C-9 team + scim, active, until 2027-01-01', 'C-9~2 team, active', 'reports scim'],
    },
    {
      ...{ name: 'a cancellation', earlier: [both], event: delta('C-9', 2, { status: 'cancelled' }) },
      before: hasBoth,
      after: ['C-9 enterprise + scim, cancelled, until 2027-01-01', 'C-9~2 team, cancelled', ''],
    },
    {
      ...{ name: 'an end', earlier: [team], event: delta('C-9', 2, { to: day }) },
      ...{ before: hasTeam, after: ['C-9 team, active, until 2027-01-01', 'reports'] },
    },
    {
      ...{ name: 'a grace that is over', earlier: [team] },
      event: delta('C-9', 2, { status: 'past_due', grace_until: '2026-01-02T00:00:00Z' }),
      ...{ before: hasTeam, after: ['C-9 team, past_due', ''] },
    },
  ])('$name', async ({ earlier = [], event, before, after }) => {
    for (const one of earlier) await sendStandard(control, one as { id: string })
    expect(await standing()).toEqual(before)
    const answer = await sendStandard(control, event as { id: string })
    expect([answer.status, answer.body.state]).toEqual([200, 'applied'])
    expect(await standing()).toEqual(after)
  })

  test.each([
    [
      'a change of a plan that does not say of which phase',
      both,
      delta('C-9', 2, { plan: 'team' }),
      'delta_ambiguous',
    ],
    [
      'a change of a phase that there is not',
      team,
      delta('C-9', 2, { phase: 2, status: 'paused' }),
      'delta_ambiguous',
    ],
    [
      'phases that would overlap',
      both,
      delta('C-9', 2, { phase: 1, to: '2028-01-01T00:00:00Z' }),
      'window_invalid',
    ],
  ])('%s goes to quarantine, and changes nothing', async (_, earlier, event, problem) => {
    await sendStandard(control, earlier)
    const before = await contracts()
    expect((await sendStandard(control, event)).body).toMatchObject({ state: 'quarantined', problem })
    expect(await contracts()).toEqual(before)
  })
})

describe('WorkOS', () => {
  const sendWorkos = (event: object) => send(control, 'workos', JSON.stringify(event))
  /** WorkOS has its own ids: the organization of the fixtures is ours. */
  const forUs = structuredClone(ruleUpdated)
  forUs.context.configured_targets.organizations = [{ id: ORG, name: 'Acme' }]
  forUs.context.configured_targets.users = []

  test.each([
    ['flag.created, which has no rule yet', [], flagCreated, 'ignored', '', ''],
    ['flag.rule_updated, for one organization', [], forUs, 'applied', '', 'advanced-analytics'],
    ['flag.updated, which switches it off', [forUs], dated(flagUpdated), 'applied', 'advanced-analytics', ''],
    ['flag.deleted', [forUs], flagDeleted, 'applied', 'advanced-analytics', ''],
  ] as [string, object[], object, string, string, string][])(
    '%s',
    async (_, earlier, event, state, before, after) => {
      for (const one of earlier) await sendWorkos(one)
      // The inbox lives by the real clock.
      control.clock.now = Date.now()
      expect(await flags()).toBe(before)
      expect((await sendWorkos(event)).body.state).toBe(state)
      control.clock.now = Date.now()
      expect(await flags()).toBe(after)
    },
  )

  test('organization.updated has a new name, and a Stripe customer that is mapped', async () => {
    const { id, name } = organizationUpdated.data
    await control.must('POST', '/orgs', { id, name: 'Acme GmbH' })
    expect((await sendWorkos(organizationUpdated)).body.state).toBe('applied')
    expect((await control.get(`/orgs/${id}`)).body.name).toBe(name)
    const { data } = (await control.get('/mappings?kind=org')).body
    expect(data).toMatchObject([{ source: 'stripe', external_id: CUSTOMER, target: id }])
  })

  test('organization.deleted ends what its tokens open, and leaves its contracts', async () => {
    const { id } = organizationDeleted.data
    await control.organization(id, 'team')
    expect((await sendWorkos(organizationDeleted)).body.state).toBe('applied')
    const organization = (await control.get(`/orgs/${id}`)).body
    expect(organization.not_before).toBeGreaterThan(Date.now() / 1000 - 60)
    expect(organization.contracts).toMatchObject([{ plan: 'team', status: 'active' }])
    await control.published()
    expect((await control.org(id))?.not_before).toBe(organization.not_before)
  })
})

/** After the rule was set. */
function dated<T extends object>(event: T): T {
  return { ...structuredClone(event), created_at: '2026-11-22T10:00:00.000Z' }
}

/** What users of billing and entitlement systems have reported, each as it went wrong for somebody. */
describe('a report', () => {
  const AT = 1_795_000_000
  const A = 'org_a'
  const enterprise = { plan: 'enterprise', add: ['scim'] }
  const customer = mapped('stripe/org/cus_1', A)
  const bought = (options: object = {}) => subscribed('sub_1', { at: AT, prices: ['price_ent'], ...options })
  const now = () => Math.floor(Date.now() / 1000)
  beforeEach(async () => {
    control = await setUp()
    await begin(control)
  })

  test.each<{
    name: string
    acts: () => readonly Act[]
    a?: string
    b?: string
    last?: string
    open?: number
  }>([
    {
      name: 'a deleted customer’s subscription ends without saying whose it was',
      acts: () => [
        bought({ metadata: { org_id: A } }),
        bought({ at: AT + 1, status: 'canceled', customer: 'cus_gone' }),
      ],
      last: 'applied',
    },
    {
      name: 'half an emoji in a signed event',
      acts: () => [
        crm({ ...snapshot('C-1', A, 1, [{ plan: 'team' }]), accountname: 'Party 🎉'.slice(0, 7) }),
      ],
      ...{ a: 'reports', last: 'applied' },
    },
    {
      name: 'a price that was mapped wrong is mapped right, and nobody is moved',
      acts: () => [customer, bought(), mapped('stripe/plan/price_ent', 'team')],
      a: 'reports',
    },
    {
      name: 'a mapping is put right, and the snapshots sent again are contradictions',
      acts: () => [
        ...[mapped('standard/plan/pro', 'enterprise'), agreed('C-1', A, 1, { plan: 'pro' })],
        ...[mapped('standard/plan/pro', 'team'), agreed('C-1', A, 1, { plan: 'pro' })],
      ],
      ...{ a: 'reports', last: 'applied', open: 0 },
    },
    {
      name: 'an entitlement is kept because another customer of the organization is active',
      acts: () => [
        ...[customer, mapped('stripe/org/cus_2', A), bought(), entitled('cus_1', ['scim'], AT)],
        subscribed('sub_2', { at: AT, customer: 'cus_2' }),
        bought({ at: AT + 5, status: 'paused' }),
      ],
      a: 'reports',
    },
    {
      name: 'times as SDKs write them, with microseconds and an offset',
      acts: () => [
        crm({
          ...snapshot('C-1', A, 1, [{ plan: 'team', from: '2026-01-01T00:00:00+01:00' }]),
          time: '2026-11-27T20:00:00.123456+00:00',
        }),
      ],
      ...{ a: 'reports', last: 'applied' },
    },
    {
      name: 'a CloudEvent without a time, with a charset',
      acts: () => [
        crm({
          ...snapshot('C-1', A, 1, [{ plan: 'team' }]),
          ...{ time: undefined, datacontenttype: 'application/json; charset=utf-8' },
        }),
      ],
      ...{ a: 'reports', last: 'applied' },
    },
    {
      name: 'two systems with the same number behind one endpoint',
      acts: () => [
        crm({ ...snapshot('1001', A, 1, [enterprise]), source: 'https://crm.a.example' }),
        crm({ ...snapshot('1001', A, 2, [{ plan: 'team' }]), source: 'https://market.b.example' }),
      ],
      ...{ a: ALL, last: 'applied' },
    },
    {
      name: 'paid before the organization is there',
      acts: () => [
        agreed('C-1', 'org_new', 1, enterprise),
        ...[organization('org_new'), mapped('standard/org/org_new', A), 'cron' as const],
      ],
      ...{ a: ALL, open: 0 },
    },
    {
      name: 'a name that can be none gives the contract to the payer',
      acts: () => [mapped('stripe/org/cus_1', 'org_b'), bought({ metadata: { org_id: 'Acme Inc' } })],
      last: 'quarantined org_unknown Acme Inc',
    },
    {
      name: 'a failed payment of a month ago gets a new grace when it is replayed',
      acts: () => [customer, bought({ at: now() - 30 * 86_400, status: 'past_due' })],
      last: 'applied',
    },
    {
      name: 'past due, unpaid, past due: a new grace each time',
      acts: () => [
        ...[customer, bought({ at: now() - 30 * 86_400, status: 'past_due' })],
        ...[bought({ at: now() - 10, status: 'unpaid' }), bought({ at: now(), status: 'past_due' })],
      ],
    },
    {
      name: 'an endpoint that gets all event types fills the quarantine',
      acts: () => [
        { stripe: { id: 'evt_i', object: 'event', created: AT, type: 'invoice.paid', data: { object: {} } } },
      ],
      ...{ last: 'ignored foreign_type', open: 0 },
    },
    {
      name: 'past due, then paid within the same second, is dropped',
      acts: () => [
        ...[customer, bought({ status: 'past_due', previous: { status: 'active' } })],
        bought({ previous: { status: 'past_due' } }),
      ],
      ...{ a: 'reports sso', last: 'applied' },
    },
    {
      name: 'an item with quantity 0 gives everything',
      acts: () => [customer, bought({ prices: [{ id: 'price_ent', quantity: 0 }] })],
      last: 'applied',
    },
    {
      name: 'a lookup key that was transferred takes along who bought the old price',
      acts: () => [
        ...[customer, mapped('stripe/plan/pro', 'enterprise')],
        bought({
          members: { items: { data: [{ price: { id: 'price_team', lookup_key: 'pro', product: null } }] } },
        }),
      ],
      a: 'reports',
    },
    {
      name: 'one event in the forms of two API versions is two',
      acts: () => [
        ...[customer, bought({ id: 'evt_two', members: { current_period_end: 1_900_000_000 } })],
        bought({ id: 'evt_two' }),
      ],
      ...{ a: 'reports sso', last: 'applied', open: 0 },
    },
    {
      name: 'a contract number with a slash',
      acts: () => [agreed('Q-2026/0042', A, 1, { plan: 'team' })],
      ...{ a: 'reports', last: 'applied' },
    },
    {
      name: 'an end in days, off by one',
      acts: () => [crm(snapshot('C-1', A, 1, [{ plan: 'team', to: '2027-12-31' }]))],
      last: 'quarantined payload_invalid data.phases.0.to must be an instant: an end is exclusive, so write the end of 31 December as 2027-01-01T00:00:00Z, or with your offset, 2027-01-01T00:00:00+01:00',
    },
    {
      name: 'an organization moves, and its flags stay behind',
      acts: () => [agreed('C-1', A, 1, enterprise), agreed('C-1', 'org_b', 2, enterprise)],
      ...{ b: ALL, last: 'applied' },
    },
    {
      name: 'a cancellation names a plan that was renamed',
      acts: () => [
        agreed('C-1', A, 1, enterprise),
        agreed('C-1', A, 2, { plan: 'enterprise-2025', status: 'cancelled' }),
      ],
      last: 'quarantined plan_unknown enterprise-2025',
    },
    {
      name: 'a person repairs a contract, and its cancellation is a contradiction',
      acts: () => [
        agreed('C-1', A, 1, enterprise),
        edited('C-1', A, { plan: 'enterprise', status: 'active', revision: 2, source: 'standard' }),
        agreed('C-1', A, 2, { ...enterprise, status: 'cancelled' }),
      ],
      last: 'applied',
    },
  ])('no more: $name', async ({ acts, a = '', b = '', last, open }) => {
    const answer = await tell(control, acts())
    expect([await has(control, A), await has(control, 'org_b')]).toEqual([a, b])
    const { state, problem, detail } = answer?.body ?? {}
    if (last !== undefined) expect([state, problem, detail].filter(Boolean).join(' ')).toBe(last)
    if (open !== undefined) expect((await control.get('/inbox?state=open')).body.data).toHaveLength(open)
  })

  test('no more: a subscription of Stripe’s test mode is a contract', async () => {
    control = await setUp({ STRIPE_TEST_MODE: 'refuse' })
    await begin(control)
    const answer = await tell(control, [customer, bought({ livemode: false })])
    expect([answer?.status, answer?.body.problem]).toEqual([202, 'test_mode'])
    expect(await has(control, A)).toBe('')
  })

  test('no more: the API takes no offset', async () => {
    await tell(control, [
      edited('C-1', A, { plan: 'team', status: 'active', revision: 1, to: '2099-01-01T00:00:00+01:00' }),
    ])
    expect((await control.get(`/orgs/${A}/contracts/C-1`)).body.to).toBe('2098-12-31T23:00:00.000Z')
    const at = encodeURIComponent(control.in(1).replace('Z', '+00:00'))
    expect((await control.get(`/orgs/${A}/entitlements?environment=production&at=${at}`)).status).toBe(200)
  })
})
