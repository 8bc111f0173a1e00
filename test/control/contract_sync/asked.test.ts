/** Stripe with an API key: an event says what to look at, and what is there is what counts. */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'
import {
  type Act,
  begin,
  entitled,
  has,
  mapped,
  startOver,
  subscribed,
  subscriptionObject,
  tell,
} from './stories.ts'
import { API_KEY, type StripeAnswers, stripeApiOf } from './stripe_api.ts'

const AT = 1_795_000_000
const SUBSCRIPTION = '/v1/subscriptions/sub_1'
const ENTITLEMENTS = '/v1/entitlements/active_entitlements'

let control: ControlUnderTest
const answers: Record<string, StripeAnswers[string]> = {}
beforeAll(async () => {
  control = await setUp({ STRIPE_API_KEY: API_KEY }, { fetch: stripeApiOf(answers).fetcher })
  await begin(control)
})
beforeEach(async () => {
  for (const path of Object.keys(answers)) delete answers[path]
  await startOver()
})

const event: Act = subscribed('sub_1', { at: AT, livemode: false })
const payer = (metadata: object) => ({ id: 'cus_1', object: 'customer', metadata })

describe('a subscription', () => {
  test('of a customer that was deleted is over where it was', async () => {
    const expanded = { customer: payer({ org_id: 'org_a' }) }
    answers[SUBSCRIPTION] = { ...subscriptionObject('sub_1', { prices: ['price_ent'] }), ...expanded }
    await tell(control, [event])
    expect(await has(control, 'org_a')).toBe('reports sso')
    const gone = { customer: { id: 'cus_1', object: 'customer', deleted: true } }
    answers[SUBSCRIPTION] = {
      ...subscriptionObject('sub_1', { status: 'canceled', prices: ['price_ent'] }),
      ...gone,
    }
    const answer = await tell(control, [subscribed('sub_1', { at: AT + 5, livemode: false })])
    expect(answer?.body.state).toBe('applied')
    expect(await has(control, 'org_a')).toBe('')
  })

  test('that Stripe does not know any more is over by what its event says', async () => {
    answers[SUBSCRIPTION] = subscriptionObject('sub_1', { metadata: { org_id: 'org_a' } })
    await tell(control, [event])
    answers[SUBSCRIPTION] = 404
    const over = subscribed('sub_1', { at: AT + 10, status: 'canceled', metadata: { org_id: 'org_a' } })
    const answer = await tell(control, [over])
    expect(answer?.body).toMatchObject({ state: 'quarantined', problem: 'refetch_refused' })
    expect(await has(control, 'org_a')).toBe('')
  })

  test('is taken up again by the cron where Stripe did not answer, and the sender need not send it again', async () => {
    answers[SUBSCRIPTION] = 500
    const answer = await tell(control, [event])
    expect([answer?.status, answer?.body.problem]).toEqual([202, 'refetch_failed'])
  })
})

test('entitlements are of the organization that the customer names', async () => {
  answers['/v1/customers/cus_1'] = payer({ org_id: 'org_a' })
  answers[ENTITLEMENTS] = [{ id: 'ent_1', object: 'entitlement', feature: 'feat_1', lookup_key: 'scim' }]
  const answer = await tell(control, [entitled('cus_1', ['scim'], AT)])
  expect(answer?.body.state).toBe('applied')
  expect(await has(control, 'org_a')).toBe('scim')
})

test('a customer that is mapped is that organization’s, whatever it says of itself', async () => {
  answers['/v1/customers/cus_1'] = payer({ org_id: 'org_a' })
  answers[ENTITLEMENTS] = [{ id: 'ent_1', object: 'entitlement', feature: 'feat_1', lookup_key: 'scim' }]
  await tell(control, [mapped('stripe/org/cus_1', 'org_b'), entitled('cus_1', ['scim'], AT)])
  expect([await has(control, 'org_a'), await has(control, 'org_b')]).toEqual(['', 'scim'])
})
