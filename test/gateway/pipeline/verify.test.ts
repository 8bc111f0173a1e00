/**
 * Every bad token that upstream might hand out, or be made to hand out, sent through the whole gateway: the access token
 * is withheld, nothing is minted, and the log names the reason without the token.
 */
import { base64url, CompactSign, generateSecret } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { GATEWAY, gatewayKey, type Setup, setUp, upstreamSigner } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { makeSigner, UPSTREAM } from '../support/upstream.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

const seconds = () => Math.floor(setup.now / 1000)
const encode = (value: unknown) => base64url.encode(JSON.stringify(value))

type Bend = { claims?: Record<string, unknown>; header?: Record<string, unknown> }
const token = ({ claims = {}, header = {} }: Bend = {}) =>
  setup.upstream.sign(setup.upstream.claims(claims), header)

/** The signature of upstream's key over exactly this header and payload. */
async function signedText(header: string, payload: string): Promise<string> {
  const input = `${base64url.encode(header)}.${base64url.encode(payload)}`
  const { key } = setup.upstream.signer
  const signature = await crypto.subtle.sign(
    { name: 'ECDSA', hash: 'SHA-256' },
    key,
    new TextEncoder().encode(input),
  )
  return `${input}.${base64url.encode(new Uint8Array(signature))}`
}

/** A token with another spelling of the same bytes in one of its segments. */
function respelt(compact: string, respell: (segment: string) => string, index: number): string {
  const segments = compact.split('.')
  segments[index] = respell(segments[index] as string)
  return segments.join('.')
}

async function expectWithheld(accessToken: string, reason: string) {
  setup.upstream.onToken = () => setup.upstream.answer(accessToken, { refresh_token: 'CANARY-refresh' })
  const response = await setup.refresh()
  const text = await response.text()
  expect(response.status).toBe(503)
  expect(JSON.parse(text)).toEqual({
    error: 'temporarily_unavailable',
    error_description: expect.any(String),
    request_id: expect.any(String),
  })
  expect(response.headers.get('retry-after')).toBe('2')
  expect(response.headers.get('cache-control')).toBe('no-store')

  expect(log.last).toMatchObject({ level: 'error', reason, access_token: 'withheld', status: 503 })
  expect(log.last, 'nothing was minted').not.toHaveProperty('jti')
  expect(setup.kv.reads, 'nothing was looked up').toEqual([])
  for (const secret of ['CANARY', accessToken, accessToken.split('.')[1]]) {
    expect(log.text).not.toContain(secret)
    expect(text).not.toContain(secret)
  }
}

describe('a token of another form or kind is withheld', () => {
  test.each<[string, () => string | Promise<string>, string]>([
    [
      'unsigned, without a signature',
      () => `${encode({ alg: 'none' })}.${encode(setup.upstream.claims())}.`,
      'token_malformed',
    ],
    [
      'unsigned, with one',
      () => `${encode({ alg: 'none' })}.${encode(setup.upstream.claims())}.AAAA`,
      'algorithm_refused',
    ],
    [
      'HS256',
      async () =>
        new CompactSign(new TextEncoder().encode(JSON.stringify(setup.upstream.claims())))
          .setProtectedHeader({ alg: 'HS256', kid: setup.upstream.signer.jwk.kid })
          .sign(await generateSecret('HS256')),
      'algorithm_refused',
    ],
    ['HS256 with the public key for a secret', () => hs256WithPublicKey(), 'algorithm_refused'],
    ['an algorithm that is not configured', async () => forged('EdDSA'), 'algorithm_refused'],
    ['another configured algorithm than the key’s', async () => relabelled('RS256'), 'key_unknown'],
    ['typ of another kind', () => token({ header: { typ: 'logout+jwt' } }), 'type_refused'],
    ['typ dpop+jwt', () => token({ header: { typ: 'dpop+jwt' } }), 'type_refused'],
    ['with jku', () => token({ header: { jku: 'https://evil.test/jwks' } }), 'token_header_refused'],
    ['with x5u', () => token({ header: { x5u: 'https://evil.test/x' } }), 'token_header_refused'],
    ['with jwk', () => token({ header: { jwk: setup.upstream.signer.jwk } }), 'token_header_refused'],
    [
      'with crit',
      () => signedText(JSON.stringify({ alg: 'ES256', crit: ['x'], x: 1 }), '{}'),
      'token_header_refused',
    ],
    ['with padding', async () => respelt(await token(), (s) => `${s}=`, 0), 'token_malformed'],
    [
      'with a newline',
      async () => respelt(await token(), (s) => `${s.slice(0, 4)}\n${s.slice(4)}`, 1),
      'token_malformed',
    ],
    ['with a space before it', async () => ` ${await token()}`, 'token_malformed'],
    [
      'with stray low bits in the signature',
      async () => respelt(await token(), strayBits, 2),
      'token_malformed',
    ],
    ['above 16 KiB', () => token({ claims: { filler: 'x'.repeat(13_000) } }), 'token_too_large'],
    ['with a payload that is not JSON', () => signedText(header(), 'CANARY'), 'payload_malformed'],
    ['with a payload that is a list', () => signedText(header(), '[]'), 'payload_malformed'],
    ['with a payload that is null', () => signedText(header(), 'null'), 'payload_malformed'],
  ])('%s', async (_, make, reason) => {
    await expectWithheld(await make(), reason)
  })

  // The rows of test/core/token_purpose.test.ts, as far as they end differently here.
  test.each([
    ['an ID token of Keycloak', { typ: 'ID' }],
    ['a refresh token of Keycloak', { typ: 'Refresh' }],
    ['an ID token of Cognito', { token_use: 'id' }],
    ['a logout token', { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }],
  ])('%s, which says so among its claims', async (_, says) => {
    const claims = { ...setup.upstream.claims(), ...says }
    await expectWithheld(await setup.upstream.sign(claims, { typ: 'JWT' }), 'not_an_access_token')
    await expectWithheld(await setup.upstream.sign(claims), 'not_an_access_token')
  })
})

