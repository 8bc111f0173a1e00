/** `onDecision`: what a developer or a metric needs to know, by name, and never the token or what is in it. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { GuardOptions } from '../../src/guard/index.ts'
import type { Setup } from '../gateway/support/gateway.ts'
import { captureLog } from '../gateway/support/log.ts'
import { mintToken, setUpVerification } from '../gateway/support/tokens.ts'
import { guardOf, requestWith } from './support/guard.ts'

captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
})

const REQUIRED = { all: ['reports'], any: [] }
const seconds = () => setup.now / 1000

test('an allowed request', async () => {
  const guard = guardOf(setup)
  await guard.check(requestWith(await mintToken(setup)), 'reports')
  expect(guard.decisions).toEqual([
    { allowed: true, reason: 'allowed', required: REQUIRED, freshness: 'claim' },
  ])
})

test.each<[string, () => Record<string, unknown>, Record<string, unknown>]>([
  ['another issuer', () => ({ iss: 'CANARY' }), { reason: 'claim_refused', claim: 'iss' }],
  ['another audience', () => ({ aud: 'CANARY' }), { reason: 'claim_refused', claim: 'aud' }],
  ['no audience', () => ({ aud: undefined }), { reason: 'claim_refused', claim: 'aud' }],
  ['no exp', () => ({ exp: undefined }), { reason: 'claim_refused', claim: 'exp' }],
  ['no iat', () => ({ iat: undefined }), { reason: 'claim_refused', claim: 'iat' }],
  ['nbf', () => ({ nbf: seconds() + 60 }), { reason: 'claim_refused', claim: 'nbf' }],
  [
    'no meta',
    () => ({ feature_flags_meta: undefined }),
    { reason: 'claim_refused', claim: 'feature_flags_meta' },
  ],
  [
    'another environment',
    () => ({ feature_flags_meta: { env: 'CANARY' } }),
    { reason: 'claim_refused', claim: 'feature_flags_meta.env' },
  ],
  ['the end', () => ({ exp: seconds() - 60 }), { reason: 'token_expired', claim: 'exp' }],
  ['a binding', () => ({ cnf: { jkt: 'CANARY' } }), { reason: 'token_bound', claim: 'cnf' }],
  [
    'no flag',
    () => ({ feature_flags: ['CANARY'.toLowerCase()] }),
    { reason: 'feature_missing', missing: ['reports'] },
  ],
])('a token refused for %s is reported by the name of it', async (_, claims, reported) => {
  const guard = guardOf(setup)
  const token = await mintToken(setup, claims())
  expect((await guard.check(requestWith(token), 'reports')).ok).toBe(false)
  expect(guard.decisions).toEqual([{ allowed: false, required: REQUIRED, freshness: 'claim', ...reported }])
  for (const secret of ['CANARY', 'canary', token])
    expect(JSON.stringify(guard.decisions)).not.toContain(secret)
})

test.each([
  ['no token', undefined, 'token_missing'],
  ['garbage', 'CANARY', 'token_malformed'],
])('%s', async (_, token, reason) => {
  const guard = guardOf(setup)
  await guard.check(requestWith(token), { any: ['a', 'b'] }, { freshness: 'live' })
  expect(guard.decisions).toEqual([
    { allowed: false, reason, required: { all: [], any: ['a', 'b'] }, freshness: 'live' },
  ])
})

describe('live', () => {
  test.each<[string, () => void, Record<string, unknown>]>([
    ['an answer', () => {}, { allowed: true, reason: 'allowed', freshness: 'live', live: 'allowed' }],
    [
      'no answer',
      () => {
        setup.kv.fault = () => Promise.reject(new Error('down'))
      },
      { allowed: true, reason: 'allowed', freshness: 'grace', live: 'state_unknown' },
    ],
    [
      'a revoked session',
      () => setup.kv.put('revoked:production:sid:session_1', { until: seconds() + 300 }),
      { allowed: false, reason: 'token_inactive', freshness: 'live', live: 'session_revoked' },
    ],
  ])('%s', async (_, prepare, reported) => {
    prepare()
    const guard = guardOf(setup, { freshness: 'live' })
    await guard.check(requestWith(await mintToken(setup)), 'reports')
    expect(guard.decisions).toEqual([{ required: REQUIRED, ...reported }])
  })
})

test.each<[string, GuardOptions['onDecision']]>([
  [
    'throws',
    () => {
      throw new Error('x')
    },
  ],
  ['rejects', () => Promise.reject(new Error('x'))],
  ['hangs', () => new Promise(() => {})],
  ['answers', () => false],
])('a hook that %s changes nothing', async (_, onDecision) => {
  const guard = guardOf(setup, { onDecision: onDecision as NonNullable<typeof onDecision> })
  expect((await guard.check(requestWith(await mintToken(setup)), 'reports')).ok).toBe(true)
  expect((await guard.check(requestWith('x'), 'reports')).ok).toBe(false)
})

test('the refusal of a preflight says what to do: the CORS handler comes first', async () => {
  const preflight = new Request('https://api.test/reports', {
    method: 'OPTIONS',
    headers: { origin: 'https://app.test', 'access-control-request-method': 'GET' },
  })
  const checked = await guardOf(setup).check(preflight, 'reports')
  if (checked.ok) throw new Error('it passed')
  expect(checked.response.status).toBe(401)
  expect(await checked.response.json()).toMatchObject({
    code: 'token_missing',
    detail: 'A CORS preflight carries no token. Let the CORS handler answer OPTIONS before the guard.',
  })
})
