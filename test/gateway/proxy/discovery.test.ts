import { describe, expect, test } from 'vitest'
import { GATEWAY, gatewayKey, makeSigningKey, type Setup, setUp } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { UPSTREAM } from '../support/upstream.ts'

const log = captureLog()

const METADATA = '/.well-known/openid-configuration'
async function metadataOf(setup: Setup, path = METADATA): Promise<Record<string, unknown>> {
  const response = await setup.request(path)
  expect(response.status).toBe(200)
  return response.json()
}

describe('upstream’s discovery document becomes the gateway’s', () => {
  test('every address of upstream is the gateway’s; others and other members stay', async () => {
    const setup = await setUp()
    const custom = {
      registration_endpoint: `${UPSTREAM}/reg?x=1`,
      check_session_iframe: `${UPSTREAM}/frame`,
      service_documentation: `${UPSTREAM}/docs`,
      op_policy_uri: 'https://www.example.com/policy',
      token_endpoint_auth_methods_supported: ['private_key_jwt', 'none'],
      code_challenge_methods_supported: ['S256'],
      'x-custom': { nested: `${UPSTREAM}/x` },
      broken_endpoint: 'not an address',
    }
    setup.upstream.onMetadata = () => Response.json(setup.upstream.metadata(custom))
    expect(await metadataOf(setup)).toEqual({
      issuer: GATEWAY,
      authorization_endpoint: `${GATEWAY}/authorize`,
      token_endpoint: `${GATEWAY}/token`,
      jwks_uri: `${GATEWAY}/.well-known/jwks.json`,
      end_session_endpoint: `${GATEWAY}/logout`,
      userinfo_endpoint: `${GATEWAY}/userinfo`,
      response_types_supported: ['code', 'none'],
      response_modes_supported: ['query', 'fragment'],
      id_token_signing_alg_values_supported: ['ES256'],
      ...custom,
      registration_endpoint: `${GATEWAY}/reg?x=1`,
      check_session_iframe: `${GATEWAY}/frame`,
    })
  })

  test('what upstream signs over its own addresses, or needs a client certificate, is taken out', async () => {
    const setup = await setUp()
    const mtls = { mtls_endpoint_aliases: { token_endpoint: 'https://mtls.idp.test/token' } }
    setup.upstream.onMetadata = () =>
      Response.json(setup.upstream.metadata({ ...mtls, userinfo_signing_alg_values_supported: ['RS256'] }))
    const metadata = await metadataOf(setup)
    for (const name of [
      'signed_metadata',
      'mtls_endpoint_aliases',
      'userinfo_signing_alg_values_supported',
    ]) {
      expect(metadata).not.toHaveProperty(name)
    }
  })

  test('where the issuer is preserved, so are its algorithms beside ours, and its response types', async () => {
    const setup = await setUp({ TOKEN_ISSUER: 'preserve' })
    setup.upstream.onMetadata = () =>
      Response.json(setup.upstream.metadata({ userinfo_signing_alg_values_supported: ['RS256'] }))
    expect(await metadataOf(setup)).toMatchObject({
      issuer: UPSTREAM,
      token_endpoint: `${GATEWAY}/token`,
      jwks_uri: `${GATEWAY}/.well-known/jwks.json`,
      response_types_supported: setup.upstream.metadata().response_types_supported,
      id_token_signing_alg_values_supported: ['ES256', 'RS256'],
      userinfo_signing_alg_values_supported: ['RS256'],
    })
  })

  test('a URL for an issuer is found under its own path too', async () => {
    const setup = await setUp({ TOKEN_ISSUER: `${GATEWAY}/tenant` })
    for (const path of [METADATA, `/tenant${METADATA}`, '/.well-known/oauth-authorization-server/tenant']) {
      expect(await metadataOf(setup, path)).toMatchObject({ issuer: `${GATEWAY}/tenant` })
    }
  })

  test.each([`${METADATA}/`, `/${METADATA}`, METADATA.toUpperCase(), '/.well-known%2Fopenid-configuration'])(
    'nobody is led past the gateway by another spelling: %s',
    async (path) => {
      expect(await metadataOf(await setUp(), path)).toMatchObject({ token_endpoint: `${GATEWAY}/token` })
    },
  )

  test('it names the algorithms of now and of after the next promotion, not those of retired keys', async () => {
    const [next, retired] = [await makeSigningKey('EdDSA'), await gatewayKey('RS256')]
    const { kty, n, e, alg, kid } = retired
    const keys = [await gatewayKey(), next, { kty, n, e, alg, kid }]
    const setup = await setUp({ SIGNING_KEYS: JSON.stringify({ keys }) })
    expect((await metadataOf(setup)).id_token_signing_alg_values_supported).toEqual(['ES256', 'EdDSA'])
  })

  test('any origin may read it, for five minutes', async () => {
    const setup = await setUp()
    const { headers } = await setup.request(METADATA)
    expect(headers.get('access-control-allow-origin')).toBe('*')
    expect(headers.get('cache-control')).toBe('public, max-age=300')
    expect(log.last).toMatchObject({ route: 'discovery' })
  })

  test('what a client would do with another method is upstream’s affair', async () => {
    const setup = await setUp()
    await metadataOf(setup)
    await setup.request(METADATA, { method: 'POST', body: 'x' })
    expect(setup.upstream.requests.at(-1)?.method).toBe('POST')
  })
})

describe('the published keys', () => {
  test.each(['/.well-known/jwks.json', '/jwks', '/JWKS/'])(
    '%s: ours, and no private member',
    async (path) => {
      const setup = await setUp()
      const response = await setup.request(path)
      const { kty, crv, x, y, kid, alg } = setup.signingKey
      const key = { kty, crv, x, y, kid, alg, use: 'sig', remint: 'production' }
      expect(await response.json()).toEqual({ keys: [key] })
      expect(response.headers.get('cache-control')).toBe('public, max-age=300')
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
    },
  )

  test('are upstream’s too where tokens carry its issuer', async () => {
    const setup = await setUp({ TOKEN_ISSUER: 'preserve' })
    const { keys } = (await (await setup.request('/jwks')).json()) as { keys: { kid: string }[] }
    expect(keys.map(({ kid }) => kid)).toEqual([setup.signingKey.kid, setup.upstream.signer.jwk.kid])
  })

  test('are not given without upstream’s: good tokens would look forged', async () => {
    const setup = await setUp({ TOKEN_ISSUER: 'preserve' })
    setup.upstream.onJwks = () => new Response('', { status: 500 })
    const response = await setup.request('/.well-known/jwks.json')
    expect([response.status, response.headers.get('cache-control')]).toEqual([503, 'no-store'])
    expect(await response.text()).not.toContain(setup.signingKey.x)
  })
})
