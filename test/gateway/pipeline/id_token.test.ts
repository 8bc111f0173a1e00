/** ID tokens beside an access token: re-signed with the algorithm that the client expects from upstream. */
import { base64url, decodeJwt, decodeProtectedHeader } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import {
  GATEWAY,
  gatewayKey,
  type Setup,
  setUp,
  type TokenAnswer,
  upstreamSigner,
} from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'

const log = captureLog()
let setup: Setup

const KEYS: Record<string, () => Promise<object[]>> = {
  ES256: async () => [await gatewayKey()],
  'ES256 and RS256': async () => [await gatewayKey(), await gatewayKey('RS256')],
  'RS256 and ES256': async () => [await gatewayKey('RS256'), await gatewayKey()],
  'ES256, RS256 and EdDSA': async () => [
    await gatewayKey(),
    await gatewayKey('RS256'),
    await gatewayKey('EdDSA'),
  ],
}

async function open(keys: string, vars: Record<string, string> = {}): Promise<void> {
  setup = await setUp({
    SIGNING_KEYS: JSON.stringify({ keys: await KEYS[keys]?.() }),
    UPSTREAM_ALGORITHMS: 'RS256,ES256,EdDSA,PS256',
    ...vars,
  })
}

/** A refresh whose ID token upstream signs with this algorithm, and its access token with ES256. */
async function refreshed(alg: string, claims: Record<string, unknown> = {}): Promise<TokenAnswer> {
  const signer = await upstreamSigner(alg)
  const { upstream } = setup
  upstream.onJwks = () => Response.json({ keys: [upstream.signer.jwk, signer.jwk] })
  upstream.onToken = async () => {
    const { iss, sub, iat, exp } = upstream.claims()
    const idToken = { iss, sub, iat, exp, aud: 'app', nonce: 'n1', ...claims }
    return upstream.tokens(upstream.claims(), {
      id_token: await upstream.sign(idToken, { typ: 'JWT', alg, kid: signer.jwk.kid }, signer),
    })
  }
  return setup.refreshed()
}

describe('the key set %s, and upstream’s ID token', () => {
  test.each([
    ['ES256', 'RS256', 'ES256'],
    ['ES256', 'ES256', 'ES256'],
    ['ES256 and RS256', 'RS256', 'RS256'],
    ['ES256 and RS256', 'ES256', 'ES256'],
    ['ES256 and RS256', 'EdDSA', 'ES256'],
    ['ES256 and RS256', 'PS256', 'ES256'],
    ['RS256 and ES256', 'ES256', 'ES256'],
    ['RS256 and ES256', 'PS256', 'RS256'],
    ['ES256, RS256 and EdDSA', 'EdDSA', 'EdDSA'],
  ])('keys %s, upstream %s: signed with %s', async (keys, alg, expected) => {
    await open(keys)
    const { access_token, id_token = '' } = await refreshed(alg, { at_hash: 'upstream’s' })
    expect(decodeProtectedHeader(id_token).alg).toBe(expected)
    expect(decodeProtectedHeader(access_token).alg, 'access tokens stay').toBe(keys.split(/[ ,]/)[0])
    expect(await setup.verified(id_token)).toMatchObject({ iss: GATEWAY, nonce: 'n1', aud: 'app' })
    expect((await setup.verified(access_token)).feature_flags).toEqual(['reports'])

    const hash = expected === 'EdDSA' ? 'SHA-512' : 'SHA-256'
    const digest = new Uint8Array(await crypto.subtle.digest(hash, new TextEncoder().encode(access_token)))
    expect(decodeJwt(id_token).at_hash).toBe(base64url.encode(digest.subarray(0, digest.length / 2)))
  })
})

describe('the discovery document says what clients will see', () => {
  test.each([
    ['ES256 and RS256', 'RS256', ['RS256']],
    ['ES256', 'RS256', ['ES256']],
  ])('keys %s, upstream %s: %j', async (keys, alg, expected) => {
    await open(keys)
    const document = await (await setup.request('/.well-known/openid-configuration')).json()
    const supported = (document as Record<string, string[]>).id_token_signing_alg_values_supported
    expect(supported).toEqual(expected)
    const { id_token = '' } = await refreshed(alg)
    expect(supported).toContain(decodeProtectedHeader(id_token).alg)
  })
})

describe('where upstream’s issuer is preserved', () => {
  beforeEach(() => open('ES256 and RS256', { TOKEN_ISSUER: 'preserve' }))

  test('an ID token with at_hash is signed with upstream’s algorithm', async () => {
    expect(decodeProtectedHeader((await refreshed('RS256', { at_hash: 'x' })).id_token ?? '').alg).toBe(
      'RS256',
    )
  })

  test('one without stays as upstream signed it', async () => {
    const { id_token = '' } = await refreshed('RS256')
    expect(decodeProtectedHeader(id_token).kid).toBe((await upstreamSigner('RS256')).jwk.kid)
    expect(log.last.id_token).toBeUndefined()
  })
})
