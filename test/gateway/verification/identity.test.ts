/** Why a presented token is inactive, and what is remembered of one that is not. */
import { base64url, CompactSign, importJWK } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { Identities } from '../../../src/gateway/verification/identity.ts'
import {
  configOf,
  GATEWAY,
  gatewayKey,
  keyringOf,
  makeSigningKey,
  type PrivateJwk,
} from '../support/gateway.ts'
import { AUDIENCE } from '../support/upstream.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')
const SECONDS = NOW / 1000
const META = { env: 'production', ver: '87.12', as_of: SECONDS, src: 'fresh' }
const CLAIMS = {
  iss: GATEWAY,
  aud: AUDIENCE,
  sub: 'user_1',
  org_id: 'org_acme',
  sid: 'session_1',
  exp: SECONDS + 300,
  feature_flags: ['a', 'b'],
  feature_flags_meta: META,
}

let key: PrivateJwk
let identities: Identities
beforeEach(async () => {
  key = await gatewayKey()
  identities = new Identities(configOf(), await keyringOf(key))
})

async function token(claims: object | string = {}, header: object = {}, signedBy = key): Promise<string> {
  const payload = typeof claims === 'string' ? claims : JSON.stringify({ ...CLAIMS, ...claims })
  return new CompactSign(new TextEncoder().encode(payload))
    .setProtectedHeader({ alg: signedBy.alg, kid: signedBy.kid, typ: 'at+jwt', ...header })
    .sign(await importJWK(signedBy, signedBy.alg))
}

const refused = (reason: string) => ({ ok: false, reason })

test('a token of the gateway is an identity', async () => {
  expect(await identities.verify(await token({ jti: 'token_1', iat: SECONDS }), NOW)).toEqual({
    ok: true,
    value: {
      sub: 'user_1',
      userId: 'user_1',
      orgId: 'org_acme',
      sid: 'session_1',
      jti: 'token_1',
      iat: SECONDS,
      exp: SECONDS + 300,
      flags: ['a', 'b'],
      meta: META,
      bound: false,
      claims: { ...CLAIMS, jti: 'token_1', iat: SECONDS },
    },
  })
})

test('a token without flags, subject or organization is one too', async () => {
  const bare = {
    sub: undefined,
    org_id: undefined,
    sid: undefined,
    feature_flags: undefined,
    feature_flags_meta: undefined,
  }
  expect(await identities.verify(await token(bare), NOW)).toMatchObject({
    ok: true,
    value: { sub: undefined, orgId: undefined, sid: undefined, flags: [], meta: undefined },
  })
})

test.each([{ jkt: 'x' }, { 'x5t#S256': 'x' }, {}])(
  'a token with the cnf %j says that it is bound',
  async (cnf) => {
    expect(await identities.verify(await token({ cnf }), NOW)).toMatchObject({
      ok: true,
      value: { bound: true },
    })
  },
)

test('a token of the next and of a retired key is one', async () => {
  const [next, retired] = [await makeSigningKey('EdDSA'), await makeSigningKey('ES256')]
  const { d: _, ...publicHalf } = retired
  identities = new Identities(configOf(), await keyringOf(key, next, publicHalf))
  for (const signedBy of [next, retired]) {
    expect((await identities.verify(await token({}, {}, signedBy), NOW)).ok).toBe(true)
  }
})

describe('every reason that a token is inactive', () => {
  const respelt = (compact: string, segment: number, respell: (text: string) => string) =>
    compact
      .split('.')
      .map((text, index) => (index === segment ? respell(text) : text))
      .join('.')
  const encode = (header: object) => base64url.encode(JSON.stringify(header))

  test.each<[string, string, () => string | Promise<string>]>([
    ['token_malformed', 'is no JWT', () => 'opaque'],
    ['token_malformed', 'has another spelling', async () => respelt(await token(), 0, (text) => `${text}=`)],
    ['token_malformed', 'has no exp', () => token({ exp: undefined })],
    ['token_malformed', 'has an exp that is text', () => token({ exp: `${SECONDS + 300}` })],
    ['token_malformed', 'holds no JSON', () => token('text')],
    ['token_too_large', 'is above 16 KiB', () => token({ filler: 'x'.repeat(16_000) })],
    ['token_header_refused', 'brings a key along', () => token({}, { jwk: key })],
    ['token_header_refused', 'brings an address along', () => token({}, { jku: 'https://evil.test' })],
    ['type_refused', 'is an ID token', () => token({}, { typ: 'JWT' })],
    ['type_refused', 'has no type', () => token({}, { typ: undefined })],
    ['key_unknown', 'is of another key', async () => token({}, {}, await makeSigningKey())],
    ['key_unknown', 'names no key', () => token({}, { kid: undefined })],
    [
      'algorithm_refused',
      'is unsigned',
      async () => respelt(await token(), 0, () => encode({ alg: 'none', kid: key.kid, typ: 'at+jwt' })),
    ],
    [
      'algorithm_refused',
      'is HS256',
      async () => respelt(await token(), 0, () => encode({ alg: 'HS256', kid: key.kid, typ: 'at+jwt' })),
    ],
    [
      'signature_invalid',
      'is changed',
      async () => respelt(await token(), 1, () => encode({ ...CLAIMS, feature_flags: ['everything'] })),
    ],
    [
      'signature_invalid',
      'is of another key under our id',
      async () => token({}, { kid: key.kid }, await makeSigningKey()),
    ],
    ['issuer_mismatch', 'is of another issuer', () => token({ iss: 'https://idp.test' })],
    ['audience_mismatch', 'is for somebody else', () => token({ aud: 'https://other.test' })],
    ['audience_mismatch', 'is for nobody', () => token({ aud: undefined })],
    ['token_expired', 'ends this second', () => token({ exp: SECONDS })],
    ['token_not_yet_valid', 'begins later', () => token({ nbf: SECONDS + 6 })],
  ])('%s: it %s', async (reason, _, make) => {
    const presented = await make()
    expect(await identities.verify(presented, NOW)).toEqual(refused(reason))
    expect(await identities.verify(presented, NOW), 'and again').toEqual(refused(reason))
  })
})

test('without a configured audience, none is asked for', async () => {
  const config = configOf({
    UPSTREAM_PROFILE: 'workos',
    UPSTREAM_CLIENT_ID: 'c',
    UPSTREAM_AUDIENCE: undefined,
    TOKEN_ISSUER: 'gateway',
  })
  identities = new Identities(config, await keyringOf(key))
  expect((await identities.verify(await token({ aud: undefined }), NOW)).ok).toBe(true)
})

describe('a remembered identity', () => {
  test('still expires', async () => {
    const presented = await token()
    expect((await identities.verify(presented, NOW)).ok).toBe(true)
    expect((await identities.verify(presented, NOW + 299_999)).ok).toBe(true)
    expect(await identities.verify(presented, NOW + 300_000)).toEqual(refused('token_expired'))
  })

  test('is not taken for that of a token with the same claims and another signature', async () => {
    const presented = await token()
    await identities.verify(presented, NOW)
    const [head, payload] = presented.split('.')
    const signature = base64url.encode(new Uint8Array(64).fill(1))
    expect(await identities.verify(`${head}.${payload}.${signature}`, NOW)).toEqual(
      refused('signature_invalid'),
    )
  })

  test('is not taken for that of another spelling', async () => {
    const presented = await token()
    await identities.verify(presented, NOW)
    for (const other of [` ${presented}`, `${presented}=`, `${presented}\n`]) {
      expect(await identities.verify(other, NOW)).toEqual(refused('token_malformed'))
    }
  })
})
