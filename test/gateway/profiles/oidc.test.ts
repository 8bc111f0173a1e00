import { beforeEach, describe, expect, test } from 'vitest'
import { GATEWAY, type Setup, setUp } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { UPSTREAM } from '../support/upstream.ts'

captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

describe('upstream is found by its discovery document', () => {
  test('of OpenID Connect, once for many requests', async () => {
    await setup.refreshed()
    await setup.refreshed()
    expect(setup.upstream.count('/.well-known/openid-configuration')).toBe(1)
    expect(setup.upstream.count('/jwks')).toBe(1)
  })

  test('or else of OAuth 2 (RFC 8414)', async () => {
    setup.upstream.onMetadata = () => new Response('', { status: 404 })
    setup.upstream.onOther = ({ url }) =>
      url.endsWith('/.well-known/oauth-authorization-server')
        ? Response.json(setup.upstream.metadata())
        : new Response('', { status: 404 })
    await setup.verified((await setup.refreshed()).access_token)
  })

  test('where the path of its issuer says', async () => {
    const issuer = `${UPSTREAM}/realms/one`
    setup = await setUp({ UPSTREAM_ISSUER: issuer })
    setup.upstream.onOther = ({ url }) =>
      url.endsWith('/realms/one/.well-known/openid-configuration')
        ? Response.json(setup.upstream.metadata({ issuer }))
        : new Response('', { status: 404 })
    setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ iss: issuer }))
    await setup.verified((await setup.refreshed()).access_token)
  })

  test('and a redirect from there is not followed', async () => {
    setup.upstream.onMetadata = () =>
      new Response(null, { status: 302, headers: { location: 'https://evil.test' } })
    setup.upstream.onOther = () => new Response('', { status: 404 })
    expect((await setup.refresh()).status).toBe(503)
    expect(setup.upstream.requests.map(({ url, redirect }) => [url.host, redirect])).toEqual([
      ['idp.test', 'manual'],
      ['idp.test', 'manual'],
    ])
  })
})

test('an upstream that knows itself by the gateway’s address is called at its own origin, never through ourselves', async () => {
  setup = await setUp({ UPSTREAM_ISSUER: GATEWAY, TOKEN_ISSUER: 'preserve' })
  setup.upstream.onMetadata = () =>
    Response.json(
      setup.upstream.metadata({
        issuer: GATEWAY,
        token_endpoint: `${GATEWAY}/token`,
        jwks_uri: `${GATEWAY}/jwks`,
      }),
    )
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ iss: GATEWAY }))
  expect((await setup.verified((await setup.refreshed()).access_token)).iss).toBe(GATEWAY)
  expect(new Set(setup.upstream.requests.map(({ url }) => url.origin))).toEqual(new Set([UPSTREAM]))
})

test('while upstream cannot be described nothing is proxied: any path may be the token endpoint', async () => {
  setup.upstream.onMetadata = () => Promise.reject(new TypeError('refused'))
  setup.upstream.onOther = () => new Response('', { status: 404 })
  for (const [method, path] of [
    ['POST', '/oauth/token'],
    ['GET', '/login'],
  ] as const) {
    const response = await setup.request(path, { method })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
    expect(setup.upstream.count(path)).toBe(0)
  }
})

test('a token request in JSON goes to upstream as it came, which takes it or not', async () => {
  const body = '{ "grant_type": "refresh_token", "refresh_token": "r1" }'
  const json = { headers: { 'content-type': 'application/json' }, body }
  expect((await setup.refresh(json)).status).toBe(200)
  const seen = setup.upstream.seen('/token')
  expect([seen.body, seen.headers.get('content-type')]).toEqual([body, 'application/json'])
})
