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
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'none'],
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
      request_uri_parameter_supported: false,
      ...custom,
      registration_endpoint: `${GATEWAY}/reg?x=1`,
      check_session_iframe: `${GATEWAY}/frame`,
    })
  })

  /** What upstream promises and a client of the gateway would not get: taken out, or with what is left of it. */
  describe('what cannot work is not promised', () => {
    const ALWAYS: [string, unknown, unknown][] = [
      ['signed_metadata', 'x.y.z', undefined],
      ['jwks', { keys: [] }, undefined],
      ['signed_jwks_uri', 'https://idp.test/jwks.jose', undefined],
      ['mtls_endpoint_aliases', { token_endpoint: 'https://mtls.idp.test/token' }, undefined],
      ['tls_client_certificate_bound_access_tokens', true, undefined],
      ['grant_types_supported', ['authorization_code', 'implicit'], ['authorization_code']],
      ['backchannel_token_delivery_modes_supported', ['poll', 'ping', 'push'], ['poll', 'ping']],
      ['token_endpoint_auth_methods_supported', ['tls_client_auth', 'none'], ['none']],
      ['revocation_endpoint_auth_methods_supported', ['self_signed_tls_client_auth'], []],
    ]
    const FOR_ANOTHER_ISSUER: [string, unknown, unknown][] = [
      ['token_endpoint_auth_methods_supported', ['private_key_jwt', 'client_secret_jwt', 'none'], ['none']],
      ['revocation_endpoint_auth_methods_supported', ['private_key_jwt', 'none'], ['none']],
      ['token_endpoint_auth_signing_alg_values_supported', ['RS256'], undefined],
      ['response_modes_supported', ['query', 'form_post', 'query.jwt'], ['query']],
      ['request_parameter_supported', true, undefined],
      ['request_uri_parameter_supported', true, false],
      ...[
        ...['authorization_signing_alg_values_supported', 'authorization_encryption_alg_values_supported'],
        ...['authorization_encryption_enc_values_supported', 'id_token_encryption_alg_values_supported'],
        ...['id_token_encryption_enc_values_supported', 'userinfo_signing_alg_values_supported'],
        ...['userinfo_encryption_alg_values_supported', 'userinfo_encryption_enc_values_supported'],
        ...['introspection_signing_alg_values_supported', 'introspection_encryption_alg_values_supported'],
        ...['introspection_encryption_enc_values_supported', 'request_object_signing_alg_values_supported'],
        ...[
          'request_object_encryption_alg_values_supported',
          'request_object_encryption_enc_values_supported',
        ],
        ...['require_request_uri_registration', 'require_signed_request_object'],
        ...['backchannel_logout_supported', 'backchannel_logout_session_supported'],
        ...['frontchannel_logout_supported', 'frontchannel_logout_session_supported'],
        'backchannel_authentication_request_signing_alg_values_supported',
      ].map((name): [string, unknown, unknown] => [name, ['RS256'], undefined]),
    ]
    const promised = async (name: string, value: unknown, vars: Record<string, string>) => {
      const setup = await setUp(vars)
      setup.upstream.onMetadata = () => Response.json(setup.upstream.metadata({ [name]: value }))
      return (await metadataOf(setup))[name]
    }

    test.each([...ALWAYS, ...FOR_ANOTHER_ISSUER])('%s: %j becomes %j', async (name, value, expected) => {
      expect(await promised(name, value, {})).toEqual(expected)
    })

    test.each(ALWAYS)(
      'nor where the issuer is preserved: %s: %j becomes %j',
      async (name, value, expected) => {
        expect(await promised(name, value, { TOKEN_ISSUER: 'preserve' })).toEqual(expected)
      },
    )

    test.each(FOR_ANOTHER_ISSUER)('what holds for upstream’s own issuer stays: %s', async (name, value) => {
      expect(await promised(name, value, { TOKEN_ISSUER: 'preserve' })).toEqual(value)
    })

    test.each([
      ['gateway', ['code', 'none']],
      ['preserve', ['code', 'code id_token', 'id_token', 'none']],
    ])('no access token comes in a redirect: %s', async (policy, expected) => {
      const types = ['code', 'code id_token', 'code token', 'id_token', 'id_token token', 'token', 'none']
      expect(await promised('response_types_supported', types, { TOKEN_ISSUER: policy })).toEqual(expected)
    })
  })

  test('where the issuer is preserved, so are its algorithms beside ours', async () => {
    const setup = await setUp({ TOKEN_ISSUER: 'preserve' })
    expect(await metadataOf(setup)).toMatchObject({
      issuer: UPSTREAM,
      token_endpoint: `${GATEWAY}/token`,
      jwks_uri: `${GATEWAY}/.well-known/jwks.json`,
      id_token_signing_alg_values_supported: ['ES256', 'RS256'],
    })
  })

  test.each([
    [`${UPSTREAM}/`, {}, `${GATEWAY}/`],
    [`${UPSTREAM}/tenant/`, {}, `${GATEWAY}/`],
    [`${UPSTREAM}/tenant`, {}, GATEWAY],
    [`${UPSTREAM}/`, { TOKEN_ISSUER: 'gateway' }, `${GATEWAY}/`],
    [`${UPSTREAM}/`, { TOKEN_ISSUER: GATEWAY }, GATEWAY],
    [`${UPSTREAM}/`, { TOKEN_ISSUER: 'preserve' }, `${UPSTREAM}/`],
  ])('upstream’s issuer %s with %j: the gateway’s is %s', async (issuer, vars, expected) => {
    const setup = await setUp({ UPSTREAM_ISSUER: issuer, ...vars })
    const metadata = setup.upstream.metadata({ issuer })
    setup.upstream.onMetadata = () => Response.json(metadata)
    setup.upstream.onOther = () => Response.json(metadata)
    expect((await metadataOf(setup)).issuer).toBe(expected)
    setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ iss: issuer }))
    const { iss } = await setup.verified((await setup.refreshed()).access_token)
    expect(iss, 'in tokens too').toBe(expected)
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

  describe('the algorithms of ID tokens are those that clients meet, now and after the next promotion', async () => {
    const { d: _, p: __, q: ___, dp: ____, dq: _____, qi: ______, ...retired } = await gatewayKey('RS256')
    const waiting = { ...(await makeSigningKey('EdDSA')), created_at: '2026-01-01T00:00:00Z' }
    test.each<[string, string[], object[], string[]]>([
      ['upstream’s, where there is such a key', ['RS256'], [await gatewayKey('RS256')], ['RS256']],
      ['as many as upstream has', ['RS256', 'ES256'], [await gatewayKey('RS256')], ['RS256', 'ES256']],
      ['that of access tokens, where there is none', ['RS256'], [], ['ES256']],
      ['none of a retired key', ['RS256'], [retired], ['ES256']],
      ['none that upstream never uses', ['ES256'], [await gatewayKey('RS256')], ['ES256']],
      ['none that is left unsigned, or is not verified here', ['none', 'HS256', 'ES256'], [], ['ES256']],
      ['that of a key that waits', ['RS256'], [waiting], ['ES256', 'EdDSA']],
    ])('%s', async (_, theirs, others, expected) => {
      const keys = [await gatewayKey(), ...others]
      const setup = await setUp({ SIGNING_KEYS: JSON.stringify({ keys }) })
      const metadata = setup.upstream.metadata({ id_token_signing_alg_values_supported: theirs })
      setup.upstream.onMetadata = () => Response.json(metadata)
      expect((await metadataOf(setup)).id_token_signing_alg_values_supported).toEqual(expected)
    })
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