// RFC 7517 section 4.5: ids should be distinct, for distinct keys. These were `key_unknown` once.
describe('an access token verifies with a key whose id is in the set twice', () => {
  test.each<[string, (own: object, other: object) => object[]]>([
    ['the same key', (own) => [own, own]],
    ['the same key, once without alg', (own) => [own, { ...own, alg: undefined }]],
    ['another key under its id, behind it', (own, other) => [own, other]],
    ['another key under its id, before it', (own, other) => [other, own]],
    ['both, and garbage', (own, other) => [null as never, other, { kty: 'XX' }, own, own]],
  ])('%s', async (_, keys) => {
    const own = setup.upstream.signer.jwk
    const other = { ...(await makeSigner('ES256')).jwk, kid: own.kid }
    setup.upstream.onJwks = () => Response.json({ keys: keys(own, other) })
    expect((await setup.verified((await setup.refreshed()).access_token)).feature_flags).toEqual(['reports'])
  })

  test('but not with one that neither of them is', async () => {
    const [own, other] = [setup.upstream.signer.jwk, await makeSigner('ES256')]
    setup.upstream.onJwks = () => Response.json({ keys: [{ ...other.jwk, kid: own.kid }, own] })
    const third = await makeSigner('ES256')
    const forged = await setup.upstream.sign(setup.upstream.claims(), { kid: own.kid }, third)
    await expectWithheld(forged, 'signature_invalid')
  })
})

// Only the authorization server can have put it into `access_token`; these were withheld once.
describe('an access token with claims of ID tokens is minted', () => {
  test.each([
    ['Keycloak before 25', 'JWT', { typ: 'Bearer', azp: 'c1', nonce: 'n1' }],
    ['Dex', undefined, { at_hash: 'x' }],
    ['authentik', 'JWT', { azp: 'c1', uid: 'x', nonce: 'n1' }],
    ['authentik, hybrid', 'JWT', { nonce: 'n1', at_hash: 'x', c_hash: 'y' }],
    ['Cognito', undefined, { token_use: 'access', nonce: 'n1' }],
  ])('%s', async (_, typ, says) => {
    const claims = { ...setup.upstream.claims(), ...says }
    const upstream = await setup.upstream.sign(claims, { typ })
    setup.upstream.onToken = () => setup.upstream.answer(upstream)
    const { access_token: minted } = await setup.refreshed()
    expect(await setup.verified(minted)).toMatchObject({ iss: GATEWAY, feature_flags: ['reports'], ...says })
  })
})

describe('a token of somebody else is withheld', () => {
  test('signed by an unknown key under a known id', async () => {
    const other = await makeSigner()
    const { kid } = setup.upstream.signer.jwk
    await expectWithheld(
      await setup.upstream.sign(setup.upstream.claims(), { kid }, other),
      'signature_invalid',
    )
  })

  test('signed by an unknown key: upstream is asked for new keys once, then not again for a while', async () => {
    await setup.refreshed()
    setup.now += 30_000
    setup.kv.reads.length = 0
    const other = await makeSigner()
    const claims = () => setup.upstream.claims()
    for (const kid of ['one', 'two', 'three']) {
      await expectWithheld(await setup.upstream.sign(claims(), { kid }, other), 'key_unknown')
    }
    expect(setup.upstream.count('/jwks')).toBe(2)
  })

  test('signed by an unknown key while upstream’s keys cannot be had: we cannot tell right now', async () => {
    await setup.refreshed()
    setup.now += 30_000
    setup.kv.reads.length = 0
    setup.upstream.onJwks = () => new Response('', { status: 500 })
    const other = await makeSigner()
    await expectWithheld(
      await setup.upstream.sign(setup.upstream.claims(), { kid: other.jwk.kid }, other),
      'keys_unreachable',
    )
  })

  test('ours, though it verifies', async () => {
    const { access_token: ours } = await setup.refreshed()
    setup.kv.reads.length = 0
    await expectWithheld(ours, 'token_is_ours')
  })

  test('signed by our key under an id of upstream’s', async () => {
    const { key } = await importOwn()
    const own = { key, alg: 'ES256', jwk: setup.upstream.signer.jwk }
    await expectWithheld(await setup.upstream.sign(setup.upstream.claims(), {}, own), 'signature_invalid')
  })

  test.each<[string, Bend, string]>([
    ['our own issuer', { claims: { iss: GATEWAY } }, 'issuer_mismatch'],
    ['another issuer', { claims: { iss: 'https://evil.test' } }, 'issuer_mismatch'],
    ['the issuer with a slash', { claims: { iss: `${UPSTREAM}/` } }, 'issuer_mismatch'],
    ['a list of issuers', { claims: { iss: [UPSTREAM] } }, 'issuer_mismatch'],
    ['no issuer', { claims: { iss: undefined } }, 'issuer_mismatch'],
    ['another audience', { claims: { aud: 'https://other.test' } }, 'audience_mismatch'],
    [
      'an audience that only contains ours',
      { claims: { aud: 'https://api.test.evil' } },
      'audience_mismatch',
    ],
    ['no audience', { claims: { aud: undefined } }, 'audience_mismatch'],
  ])('of %s', async (_, bend, reason) => {
    await expectWithheld(await token(bend), reason)
  })
})

