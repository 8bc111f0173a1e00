/**
 * Nothing leads past the pipeline: whatever path, label, place, method or channel an access token of upstream's comes by, it
 * is minted or withheld.
 */
import { decodeJwt, SignJWT } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, GATEWAY, REFRESH_BODY, type Setup, setUp } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { makeSigner, UPSTREAM } from '../support/upstream.ts'

const log = captureLog()
let setup: Setup
let raw: string
beforeEach(async () => {
  setup = await setUp()
  raw = await setup.upstream.sign(setup.upstream.claims())
})

const post = (path: string, body = REFRESH_BODY, headers: Record<string, string> = FORM) =>
  setup.request(path, { method: 'POST', headers, body })
const type = (name: string) => `urn:ietf:params:oauth:token-type:${name}`
const exchange = (name: string) =>
  new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    requested_token_type: type(name),
  }).toString()

/** No part of upstream's token may be in what the client gets. */
async function textWithoutRaw(response: Response): Promise<string> {
  const text = (await response.text()) + (response.headers.get('location') ?? '')
  expect(text).not.toContain(raw)
  expect(log.text).not.toContain(raw)
  return text
}

async function expectMinted(response: Response): Promise<void> {
  expect(response.status).toBe(200)
  expect(log.last).toMatchObject({ access_token: 'minted' })
  expect(response.headers.get('cache-control')).toBe('no-store')
  const { access_token } = JSON.parse(await textWithoutRaw(response))
  expect(await setup.verified(access_token)).toMatchObject({ iss: GATEWAY, feature_flags: ['reports'] })
}

async function expectWithheld(response: Response, reason = 'access_token_misplaced'): Promise<void> {
  await textWithoutRaw(response)
  expect(response.status).toBe(503)
  expect(log.last).toMatchObject({ reason, access_token: 'withheld' })
}

describe('what upstream calls an access token does not make it another token', () => {
  // Keycloak returns both tokens where a refresh token was asked for, and names the refresh token.
  test.each(['id_token', 'refresh_token', 'saml1', 'saml2', 'jwt', 'access_token', 'made-up'])(
    'issued_token_type %s, asked for or not',
    async (name) => {
      setup.upstream.onToken = () =>
        setup.upstream.answer(raw, { issued_token_type: type(name), token_type: 'N_A' })
      await expectMinted(await post('/token'))
      await expectMinted(await post('/token', exchange(name)))
    },
  )

  const JWT = { typ: 'JWT' }
  const other: [string, string, () => Promise<string>][] = [
    ['an ID token of Keycloak', 'id_token', () => signed({ typ: 'ID' })],
    ['an ID token with a nonce', 'id_token', () => setup.upstream.idToken({ aud: 'https://api.test' })],
    ['a refresh token of Keycloak', 'refresh_token', () => signed({ typ: 'Refresh' })],
  ]
  const signed = (claims: Record<string, unknown>) => setup.upstream.sign(setup.upstream.claims(claims), JWT)

  test.each(other)('%s passes where it was asked for', async (_, name, make) => {
    const token = await make()
    setup.upstream.onToken = () => setup.upstream.answer(token, { issued_token_type: type(name) })
    expect(await (await post('/token', exchange(name))).json()).toMatchObject({ access_token: token })
    expect(log.last).toMatchObject({ access_token: 'other' })
  })

  test.each(other)('%s is withheld where it was not', async (_, name, make) => {
    raw = await make()
    setup.upstream.onToken = () => setup.upstream.answer(raw, { issued_token_type: type(name) })
    await expectWithheld(await post('/token'), 'not_an_access_token')
    await expectWithheld(await post('/token', exchange('saml2')), 'not_an_access_token')
  })
})

