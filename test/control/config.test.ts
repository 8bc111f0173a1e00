/** The webhooks' part of the configuration: what is configured is on, and no problem shows a secret. */
import { expect, test } from 'vitest'
import { parseConfig } from '../../src/control/config.ts'
import { sourcesOf } from '../../src/control/contract_sync/sources/index.ts'

const BASE = {
  DB: { prepare() {} },
  ENTITLEMENTS: { put() {} },
  PUBLISHER: { getByName() {} },
  SCHEDULER: { getByName() {} },
  INBOX: { getByName() {} },
  ENVIRONMENTS: 'staging,production',
}
const bytes = (length: number) => `whsec_${btoa('k'.repeat(length))}`
const STRIPE = 'whsec_stripe0000000000'
const WORKOS = 'workos0000000000'

const webhooksOf = (vars: object) => {
  const parsed = parseConfig({ ...BASE, ...vars })
  return parsed.ok ? parsed.config.webhooks : parsed.problems
}

test('without secrets, no source is on', () => {
  expect(webhooksOf({})).toEqual({
    ...{ stripe: undefined, standard: undefined, workos: undefined, named: [] },
  })
})

test.each([
  [{}, []],
  [{ STANDARD_WEBHOOK_SECRETS: bytes(32) }, ['standard']],
  [{ STRIPE_WEBHOOK_SECRETS: STRIPE, WORKOS_WEBHOOK_SECRETS: WORKOS }, ['stripe', 'workos']],
])('of %j, what is configured is a source', (vars, names) => {
  const parsed = parseConfig({ ...BASE, ...vars })
  expect(parsed.ok && [...sourcesOf(parsed.config.webhooks, fetch).keys()]).toEqual(names)
})

test('what is not said has its default', () => {
  expect(webhooksOf({ STRIPE_WEBHOOK_SECRETS: STRIPE, WORKOS_WEBHOOK_SECRETS: WORKOS })).toEqual({
    stripe: { secrets: [STRIPE], apiKey: undefined, apiBase: 'https://api.stripe.com', testMode: false },
    ...{ standard: undefined, named: [] },
    workos: { secrets: [WORKOS], environment: 'production', asksPolicy: true },
  })
})

test('a source has settings of its own: endpoints with a name, the test mode, and whether clicks are approved', () => {
  const parsed = parseConfig({
    ...BASE,
    STANDARD_WEBHOOK_SECRETS_MARKET: `${bytes(24)},${bytes(32)}`,
    STANDARD_WEBHOOK_SECRETS_OLD_CRM: bytes(32),
    ...{ STRIPE_WEBHOOK_SECRETS: STRIPE, STRIPE_TEST_MODE: 'allow' },
    ...{ WORKOS_WEBHOOK_SECRETS: WORKOS, WORKOS_APPROVALS: 'skip' },
  })
  expect(parsed.ok && parsed.config.webhooks).toMatchObject({
    ...{ stripe: { testMode: true }, standard: undefined, workos: { asksPolicy: false } },
    named: [
      { name: 'market', secrets: [bytes(24), bytes(32)] },
      { name: 'old-crm', secrets: [bytes(32)] },
    ],
  })
  expect(parsed.ok && [...sourcesOf(parsed.config.webhooks, fetch).keys()]).toEqual([
    ...['stripe', 'standard/market', 'standard/old-crm', 'workos'],
  ])
})

test.each([
  ['rk_test_0000000000', true],
  ['sk_test_0000000000', true],
  ['rk_live_0000000000', false],
  [undefined, false],
])('with the API key %s, the test mode counts: %s', (STRIPE_API_KEY, testMode) => {
  const vars = { STRIPE_WEBHOOK_SECRETS: STRIPE, ...(STRIPE_API_KEY && { STRIPE_API_KEY }) }
  expect(webhooksOf(vars)).toMatchObject({ stripe: { testMode } })
})

test('secrets are lists, so that one can be rotated', () => {
  expect(
    webhooksOf({
      STRIPE_WEBHOOK_SECRETS: `${STRIPE}, ${STRIPE}next`,
      STRIPE_API_KEY: 'rk_live_0000000000',
      STRIPE_API_BASE: 'http://127.0.0.1:12111',
      STANDARD_WEBHOOK_SECRETS: `${bytes(24)},${bytes(32)}, ${bytes(64)}`,
      WORKOS_WEBHOOK_SECRETS: WORKOS,
      WORKOS_ENVIRONMENT: 'staging',
    }),
  ).toEqual({
    stripe: {
      secrets: [STRIPE, `${STRIPE}next`],
      apiKey: 'rk_live_0000000000',
      apiBase: 'http://127.0.0.1:12111',
      testMode: false,
    },
    standard: { secrets: [bytes(24), bytes(32), bytes(64)] },
    named: [],
    workos: { secrets: [WORKOS], environment: 'staging', asksPolicy: true },
  })
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
  [{ STANDARD_WEBHOOK_SECRETS_MARKET: bytes(23) }, 'STANDARD_WEBHOOK_SECRETS_MARKET'],
  [{ STRIPE_WEBHOOK_SECRETS: STRIPE, STRIPE_TEST_MODE: 'yes' }, 'STRIPE_TEST_MODE'],
  [{ STANDARD_WEBHOOK_SECRETS: bytes(23) }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ STANDARD_WEBHOOK_SECRETS: bytes(70) }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ STANDARD_WEBHOOK_SECRETS: 'whsec_canary' }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ STANDARD_WEBHOOK_SECRETS: btoa('k'.repeat(32)) }, 'STANDARD_WEBHOOK_SECRETS'],
  [{ WORKOS_WEBHOOK_SECRETS: 'canary' }, 'WORKOS_WEBHOOK_SECRETS'],
  [{ WORKOS_ENVIRONMENT: 'production' }, 'WORKOS_WEBHOOK_SECRETS'],
  [{ WORKOS_WEBHOOK_SECRETS: WORKOS, WORKOS_ENVIRONMENT: 'canary' }, 'WORKOS_ENVIRONMENT'],
])('%j is a problem of %s, which is named and not shown', (vars, name) => {
  const problems = webhooksOf(vars)
  expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name}: `))])
  expect(String(problems)).not.toContain('canary')
})
