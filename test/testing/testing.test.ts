/** Tokens for a service's own tests: like the gateway's, and accepted by no guard but that of the tests. */
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import { createGuard, type GuardOptions } from '../../src/guard/index.ts'
import {
  mintTestToken,
  revokeTestToken,
  type TestTokenOptions,
  testGuardOptions,
  testKeySet,
} from '../../src/testing/index.ts'
import { captureLog } from '../gateway/support/log.ts'
import { setUpVerification } from '../gateway/support/tokens.ts'
import { guardOf, requestWith } from '../guard/support/guard.ts'

captureLog()

async function outcome(token: string, options: Partial<GuardOptions> = {}, required = 'reports') {
  const checked = await createGuard({ ...testGuardOptions(), ...options }).check(requestWith(token), required)
  return checked.ok ? checked.identity.freshness : checked.reason
}

test('a token has the form of a minted one', async () => {
  const token = await mintTestToken({ features: ['sso', 'reports', 'sso'], orgId: 'org_acme', userId: 'ada' })
  expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
  const claims = decodeJwt(token)
  expect(claims).toEqual({
    iss: 'https://auth.remint.test',
    aud: 'https://api.remint.test',
    sub: 'ada',
    org_id: 'org_acme',
    sid: expect.any(String),
    jti: expect.any(String),
    client_id: 'client_test',
    iat: expect.any(Number),
    exp: (claims.iat ?? 0) + 300,
    feature_flags: ['reports', 'sso'],
    feature_flags_meta: { env: 'test', ver: '1.1', as_of: claims.iat, src: 'fresh' },
  })
})

test.each<[string, Partial<TestTokenOptions>, string]>([
  ['as it is', {}, 'claim'],
  ['without the feature', { features: [] }, 'feature_missing'],
  ['that has expired', { ageSeconds: 600 }, 'token_expired'],
  ['that is young enough', { ageSeconds: 299 }, 'claim'],
  ['that lives longer', { ageSeconds: 600, lifetimeSeconds: 900 }, 'claim'],
  ['of another issuer', { issuer: 'https://else.test' }, 'claim_refused'],
  ['for another audience', { audience: 'https://else.test' }, 'claim_refused'],
  ['for several', { audience: ['a', 'https://api.remint.test'] }, 'claim'],
  ['of another environment', { environment: 'staging' }, 'claim_refused'],
  ['bound to a key', { claims: { cnf: { jkt: 'x' } } }, 'token_bound'],
  ['without exp', { claims: { exp: undefined } }, 'claim_refused'],
])('a token %s: %s', async (_, options, expected) => {
  expect(await outcome(await mintTestToken({ features: ['reports'], ...options }))).toBe(expected)
})

test('a guard with an issuer and an audience of its own', async () => {
  const own = { issuer: 'https://auth.example.com', audience: 'https://api.example.com' }
  expect(await outcome(await mintTestToken({ features: ['reports'], ...own }), own)).toBe('claim')
})

describe('live', () => {
  test('answers by the features, until the token is revoked', async () => {
    const live = { freshness: 'live' } as const
    const token = await mintTestToken({ features: ['reports'] })
    expect(await outcome(token, live)).toBe('live')
    revokeTestToken(token)
    expect(await outcome(token, live)).toBe('token_inactive')
    expect(await outcome(await mintTestToken({ features: ['reports'] }), live)).toBe('live')
  })
})

test('the key set verifies the tokens in another process', async () => {
  const set = await testKeySet('staging')
  expect(set.keys).toEqual([expect.objectContaining({ alg: 'ES256', remint: 'staging' })])
  expect(set.keys[0]).not.toHaveProperty('d')
  await jwtVerify(await mintTestToken({ features: [] }), createLocalJWKSet(set))
})

test('a real guard takes no token of a test, and a guard of the tests no real one', async () => {
  const setup = await setUpVerification()
  const claims = { features: ['reports'], issuer: 'https://auth.test', audience: 'https://api.test' }
  const fake = await mintTestToken({ ...claims, environment: 'production' })
  expect(await guardOf(setup).check(requestWith(fake))).toMatchObject({ ok: false, reason: 'key_unknown' })
})

test.each<[unknown]>([
  [undefined],
  [{}],
  [{ features: 'reports' }],
  [{ features: ['Not A Flag'] }],
  [{ features: [undefined] }],
  [{ features: [], org: 'org_acme' }],
  [{ features: [], sub: 'ada' }],
])('the options %j are a mistake', async (options) => {
  await expect(mintTestToken(options as never)).rejects.toThrow(TypeError)
})
