import fc from 'fast-check'
import {
  base64url,
  compactVerify,
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  type JSONWebKeySet,
} from 'jose'
import { describe, expect, test } from 'vitest'
import type { Claims } from '../../../src/core/claims.ts'
import { mint, mintIdToken } from '../../../src/gateway/pipeline/mint.ts'
import type { VerifiedToken } from '../../../src/gateway/pipeline/verify.ts'
import { configOf, GATEWAY, gatewayKey, keyringOf } from '../support/gateway.ts'
import { UPSTREAM } from '../support/upstream.ts'

const NOW = Date.parse('2026-06-01T00:00:00.700Z')
const SECONDS = Math.floor(NOW / 1000)
const META = { env: 'production', ver: '87.12', as_of: SECONDS, src: 'fresh' } as const
const NOTHING = { flags: [], until: null, meta: META }

/** What verification would give; only a test may make one. */
const verified = (claims: Claims) =>
  ({
    claims: { iss: UPSTREAM, exp: SECONDS + 3600, ...claims },
    alg: 'ES256',
    jwt: 'a.b.c',
  }) as unknown as VerifiedToken

async function mintOf(
  claims: Claims,
  entitlements: Parameters<typeof mint>[1] = NOTHING,
  vars = {},
  alg = 'ES256',
) {
  const keyring = await keyringOf(await gatewayKey(alg))
  const minted = await mint(verified(claims), entitlements, keyring.active, configOf(vars), NOW, NOW)
  return { ...minted, keyring, claims: decodeJwt(minted.jwt) as Record<string, unknown> }
}

describe('a minted token', () => {
  test.each(['ES256', 'RS256', 'EdDSA'])(
    '%s: says at+jwt, names its key, and verifies with the published one',
    async (alg) => {
      const { jwt, keyring } = await mintOf({}, NOTHING, {}, alg)
      const { kid } = await gatewayKey(alg)
      expect(decodeProtectedHeader(jwt)).toEqual({ alg, kid, typ: 'at+jwt' })
      await compactVerify(jwt, createLocalJWKSet({ keys: keyring.published } as unknown as JSONWebKeySet))
    },
  )

  test('keeps every claim of upstream but iss, iat, exp, jti and feature_flags', async () => {
    const kept = {
      sub: 'user_1',
      sid: 'session_1',
      org_id: 'org_acme',
      aud: ['https://api.test', 'other'],
      scope: 'openid profile',
      client_id: 'app',
      cnf: { jkt: 'thumbprint' },
      act: { sub: 'admin', act: { sub: 'service' } },
      roles: ['admin'],
      permissions: [],
      entitlements: ['old'],
      nbf: SECONDS - 1,
      auth_time: SECONDS - 100,
      'https://example.com/custom': { nested: [1, null, 'x'] },
      empty: null,
    }
    const upstream = { ...kept, iat: SECONDS - 50, jti: 'upstream-jti', feature_flags: ['stale'] }
    const { claims, jti } = await mintOf(upstream, { ...NOTHING, flags: ['a', 'b'] })
    expect(claims).toEqual({
      ...kept,
      iss: GATEWAY,
      iat: SECONDS,
      exp: SECONDS + 300,
      jti,
      feature_flags: ['a', 'b'],
      feature_flags_meta: META,
    })
  })

  describe('has a jti', () => {
    const jtiOf = async (members: object = {}, entitlements: object = {}, receivedAt = NOW) =>
      (
        await mint(
          { ...verified({ jti: 'x' }), ...members },
          { ...NOTHING, ...entitlements },
          (
            await keyringOf(await gatewayKey())
          ).active,
          configOf(),
          NOW,
          receivedAt,
        )
      ).jti

    test('that is a UUID of its own, and stands in the token', async () => {
      const { jti, claims } = await mintOf({ jti: 'x' })
      expect(jti).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(claims.jti).toBe(jti)
    })

    test('that is the same for a replay whose documents have not changed', async () => {
      expect(await jtiOf()).toBe(await jtiOf())
    })

    test.each<[string, object, object]>([
      ['another token of upstream’s', { jwt: 'another' }, {}],
      ['other flags', {}, { flags: ['sso'] }],
      ['other documents', {}, { meta: { ...META, ver: '88.12' } }],
      ['another fall-back', {}, { meta: { ...META, src: 'stale' } }],
      ['another environment', {}, { meta: { ...META, env: 'staging' } }],
    ])('that is another for %s', async (_, members, entitlements) => {
      expect(await jtiOf(members, entitlements)).not.toBe(await jtiOf())
    })

    test('that is another where upstream returns one token for several refreshes', async () => {
      expect(await jtiOf({}, {}, NOW + 1000)).not.toBe(await jtiOf())
    })

    test('that is the same for documents that were only read again', async () => {
      expect(await jtiOf({}, { meta: { ...META, as_of: SECONDS + 5 } })).toBe(await jtiOf())
    })
  })

  test('has no flag where none is on, rather than upstream’s', async () => {
    expect((await mintOf({ feature_flags: ['stale'] })).claims.feature_flags).toEqual([])
  })

  test.each([
    [{}, GATEWAY],
    [{ TOKEN_ISSUER: 'preserve' }, UPSTREAM],
    [{ TOKEN_ISSUER: 'https://tokens.test' }, 'https://tokens.test'],
  ])('with %j has the issuer %s', async (vars, iss) => {
    expect((await mintOf({}, NOTHING, vars)).claims.iss).toBe(iss)
  })
})