describe('an access token in an unusual place of an answer is withheld', () => {
  test.each<[string, () => string]>([
    ['repeated, and null at last', () => `{"access_token":"${raw}","access_token":null}`],
    ['in a list', () => `{"access_token":["${raw}"]}`],
    ['in an object', () => `{"access_token":{"value":"${raw}"}}`],
    ['within another member', () => `{"data":{"access_token":"${raw}"}}`],
    ['in camel case', () => `{"accessToken":"${raw}"}`],
    ['under an escaped name', () => `{"\\u0061ccess_token":["${raw}"]}`],
    ['beside an opaque one', () => `{"access_token":"opaque","nested":{"access_token":"${raw}"}}`],
    ['repeated within', () => `{"a":{"access_token":"${raw}","access_token":1}}`],
    ['in a list of answers', () => `{"all":[{"access_token":"${raw}"}]}`],
    ['in JSON within a string', () => JSON.stringify({ body: JSON.stringify({ access_token: raw }) })],
    ['in an address', () => `{"redirect_to":"https://app.test/cb#access_token=${raw}"}`],
    ['in an address within an address', () => `{"next":"/x?to=%2Fcb%23access_token%3D${raw}"}`],
    ['beside an opaque one, in an address', () => `{"access_token":"opaque","to":"/#access_token=${raw}"}`],
    [
      'twice, once within another member',
      () => `{"access_token":"${raw}","session":{"access_token":"${raw}"}}`,
    ],
    ['twice, once in camel case', () => `{"access_token":"${raw}","accessToken":"${raw}"}`],
  ])('%s', async (_, body) => {
    const headers = { 'content-type': 'application/json' }
    setup.upstream.onToken = () => new Response(body(), { headers })
    await expectWithheld(await post('/token'))
    setup.upstream.onToken = () => new Response(body(), { status: 400, headers })
    await expectWithheld(await post('/token'))
    setup.upstream.onOther = () => new Response(body(), { headers })
    await expectWithheld(await post('/another/path'))
  })

  test.each(['Bearer ', 'bearer ', 'DPoP ', 'JWT '])('behind its scheme: “%s”', async (scheme) => {
    setup.upstream.onToken = () => setup.upstream.answer(scheme + raw)
    await expectWithheld(await post('/token'), 'token_malformed')
  })

  test.each([400, 401, 403, 500])('with the status %i', async (status) => {
    setup.upstream.onToken = () => Response.json({ access_token: raw }, { status })
    await expectWithheld(await post('/token'))
  })

  test('one that is repeated and replaced everywhere is minted', async () => {
    setup.upstream.onToken = () => new Response(`{"access_token":"x","access_token":"${raw}"}`)
    await expectMinted(await post('/token'))
  })

  test('a token of another issuer’s API is not ours to withhold', async () => {
    const foreign = await setup.upstream.sign({ iss: 'https://graph.test' }, { kid: 'x' }, await makeSigner())
    const members = { oauth_tokens: { access_token: foreign } }
    setup.upstream.onToken = () => setup.upstream.answer(raw, members)
    expect(await (await post('/token')).json()).toMatchObject(members)
    setup.upstream.onOther = () => setup.upstream.answer(foreign)
    expect(await (await post('/other')).json()).toMatchObject({ access_token: foreign })
  })

  test('nor is one by another name', async () => {
    setup.upstream.onToken = () => setup.upstream.answer(raw, { refresh_token: raw })
    expect(await (await post('/token')).json()).toMatchObject({ refresh_token: raw })
  })
})

