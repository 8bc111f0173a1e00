/** The vars of sources: what is configured is on, and no problem shows a secret. */
import { expect, test } from 'vitest'
import { configureSources } from '../../../../src/control/contract_sync/sources/index.ts'
import apiSubscription from '../fixtures/stripe/api.subscription.json' with { type: 'json' }
import ruleUpdated from '../fixtures/workos/flag.rule_updated.json' with { type: 'json' }

const bytes = (length: number) => `whsec_${btoa('k'.repeat(length))}`
const STRIPE = 'whsec_stripe0000000000'
const WORKOS = 'workos0000000000'
const PADDLE = 'pdl_ntfset_000000000000'

const configured = (vars: Record<string, unknown>) =>
  configureSources(vars, { environments: ['staging', 'production'], fetcher: fetch })

test.each([
  [{}, []],
  [{ STANDARD_WEBHOOK_SECRETS: bytes(32) }, ['standard']],
  [{ STRIPE_WEBHOOK_SECRETS: STRIPE, WORKOS_WEBHOOK_SECRETS: WORKOS }, ['stripe', 'workos']],
  [
    { STRIPE_WEBHOOK_SECRETS: `${STRIPE}, ${STRIPE}next`, STRIPE_API_BASE: 'http://127.0.0.1:12111' },
    ['stripe'],
  ],
  [{ STANDARD_WEBHOOK_SECRETS: `${bytes(24)},${bytes(32)}, ${bytes(64)}` }, ['standard']],
  [{ PADDLE_WEBHOOK_SECRETS: PADDLE }, ['paddle']],
  [
    { STANDARD_WEBHOOK_SECRETS_MARKET: bytes(32), STANDARD_WEBHOOK_SECRETS_OLD_CRM: bytes(32) },
    ['standard/market', 'standard/old-crm'],
  ],
])('of %j, what is configured is a source', (vars, paths) => {
  const { sources, problems } = configured(vars)
  expect([[...sources.keys()], problems]).toEqual([paths, []])
})

test('a named endpoint is a source of its own name', () => {
  const { sources } = configured({ STANDARD_WEBHOOK_SECRETS_OLD_CRM: bytes(32) })
  expect(sources.get('standard/old-crm')?.name).toBe('standard-old-crm')
})

test.each([
  [{}, true],
  [{ WORKOS_APPROVALS: 'policy' }, true],
  [{ WORKOS_APPROVALS: 'skip' }, false],
])('with %j, clicks go through the policy: %s', async (vars, click) => {
  const { sources } = configured({ WORKOS_WEBHOOK_SECRETS: WORKOS, ...vars })
  const payload = JSON.parse(JSON.stringify(ruleUpdated))
  const event = { source: 'workos', id: 'event_1', type: 'flag.rule_updated', digest: '' }
  const parsed = await sources.get('workos')?.parse({ ...event, occurredAt: '', payload }, 0)
  expect(parsed).toMatchObject({ value: [{ type: 'flag.targets', click }] })
})

test.each([
  [{}, false],
  [{ STRIPE_TEST_MODE: 'allow' }, true],
  [{ STRIPE_API_KEY: 'rk_test_0000000000' }, true],
  [{ STRIPE_API_KEY: 'rk_live_0000000000' }, false],
  [{ STRIPE_API_KEY: 'rk_test_0000000000', STRIPE_TEST_MODE: 'refuse' }, false],
])('with %j, Stripe’s test mode counts: %s', async (vars, counts) => {
  const source = configured({ STRIPE_WEBHOOK_SECRETS: STRIPE, ...vars }).sources.get('stripe')
  const payload = { created: 1_795_000_000, livemode: false, data: { object: { subscription: null } } }
  const event = { source: 'stripe', id: 'evt_1', type: 'subscription_schedule.updated', digest: '' }
  const parsed = await source?.parse({ ...event, occurredAt: '2026-11-22T09:00:00.000Z', payload }, 0)
  expect(parsed).toMatchObject(counts ? { ok: true } : { ok: false, reason: 'test_mode' })
  const listed = source?.fromList?.({ ...apiSubscription, livemode: false }, 0)
  expect(listed).toMatchObject(counts ? { ok: true } : { ok: false, reason: 'test_mode' })
})

test.each([
  [{ STRIPE_WEBHOOK_SECRETS: '' }, 'STRIPE_WEBHOOK_SECRETS'],
  [{ STRIPE_WEBHOOK_SECRETS: `${STRIPE},` }, 'STRIPE_WEBHOOK_SECRETS'],
  [{ STRIPE_WEBHOOK_SECRETS: 'canary 0000000000000000' }, 'STRIPE_WEBHOOK_SECRETS'],
  [{ STRIPE_WEBHOOK_SECRETS: Array(5).fill(STRIPE).join() }, 'STRIPE_WEBHOOK_SECRETS'],
  [{ STRIPE_API_KEY: 'rk_live_0000000000' }, 'STRIPE_WEBHOOK_SECRETS'],
  [{ STRIPE_WEBHOOK_SECRETS: STRIPE, STRIPE_API_KEY: 'canary' }, 'STRIPE_API_KEY'],
  [{ STRIPE_WEBHOOK_SECRETS: STRIPE, STRIPE_API_BASE: 'http://api.stripe.com' }, 'STRIPE_API_BASE'],
  [{ STRIPE_WEBHOOK_SECRETS: STRIPE, STRIPE_API_BASE: 'https://api.stripe.com/v1' }, 'STRIPE_API_BASE'],
  [{ STRIPE_WEBHOOK_SECRETS: STRIPE, STRIPE_TEST_MODE: 'canary' }, 'STRIPE_TEST_MODE'],
  [{ STANDARD_WEBHOOK_SECRETS: bytes(23) }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ STANDARD_WEBHOOK_SECRETS: bytes(70) }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ STANDARD_WEBHOOK_SECRETS: 'whsec_canary' }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ STANDARD_WEBHOOK_SECRETS: btoa('k'.repeat(32)) }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ STANDARD_WEBHOOK_SECRETS_MARKET: bytes(23) }, 'STANDARD_WEBHOOK_SECRETS_MARKET'],
  [{ WORKOS_WEBHOOK_SECRETS: 'canary' }, 'WORKOS_WEBHOOK_SECRETS'],
  [{ WORKOS_ENVIRONMENT: 'production' }, 'WORKOS_WEBHOOK_SECRETS'],
  [{ WORKOS_WEBHOOK_SECRETS: WORKOS, WORKOS_ENVIRONMENT: 'canary' }, 'WORKOS_ENVIRONMENT'],
  [{ PADDLE_WEBHOOK_SECRETS: 'canary' }, 'PADDLE_WEBHOOK_SECRETS'],
])('%j is a problem of %s, which is named and not shown', (vars, name) => {
  const { problems } = configured(vars)
  expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name}: `))])
  expect(String(problems)).not.toContain('canary')
})