describe('exp is the earliest of upstream’s, the maximum, and the end of what pays for a flag', () => {
  test.each([
    ['the maximum', 3600, null, 300, 300],
    ['a longer maximum', 3600, null, 600, 600],
    ['upstream’s', 120, null, 300, 120],
    ['an end', 3600, 60, 300, 60],
    ['an end beyond the maximum', 3600, 900, 300, 300],
    ['upstream’s before an end', 30, 60, 300, 30],
  ])('%s', async (_, exp, end, maximum, expected) => {
    const until = end === null ? null : SECONDS + end
    const minted = await mintOf(
      { exp: SECONDS + exp },
      { ...NOTHING, until },
      { TOKEN_MAX_SECONDS: String(maximum) },
    )
    expect(minted.exp).toBe(SECONDS + expected)
    expect(minted.claims.exp).toBe(minted.exp)
  })

  test('in whole seconds, rounded down, so that expires_in is a whole number', async () => {
    expect((await mintOf({ exp: SECONDS + 120.9 })).exp).toBe(SECONDS + 120)
  })

  test('for any three', async () => {
    const seconds = fc.integer({ min: 1, max: 90_000 })
    await fc.assert(
      fc.asyncProperty(
        seconds,
        fc.option(seconds),
        fc.integer({ min: 30, max: 86_400 }),
        async (exp, end, maximum) => {
          const until = end === null ? null : SECONDS + end
          const minted = await mintOf(
            { exp: SECONDS + exp },
            { ...NOTHING, until },
            { TOKEN_MAX_SECONDS: String(maximum) },
          )
          const bounds = [SECONDS + exp, SECONDS + maximum, ...(until === null ? [] : [until])]
          expect(minted.exp).toBe(Math.min(...bounds))
        },
      ),
      { numRuns: 30 },
    )
  })
})

describe('an ID token is minted again where it would no longer be true', () => {
  const ID = { aud: 'app', sub: 'user_1', nonce: 'n1', iat: SECONDS - 1, auth_time: SECONDS - 5 }
  const mintId = async (claims: Claims, { replaced = true, vars = {}, alg = 'ES256' } = {}) => {
    const { active } = await keyringOf(await gatewayKey(alg))
    return mintIdToken(verified(claims), 'new.access.token', replaced, active, configOf(vars), NOW)
  }
  const PRESERVE = { vars: { TOKEN_ISSUER: 'preserve' } }

  test('its issuer changes: everything else stays, times and nonce included', async () => {
    const jwt = (await mintId(ID)) as string
    const { kid } = await gatewayKey()
    expect(decodeProtectedHeader(jwt)).toEqual({ alg: 'ES256', kid, typ: 'JWT' })
    expect(decodeJwt(jwt)).toEqual({ ...ID, iss: GATEWAY, exp: SECONDS + 3600 })
  })

  test.each([
    ['ES256', 'SHA-256'],
    ['RS256', 'SHA-256'],
    ['EdDSA', 'SHA-512'],
  ])('it carries at_hash: %s takes the left half of %s of the new access token', async (alg, hash) => {
    const jwt = (await mintId({ ...ID, at_hash: 'old' }, { ...PRESERVE, alg })) as string
    const digest = await crypto.subtle.digest(hash, new TextEncoder().encode('new.access.token'))
    const left = base64url.encode(new Uint8Array(digest).subarray(0, digest.byteLength / 2))
    expect(decodeJwt(jwt)).toEqual({ ...ID, iss: UPSTREAM, exp: SECONDS + 3600, at_hash: left })
  })

  test('what upstream says of flags in it is not repeated under our signature', async () => {
    const jwt = (await mintId({
      ...ID,
      feature_flags: ['sso'],
      feature_flags_meta: { src: 'fresh' },
    })) as string
    expect(decodeJwt(jwt)).not.toHaveProperty('feature_flags')
    expect(decodeJwt(jwt)).not.toHaveProperty('feature_flags_meta')
  })

  test('an at_hash is never added', async () => {
    expect(decodeJwt((await mintId(ID)) as string)).not.toHaveProperty('at_hash')
  })

  test.each([
    ['same issuer, no at_hash', ID, true],
    ['same issuer, at_hash of an access token that stays', { ...ID, at_hash: 'still true' }, false],
  ])('%s: it stays as it is', async (_, claims, replaced) => {
    expect(await mintId(claims, { ...PRESERVE, replaced })).toBeUndefined()
  })
})