describe('another path at which upstream issues tokens', () => {
  test.each([
    ...['application/json', 'application/json;charset=utf-8', 'text/plain', 'text/html'],
    ...['application/problem+json', 'application/octet-stream'],
  ])('JSON that is declared %s is minted', async (contentType) => {
    const body = JSON.stringify({ access_token: raw, expires_in: 3600, refresh_token: 'r' })
    setup.upstream.onOther = () => new Response(body, { headers: { 'content-type': contentType } })
    const response = await post('/common/oauth2/v2.0/token')
    expect(log.last).toMatchObject({ route: 'proxy', warnings: ['access_token_at_another_path'] })
    await expectMinted(response)
  })

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('by %s', async (method) => {
    setup.upstream.onOther = () => setup.upstream.answer(raw)
    await expectMinted(await setup.request('/other', { method, body: 'x' }))
  })

  test('by GET, where that is a token request', async () => {
    setup.upstream.onOther = () => setup.upstream.answer(raw)
    await expectMinted(await setup.request('/other?grant_type=refresh_token&refresh_token=r'))
  })

  test('by GET, as JSON', async () => {
    setup.upstream.onOther = () => setup.upstream.answer(raw)
    await expectMinted(await setup.request('/session/token'))
  })

  test('expires_in is that of the minted token', async () => {
    setup.upstream.onOther = () => setup.upstream.answer(raw)
    expect(await (await post('/other')).json()).toMatchObject({ expires_in: 300, refresh_token: 'rotated' })
  })

  const large = () => `{"access_token":"${raw}","x":"${'x'.repeat(300_000)}"}`
  test.each([
    ['as a form', 'application/x-www-form-urlencoded', () => `access_token=${raw}&token_type=bearer`],
    ['as XML', 'application/xml', () => `<r><access_token>${raw}</access_token></r>`],
    ['in a page that posts itself', 'text/html', () => `<input name="access_token" value="${raw}"/>`],
    ['larger than what is looked at', 'application/json', large],
  ])('%s it is withheld', async (_, contentType, body) => {
    setup.upstream.onOther = () => new Response(body(), { headers: { 'content-type': contentType } })
    await expectWithheld(await post('/other'))
  })

  test('one that does not verify is withheld', async () => {
    raw = await setup.upstream.sign(setup.upstream.claims({ aud: 'https://other.test' }))
    setup.upstream.onOther = () => setup.upstream.answer(raw)
    await expectWithheld(await post('/other'), 'audience_mismatch')
  })

  test('UPSTREAM_TOKEN_PATHS: it goes through the pipeline from the start', async () => {
    setup = await setUp({ UPSTREAM_TOKEN_PATHS: '/common/token, /organizations/token' })
    raw = await setup.upstream.sign(setup.upstream.claims())
    setup.upstream.onOther = () => setup.upstream.answer(raw)
    for (const path of ['/common/token', '/organizations/token', '/Organizations/Token.xml']) {
      const response = await post(path)
      expect(log.last).toMatchObject({ route: 'token' })
      await expectMinted(response)
    }
    expect(setup.upstream.seen('/common/token').headers.get('accept')).toBe('application/json')
    expect((await setup.request('/common/token')).status).toBe(405)
  })

  test('what holds no access token is passed on byte for byte', async () => {
    const bytes = new Uint8Array([0x7b, 0xff, 0xfe, 0x00, 0x7d])
    const headers = { 'x-own': '1', etag: '"e"' }
    setup.upstream.onOther = () => new Response(bytes, { status: 201, headers })
    const response = await post('/upload-form')
    expect(response.status).toBe(201)
    expect(Object.fromEntries(response.headers)).toMatchObject(headers)
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes)
  })

  test('a large answer is passed on whole', async () => {
    const text = `{"items":"${'x'.repeat(1_000_000)}"}`
    setup.upstream.onOther = () => new Response(text, { headers: { 'content-type': 'application/json' } })
    expect(await (await post('/other')).text()).toBe(text)
  })

  test('a stream of events is not held up', async () => {
    const stream = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode('data: 1\n\n')),
    })
    setup.upstream.onOther = () => new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
    const reader = (await post('/events')).body?.getReader()
    expect(new TextDecoder().decode((await reader?.read())?.value as Uint8Array)).toBe('data: 1\n\n')
    await reader?.cancel()
  })

  describe('an answer that is slow', () => {
    const encoder = new TextEncoder()
    const slowly = (...pieces: string[]) => {
      const stream = new ReadableStream({
        async pull(controller) {
          const piece = pieces.shift()
          if (piece === undefined) return controller.close()
          controller.enqueue(encoder.encode(piece))
          await new Promise((resolve) => setTimeout(resolve, 2_100))
        },
      })
      const headers = { 'content-type': 'application/json' }
      setup.upstream.onOther = () => new Response(stream, { headers })
    }

    test('is streamed', async () => {
      slowly('{"rows":[1', ',2', ']}')
      expect(await (await post('/other')).text()).toBe('{"rows":[1,2]}')
    })

    test('and breaks off before an access token', async () => {
      const half = raw.slice(0, 40)
      slowly('{"rows":[],"access_', `token":"${half}`, `${raw.slice(40)}"}`)
      const response = await post('/other')
      const reader = response.body?.getReader()
      let text = ''
      await expect(async () => {
        for (;;) {
          const read = await reader?.read()
          if (!read || read.done) return
          text += new TextDecoder().decode(read.value)
        }
      }).rejects.toThrow()
      expect(text).not.toContain(half)
    })

    test('one of another kind is whole', async () => {
      slowly('{"access_token":', '"opaque', '"}')
      expect(await (await post('/other')).json()).toEqual({ access_token: 'opaque' })
    })
  })

  test('upstream is asked for what can be looked at', async () => {
    await post('/other', 'x', { 'accept-encoding': 'zstd, deflate' })
    expect(setup.upstream.seen('/other').headers.get('accept-encoding')).toBe('identity')
    await setup.request('/page', { headers: { 'accept-encoding': 'gzip, deflate, br;q=0.9, zstd' } })
    expect(setup.upstream.seen('/page').headers.get('accept-encoding')).toBe('gzip, br;q=0.9')
  })
})