describe('a token of another time is withheld', () => {
  test.each<[string, () => Bend, string]>([
    ['expired long ago', () => ({ claims: { exp: seconds() - 3600 } }), 'token_expired'],
    ['expired this second', () => ({ claims: { exp: seconds() } }), 'token_expired'],
    ['without exp', () => ({ claims: { exp: undefined } }), 'payload_malformed'],
    [
      'with an exp that is text',
      () => ({ claims: { exp: `${seconds() + 60}` as unknown as number } }),
      'payload_malformed',
    ],
    ['not valid yet', () => ({ claims: { nbf: seconds() + 61 } }), 'token_not_yet_valid'],
    [
      'with an nbf that is text',
      () => ({ claims: { nbf: 'soon' as unknown as number } }),
      'payload_malformed',
    ],
  ])('%s', async (_, bend, reason) => {
    const { claims = {} } = bend()
    await expectWithheld(await signedText(header(), JSON.stringify(setup.upstream.claims(claims))), reason)
  })
})

describe('what tidy and less tidy upstreams hand out is accepted', () => {
  test.each<[string, Bend]>([
    ['typ at+jwt', {}],
    ['typ application/at+jwt', { header: { typ: 'application/at+jwt' } }],
    ['typ JWT', { header: { typ: 'JWT' } }],
    ['no typ', { header: { typ: undefined } }],
    ['no kid, where there is a single key', { header: { kid: undefined } }],
    ['several audiences', { claims: { aud: ['other', 'https://api.test'] } }],
    ['audiences joined by spaces', { claims: { aud: 'other https://api.test' } }],
    ['a clock a little ahead', { claims: { nbf: Math.floor(Date.now() / 1000) + 3 } }],
    ['a nonce in a token that says it is an access token', { claims: { nonce: 'n' } }],
  ])('%s', async (_, bend) => {
    const accessToken = await token(bend)
    setup.upstream.onToken = () => setup.upstream.answer(accessToken)
    const answer = await setup.refreshed()
    expect((await setup.verified(answer.access_token)).feature_flags).toEqual(['reports'])
  })

  test('a key that upstream has just begun to sign with', async () => {
    await setup.refreshed()
    setup.now += 30_000
    const other = await makeSigner()
    setup.upstream.onJwks = () => Response.json({ keys: [setup.upstream.signer.jwk, other.jwk] })
    const accessToken = await setup.upstream.sign(setup.upstream.claims(), {}, other)
    setup.upstream.onToken = () => setup.upstream.answer(accessToken)
    await setup.verified((await setup.refreshed()).access_token)
    expect(setup.upstream.count('/jwks')).toBe(2)
  })
})

const header = () => JSON.stringify({ alg: 'ES256', kid: setup.upstream.signer.jwk.kid, typ: 'at+jwt' })

async function hs256WithPublicKey(): Promise<string> {
  const { signer } = setup.upstream
  return new CompactSign(new TextEncoder().encode(JSON.stringify(setup.upstream.claims())))
    .setProtectedHeader({ alg: 'HS256', kid: signer.jwk.kid })
    .sign(new TextEncoder().encode(JSON.stringify(signer.jwk)))
}

const forged = async (alg: string) => setup.upstream.sign(setup.upstream.claims(), {}, await makeSigner(alg))

/** Upstream's token, claiming to be signed with another algorithm. */
const relabelled = async (alg: string) =>
  respelt(await token(), () => encode({ alg, kid: setup.upstream.signer.jwk.kid, typ: 'at+jwt' }), 0)

/** A 64-byte signature leaves four spare bits in its last character. */
function strayBits(signature: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return signature.slice(0, -1) + alphabet[alphabet.indexOf(signature.at(-1) as string) + 1]
}

async function importOwn(): Promise<{ key: CryptoKey }> {
  const { importJWK } = await import('jose')
  await upstreamSigner()
  return { key: (await importJWK(await gatewayKey(), 'ES256')) as CryptoKey }
}
