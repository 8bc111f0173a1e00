/** What got lost on the way from Stripe shows as a difference, and is repaired where that is asked for, and only there. */
import { describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'
import subscription from './fixtures/stripe/customer.subscription.created.json' with { type: 'json' }
import { API_KEY, type StripeAnswers, stripeApiOf } from './stripe_api.ts'
import { contractsOf, flagsOf, send, sendStandard, snapshot } from './support.ts'

const LIST = '/v1/subscriptions'
const ENTITLEMENTS = '/v1/entitlements/active_entitlements'
const CUSTOMER = 'cus_1'

/** A subscription as a list of the API has it. */
const subscribed = (id: string, price: string, members: object = {}) => ({
  ...{ id, object: 'subscription', status: 'active', customer: { id: CUSTOMER, metadata: {} } },
  ...{ start_date: 1_767_225_600, metadata: { org_id: 'org_a' }, schedule: null },
  items: { data: [itemOf(price)], has_more: false },
  ...members,
})
const itemOf = (price: string) => ({
  ...{ id: `si_${price}`, current_period_end: 1_900_000_000 },
  price: { id: price, lookup_key: null, product: `prod_${price}` },
})

/** The fake API holds what it is given, which may be changed as the test goes on. */
async function begin(answers: Record<string, StripeAnswers[string]>, overrides = {}) {
  const { fetcher, asked } = stripeApiOf(answers)
  const control = await setUp({ STRIPE_API_KEY: API_KEY, ...overrides }, { fetch: fetcher, seed })
  return { control, asked }
}

async function seed(control: ControlUnderTest): Promise<void> {
  for (const key of ['reports', 'sso', 'scim']) await control.liveFlag(key)
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await control.must('POST', '/plans', { key: 'enterprise', name: 'E', flags: ['reports', 'sso'] })
  await control.must('POST', '/orgs', { id: 'org_a', name: 'A' })
  for (const plan of ['team', 'enterprise']) {
    await control.must('PUT', `/mappings/stripe/plan/price_${plan}`, { target: plan })
  }
  await control.must('PUT', `/mappings/stripe/org/${CUSTOMER}`, { target: 'org_a' })
}

const reconcile = async (control: ControlUnderTest, body: object = {}) =>
  await control.call('POST', '/reconciliations', { role: 'editor', body: { source: 'stripe', ...body } })

const rowsOf = async (control: ControlUnderTest) =>
  (await contractsOf(control, 'org_a')).map(({ id, plan, status }: Record<string, unknown>) => [
    id,
    plan,
    status,
  ])

test('a lost event is a difference: it is reported, changes nothing, is repaired with apply, and then is none', async () => {
  const answers = { [LIST]: [subscribed('sub_1', 'price_enterprise')], [ENTITLEMENTS]: [] }
  const { control } = await begin(answers)
  const told = await reconcile(control)
  expect(told.status).toBe(202)
  expect(told.body).toMatchObject({
    ...{ source: 'stripe', checked: 1, next_cursor: null },
    differences: [
      {
        ...{ contract: 'sub_1', here: [], problem: null, repaired: false },
        there: [{ id: 'sub_1', org: 'org_a', plan: 'enterprise', status: 'active', to: null }],
      },
    ],
  })
  expect(await rowsOf(control)).toEqual([])
  expect((await control.get('/inbox')).body.data).toEqual([])

  const repaired = await reconcile(control, { apply: true })
  expect(repaired.body.differences).toMatchObject([{ contract: 'sub_1', repaired: true }])
  expect(await rowsOf(control)).toEqual([['sub_1', 'enterprise', 'active']])
  expect(await flagsOf(control, 'org_a')).toEqual(['reports', 'sso'])
  const [row] = (await control.auditRows()).filter(({ entity }) => entity === 'contract:sub_1')
  expect(row).toMatchObject({ actor: 'system:contract:sub_1' })
  const [{ event_id }] = (await control.get('/inbox')).body.data
  expect(row?.reason).toBe(`As stripe says, whom user:editor asked: remint.reconciled ${event_id}`)
  expect((await reconcile(control, { apply: true })).body).toMatchObject({ checked: 1, differences: [] })
})

test('a lost cancellation is taken back, also where the subscription had been heard of', async () => {
  const answers = { [LIST]: [subscribed('sub_1', 'price_team')], [ENTITLEMENTS]: [] }
  const { control } = await begin(answers)
  await reconcile(control, { apply: true })
  const ended_at = Math.floor(control.clock.now / 1000) - 60
  answers[LIST] = [subscribed('sub_1', 'price_team', { status: 'canceled', ended_at })]
  const { differences } = (await reconcile(control)).body
  expect(differences).toMatchObject([
    { here: [{ status: 'active' }], there: [{ status: 'cancelled' }], repaired: false },
  ])
  expect(await flagsOf(control, 'org_a')).toEqual(['reports'])
  await reconcile(control, { apply: true })
  expect(await flagsOf(control, 'org_a')).toEqual([])
})

test('a price that is mapped to nothing, and a status that is none, are problems that apply does not touch', async () => {
  const { control } = await begin({
    [LIST]: [
      subscribed('sub_1', 'price_unheard_of'),
      subscribed('sub_2', 'price_team', { status: 'resting' }),
      subscribed('sub_3', 'price_team'),
    ],
    [ENTITLEMENTS]: [],
  })
  const { differences } = (await reconcile(control, { apply: true })).body
  expect(
    differences
      .map((one: Record<string, unknown>) => [one.contract, one.problem, one.detail, one.repaired])
      .sort(),
  ).toEqual([
    ['sub_1', 'price_unknown', 'price_unheard_of', false],
    ['sub_2', 'payload_invalid', null, false],
    ['sub_3', null, null, true],
  ])
  expect(await rowsOf(control)).toEqual([['sub_3', 'team', 'active']])
})

test('of more than ten entitlements, all count', async () => {
  const keys = Array.from({ length: 12 }, (_, index) => `feature-${index}`)
  const entitlements = keys.map((lookup_key, index) => ({
    ...{
      id: `ent_${index}`,
      object: 'entitlements.active_entitlement',
      feature: `feat_${index}`,
      lookup_key,
    },
  }))
  const { control } = await begin({
    [LIST]: [subscribed('sub_1', 'price_team')],
    [ENTITLEMENTS]: entitlements,
  })
  for (const key of keys) await control.liveFlag(key)
  await reconcile(control, { apply: true })
  expect(await flagsOf(control, 'org_a')).toEqual([...keys, 'reports'].sort())
  expect((await reconcile(control)).body.differences).toEqual([])
})

test('of a subscription with more items than a list shows, all count', async () => {
  const items = { data: [itemOf('price_team')], has_more: true }
  const all = [itemOf('price_team'), itemOf('price_enterprise')]
  const { control } = await begin({
    [LIST]: [subscribed('sub_1', 'price_team', { items })],
    '/v1/subscriptions/sub_1': subscribed('sub_1', 'price_team', { items }),
    '/v1/subscription_items': all,
    [ENTITLEMENTS]: [],
  })
  await reconcile(control, { apply: true })
  expect((await rowsOf(control)).map(([, plan]: [string, string]) => plan).sort()).toEqual([
    'enterprise',
    'team',
  ])
})

test('it goes page by page', async () => {
  const all = Array.from({ length: 23 }, (_, index) => subscribed(`sub_${index}`, 'price_team'))
  const { control } = await begin({ [LIST]: all, [ENTITLEMENTS]: [] })
  const first = (await reconcile(control)).body
  expect([first.checked, first.differences.length, first.next_cursor]).toEqual([20, 20, 'sub_19'])
  const second = (await reconcile(control, { cursor: first.next_cursor })).body
  expect([second.checked, second.differences.length, second.next_cursor]).toEqual([3, 3, null])
})

test('a customer without entitlements and without a mapping is no difference', async () => {
  const customer = { id: 'cus_nobody', metadata: {} }
  const { control } = await begin({
    [LIST]: [subscribed('sub_1', 'price_team', { customer })],
    [ENTITLEMENTS]: [],
  })
  const { differences } = (await reconcile(control)).body
  expect(differences.map(({ contract }: { contract: string }) => contract)).toEqual(['sub_1'])
})

test('an API that does not answer is no empty one', async () => {
  const { control } = await begin({ [LIST]: 500, [ENTITLEMENTS]: [] })
  expect((await reconcile(control)).body.code).toBe('refetch_failed')
})

describe('a CRM brings a list', () => {
  const data = (contract: string, revision: number, phase: object = {}) => ({
    ...{ contract, org: 'org_a', revision },
    phases: [{ plan: 'team', status: 'active', from: '2026-01-01T00:00:00Z', to: null, ...phase }],
  })
  const list = async (control: ControlUnderTest, entries: object[], page: object = {}, apply = true) =>
    await reconcile(control, { source: 'standard', apply, list: { entries, last: true, ...page } })
  const known = async () => {
    const { control } = await begin({})
    for (const number of ['C-1', 'C-2', 'C-3']) {
      await sendStandard(
        control,
        snapshot(number, 'org_a', 1, [{ plan: number === 'C-1' ? 'enterprise' : 'team' }]),
      )
    }
    return control
  }
  const states = async (control: ControlUnderTest) =>
    Object.fromEntries(
      (await rowsOf(control)).map(([id, plan, status]: string[]) => [id, `${plan} ${status}`]),
    )

  test('what is not on it has ended; what differs is repaired; what is the same is no difference', async () => {
    const control = await known()
    const entries = [data('C-1', 2), data('C-3', 1)]
    const told = (await list(control, entries, {}, false)).body
    expect(told).toMatchObject({
      checked: 3,
      differences: [
        { contract: 'C-1', here: [{ plan: 'enterprise' }], there: [{ plan: 'team' }], repaired: false },
        { contract: 'C-2', here: [{ status: 'active' }], there: [{ status: 'expired' }], repaired: false },
      ],
    })
    expect(await flagsOf(control, 'org_a')).toEqual(['reports', 'sso'])
    await list(control, entries)
    expect(await states(control)).toEqual({
      'C-1': 'team active',
      'C-2': 'team expired',
      'C-3': 'team active',
    })
    expect((await list(control, entries)).body.differences).toEqual([])
  })

  test('page by page, each ends what should be on it', async () => {
    const control = await known()
    await list(control, [data('C-1', 1, { plan: 'enterprise' }), data('C-2', 1)], { last: false })
    expect((await states(control))['C-3']).toBe('team active')
    await list(control, [], { after: 'C-2' })
    expect(await states(control)).toEqual({
      'C-1': 'enterprise active',
      'C-2': 'team active',
      'C-3': 'team expired',
    })
  })

  test('what the source says next of a contract that was missing still counts', async () => {
    const control = await known()
    await list(control, [data('C-1', 1, { plan: 'enterprise' })])
    expect((await states(control))['C-2']).toBe('team expired')
    await sendStandard(control, snapshot('C-2', 'org_a', 2, [{ plan: 'team' }]))
    expect((await states(control))['C-2']).toBe('team active')
    await list(control, [data('C-3', 1)], { after: 'C-2' })
    expect((await states(control))['C-3']).toBe('team active')
  })

  test('entries out of order are refused, as pages would end what is on another one', async () => {
    const control = await known()
    const answer = await list(control, [data('C-2', 1), data('C-1', 1)])
    expect([answer.status, answer.body.code]).toEqual([422, 'list_unordered'])
    expect((await states(control))['C-3']).toBe('team active')
  })

  test('an entry that names what is not known here is a problem, and takes away what it takes away', async () => {
    const control = await known()
    const { differences } = (await list(control, [data('C-1', 2, { plan: 'gold' })], { last: false })).body
    expect(differences).toMatchObject([
      { contract: 'C-1', problem: 'plan_unknown', detail: 'gold', repaired: false },
    ])
  })

  test('a subscription that somebody exported from Stripe is one', async () => {
    const control = await known()
    const entries = [subscribed('sub_1', 'price_enterprise')]
    await reconcile(control, { source: 'stripe', apply: true, list: { entries, last: true } })
    expect((await states(control)).sub_1).toBe('enterprise active')
    await reconcile(control, { source: 'stripe', apply: true, list: { entries: [], last: true } })
    expect((await states(control)).sub_1).toBe('enterprise expired')
  })
})

test.each(['standard', 'workos'])('%s cannot be asked', async (source) => {
  const { control, asked } = await begin({})
  const answer = await reconcile(control, { source })
  expect([answer.status, answer.body.code]).toEqual([422, 'source_not_reconcilable'])
  expect(asked).toEqual([])
})

test('without an API key it says that one is needed', async () => {
  const { control, asked } = await begin({}, { STRIPE_API_KEY: undefined })
  const answer = await reconcile(control)
  expect([answer.status, answer.body.code]).toEqual([422, 'source_without_key'])
  expect(asked).toEqual([])
})

test('a viewer may not', async () => {
  const { control } = await begin({})
  const answer = await control.call('POST', '/reconciliations', {
    role: 'viewer',
    body: { source: 'stripe' },
  })
  expect(answer.status).toBe(403)
})

test('an event that comes after a repair and reports an earlier state changes nothing', async () => {
  const { control } = await begin({ [LIST]: [subscribed('sub_1', 'price_enterprise')], [ENTITLEMENTS]: [] })
  await reconcile(control, { apply: true })
  // As it was sent before there was an API key: of its own second.
  const late = structuredClone(subscription)
  Object.assign(late.data, { object: { ...subscribed('sub_1', 'price_team'), customer: CUSTOMER } })
  const without = { ...control.environment, STRIPE_API_KEY: undefined }
  Object.assign(control.environment, without)
  const answer = await send(control, 'stripe', JSON.stringify(late))
  expect(answer.status).toBeLessThan(300)
  expect(await rowsOf(control)).toEqual([['sub_1', 'enterprise', 'active']])
})