describe('the front channel', () => {
  const redirect = (location: string) => () => new Response(null, { status: 302, headers: { location } })
  const CB = 'https://app.test/cb'
  const ERROR = 'error=unsupported_response_type&state=s'
  test.each<[string, () => string, string]>([
    ['token', () => `${CB}#access_token=${raw}&token_type=bearer&state=s`, `${CB}#${ERROR}`],
    ['code token', () => `${CB}#code=c&access_token=${raw}&state=s`, `${CB}#${ERROR}`],
    ['code id_token token', () => `${CB}?x=1#id_token=i&access_token=${raw}&state=s`, `${CB}?x=1#${ERROR}`],
    ['in a query', () => `${CB}?access_token=${raw}&state=s`, `${CB}?${ERROR}`],
    ['behind a route', () => `${CB}#/in#access_token=${raw}&state=s`, `${CB}#/in#${ERROR}`],
    ['in the query of a route', () => `${CB}#/in?access_token=${raw}&state=s`, `${CB}#/in?${ERROR}`],
    ['appended to a route', () => `${CB}#/in&access_token=${raw}&state=s`, `${CB}#${ERROR}`],
    ['as a route', () => `${CB}#/in/access_token=${raw}&state=s`, `${CB}#${ERROR}`],
    ['in camel case', () => `${CB}#accessToken=${raw}&state=s`, `${CB}#${ERROR}`],
    ['in an address', () => `${CB}?to=%2Fa%23access_token%3D${raw}&state=s`, `${CB}?${ERROR}`],
    [
      'in a query and a fragment',
      () => `${CB}?access_token=${raw}&state=s#access_token=${raw}`,
      `${CB}?${ERROR}`,
    ],
  ])('response_type %s', async (_, location, expected) => {
    setup.upstream.onOther = redirect(location())
    for (const path of ['/authorize?response_type=token', '/interaction/1/confirm']) {
      const response = await setup.request(path, { redirect: 'manual' })
      expect([response.status, response.headers.get('location')]).toEqual([302, expected])
      expect(log.last).toMatchObject({ access_token: 'withheld', warnings: ['access_token_in_redirect'] })
      await textWithoutRaw(response)
    }
  })

  /** JARM: the response is a JWT, signed by upstream, with the parameters as claims. */
  const secured = (claims: Record<string, unknown>) =>
    setup.upstream.sign({ iss: UPSTREAM, aud: 'app', state: 's', ...claims }, { typ: 'JWT' })

  test.each(['?', '#'])('in a secured response, behind %s', async (separator) => {
    const response = await secured({ access_token: raw })
    raw = response
    setup.upstream.onOther = redirect(`${CB}${separator}response=${response}`)
    const answer = await setup.request('/authorize?response_mode=jwt', { redirect: 'manual' })
    expect(answer.headers.get('location')).toBe(`${CB}${separator}${ERROR}`)
    await textWithoutRaw(answer)
  })

  const html = (page: string) => () =>
    new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } })
  test.each([
    '/authorize?response_type=token&response_mode=form_post',
    // Where browsers return to after the log-in: Auth0, IdentityServer, Keycloak.
    '/authorize/resume?state=x',
    '/connect/authorize/callback?client_id=app',
    '/realms/a/broker/google/endpoint?code=c&state=x',
  ])('a page that posts an access token is withheld: %s', async (path) => {
    setup.upstream.onOther = html(`<form><input type="hidden" name="access_token" value="${raw}"/></form>`)
    await expectWithheld(await setup.request(path))
    const response = await secured({ access_token: raw })
    setup.upstream.onOther = html(`<form><input name="response" value="${response}"/></form>`)
    raw = response
    await expectWithheld(await setup.request(path))
  })

  test('a page that does not is passed on byte for byte, with its headers', async () => {
    const page = `<p>${'grüße '.repeat(100_000)}</p>`
    setup.upstream.onOther = () =>
      new Response(page, {
        status: 403,
        headers: { 'content-type': 'text/html', etag: '"e"', 'content-security-policy': 'x' },
      })
    const response = await setup.request('/login')
    expect([
      response.status,
      response.headers.get('etag'),
      response.headers.get('content-security-policy'),
    ]).toEqual([403, '"e"', 'x'])
    expect(await response.text()).toBe(page)
  })

  test('the token endpoint does not redirect with one either', async () => {
    setup.upstream.onToken = redirect(`${CB}#access_token=${raw}`)
    await expectWithheld(await post('/token'))
  })

  test.each([
    ['text/html', (jwt: string) => `<pre>access_token: ${jwt}</pre>`],
    ['application/json', (jwt: string) => `{"properties":{"access_token":{"example":"${jwt}"}}}`],
  ])('an example in documentation stays: %s', async (type, page) => {
    const jwt = await new SignJWT({ sub: '1234567890', name: 'John Doe' })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(new Uint8Array(32))
    setup.upstream.onOther = () => new Response(page(jwt), { headers: { 'content-type': type } })
    expect(await (await setup.request('/docs')).text()).toBe(page(jwt))
  })

  test('a secured response with a code alone stays', async () => {
    const location = `${CB}?response=${await secured({ code: 'c' })}`
    setup.upstream.onOther = redirect(location)
    const response = await setup.request('/authorize', { redirect: 'manual' })
    expect(response.headers.get('location')).toBe(location)
  })

  test.each([`${CB}?code=c&state=s`, `${CB}#access_token=opaque&state=s`])('%s stays', async (location) => {
    setup.upstream.onOther = redirect(location)
    const response = await setup.request('/authorize', { redirect: 'manual' })
    expect(response.headers.get('location')).toBe(location)
  })
})

describe('discovery documents', () => {
  const ISSUER = `${UPSTREAM}/oauth2/default`
  beforeEach(async () => {
    setup = await setUp({ UPSTREAM_ISSUER: ISSUER })
    const { signed_metadata: _, ...metadata } = setup.upstream.metadata({ issuer: ISSUER })
    setup.upstream.onMetadata = () => Response.json(metadata)
    // Upstream serves it wherever it is asked for.
    setup.upstream.onOther = () => Response.json(metadata)
  })

  test.each([
    '/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server',
    '/oauth2/default/.well-known/openid-configuration',
    '/oauth2/default/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration/oauth2/default',
    '/.well-known/oauth-authorization-server/oauth2/default',
    '/OAuth2/default/.well-known/oauth-authorization-server/',
  ])('%s is the gateway’s', async (path) => {
    const document = await (await setup.request(path)).json()
    expect(document).toMatchObject({ issuer: GATEWAY, token_endpoint: `${GATEWAY}/token` })
    expect(JSON.stringify(document)).not.toContain(UPSTREAM)
  })

  test.each([
    '/oauth2/other/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server/oauth2/other',
    '/oauth2/default/.well-known/uma2-configuration',
    '/.well-known/openid-federation',
    '/.well-known/smart-configuration',
    '/oauth2/default/.well-known/uma-configuration',
    '/.well-known/udap',
    '/.well-known/host-meta.json',
    '/.well-known/udap/fhir',
    '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-protected-resource/mcp',
    '/.well-known/openid-credential-issuer',
    '/.well-known/webfinger?resource=acct%3Aada%40idp.test',
  ])('%s would lead past it, and is 404', async (path) => {
    expect((await setup.request(path)).status).toBe(404)
    expect(setup.upstream.count(path)).toBe(0)
  })
})

describe('hints that upstream did not sign', () => {
  const endpoints = {
    pushed_authorization_request_endpoint: `${UPSTREAM}/par`,
    backchannel_authentication_endpoint: `${UPSTREAM}/bc-authorize`,
  }
  let hint: string
  async function open(metadata: Record<string, unknown> = {}) {
    setup = await setUp()
    const { upstream } = setup
    upstream.onMetadata = () => Response.json(upstream.metadata({ ...endpoints, ...metadata }))
    upstream.onToken = async () =>
      upstream.tokens(undefined, { id_token: await upstream.idToken({ preferred_username: 'ada' }) })
    hint = (await setup.refreshed()).id_token ?? ''
  }
  beforeEach(() => open())
  const authorize = async (query: string) => {
    await setup.request(`/authorize?client_id=app&response_type=code&${query}&id_token_hint=${hint}`)
    return Object.fromEntries(setup.upstream.seen('/authorize').url.searchParams)
  }
  const SENT = { client_id: 'app', response_type: 'code' }

  test.each(['/par', '/bc-authorize', '/authorize'])('%s, in a form', async (path) => {
    await post(path, `client_id=app&scope=openid&id_token_hint=${hint}`)
    expect(setup.upstream.seen(path).body).toBe('client_id=app&scope=openid&login_hint=ada')
  })

  test('with prompt=none upstream learns whom it is about', async () => {
    expect(await authorize('prompt=none')).toEqual({ ...SENT, prompt: 'none', login_hint: 'ada' })
  })

  test('bindingly, where it takes claims', async () => {
    await open({ claims_parameter_supported: true })
    const claims = encodeURIComponent('{"userinfo":{"email":null},"id_token":{"acr":null}}')
    const sent = await authorize(`claims=${claims}`)
    expect(JSON.parse(sent.claims ?? '')).toEqual({
      userinfo: { email: null },
      id_token: { acr: null, sub: { value: decodeJwt(hint).sub } },
    })
  })

  test('a login_hint of the client’s own stays', async () => {
    expect(await authorize('login_hint=bob')).toEqual({ ...SENT, login_hint: 'bob' })
  })
})
