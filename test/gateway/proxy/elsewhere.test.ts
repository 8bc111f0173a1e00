/** Endpoints at another origin than the issuer (Cognito, Google): the gateway is in front of them all the same. */
import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, GATEWAY, REFRESH_BODY, type Setup } from '../support/gateway.ts'
import { mintToken, setUpVerification } from '../support/tokens.ts'
import { UPSTREAM } from '../support/upstream.ts'

const O = 'https://login.cloud.test'
let setup: Setup

beforeEach(async () => {
  setup = await setUpVerification()
  const metadata = setup.upstream.metadata({
    token_endpoint: `${O}/token`,
    authorization_endpoint: `${O}/oauth2/authorize`,
    revocation_endpoint: `${O}/oauth2/revoke`,
    end_session_endpoint: `${O}/signout`,
    pushed_authorization_request_endpoint: `${O}/oauth2/par`,
    authorization_response_iss_parameter_supported: true,
  })
  setup.upstream.onMetadata = () => Response.json(metadata)
})

const urls = () => setup.upstream.requests.map(({ url }) => url.origin + url.pathname)
const post = (path: string, body: string) => setup.request(path, { method: 'POST', headers: FORM, body })
const idToken = () => mintToken(setup, { aud: 'app', email: 'ada@acme.test' }, { typ: 'JWT' })

test('clients learn the gateway’s address of each, and that no iss comes back', async () => {
  const document = await (await setup.request('/.well-known/openid-configuration')).json()
  expect(document).toMatchObject({
    token_endpoint: `${GATEWAY}/token`,
    authorization_endpoint: `${GATEWAY}/oauth2/authorize`,
    revocation_endpoint: `${GATEWAY}/oauth2/revoke`,
    end_session_endpoint: `${GATEWAY}/signout`,
    pushed_authorization_request_endpoint: `${GATEWAY}/oauth2/par`,
  })
  expect(document).not.toHaveProperty('authorization_response_iss_parameter_supported')
})

test('a refresh and its preflight go there', async () => {
  expect((await post('/token', REFRESH_BODY)).status).toBe(200)
  const headers = { origin: 'https://app.test', 'access-control-request-method': 'POST' }
  await setup.request('/token', { method: 'OPTIONS', headers })
  expect(urls().filter((url) => url.endsWith('/token'))).toEqual([`${O}/token`, `${O}/token`])
})

describe('revocation', () => {
  test('of a minted token ends it, and reaches upstream', async () => {
    const token = await mintToken(setup)
    expect((await post('/oauth2/revoke', `token=${token}`)).status).toBe(200)
    expect(setup.kv.values.has('revoked:production:jti:token_1')).toBe(true)
    expect(urls()).toContain(`${O}/oauth2/revoke`)
  })

  test('of a refresh token is upstream’s', async () => {
    await post('/oauth2/revoke', 'token=rt&client_id=c1')
    expect(urls().at(-1)).toBe(`${O}/oauth2/revoke`)
    expect(setup.upstream.requests.at(-1)?.body).toBe('token=rt&client_id=c1')
  })

  test('its preflight goes there too', async () => {
    const headers = { origin: 'https://app.test', 'access-control-request-method': 'POST' }
    await setup.request('/oauth2/revoke', { method: 'OPTIONS', headers })
    expect(urls().at(-1)).toBe(`${O}/oauth2/revoke`)
  })
})

describe('browsers go on by themselves, with upstream’s cookies, and without a hint that upstream did not sign', () => {
  test('to log out, and the session ends here', async () => {
    const query = new URLSearchParams({ id_token_hint: await idToken(), state: 's' })
    const response = await setup.request(`/signout?${query}`, { redirect: 'manual' })
    expect([response.status, response.headers.get('location')]).toEqual([
      303,
      `${O}/signout?state=s&client_id=app`,
    ])
    expect(setup.kv.values.has('revoked:production:sid:session_1')).toBe(true)
  })

  test('to log out by a form', async () => {
    const body = new URLSearchParams({ id_token_hint: await idToken(), state: 's' }).toString()
    const init = { method: 'POST', headers: FORM, body, redirect: 'manual' } as const
    const response = await setup.request('/signout', init)
    expect(response.headers.get('location')).toBe(`${O}/signout?state=s&client_id=app`)
  })

  test.each(['/signout', '/oauth2/authorize'])('but the preflight of %s is answered there', async (path) => {
    const headers = { origin: 'https://app.test', 'access-control-request-method': 'GET' }
    setup.upstream.onOther = () => new Response(null, { status: 204 })
    expect((await setup.request(path, { method: 'OPTIONS', headers })).status).toBe(204)
    expect(urls().at(-1)).toBe(O + path)
  })

  test('to log in', async () => {
    const query = 'response_type=code&client_id=app&scope=openid&prompt=none'
    const response = await setup.request(`/oauth2/authorize?${query}&id_token_hint=${await idToken()}`, {
      redirect: 'manual',
    })
    const location = new URL(response.headers.get('location') ?? '')
    expect(location.origin + location.pathname).toBe(`${O}/oauth2/authorize`)
    expect(Object.fromEntries(location.searchParams)).toEqual({
      ...Object.fromEntries(new URLSearchParams(query)),
      login_hint: 'ada@acme.test',
    })
  })
})

test('a pushed request goes there, without the hint', async () => {
  await post('/oauth2/par', `client_id=app&response_type=code&id_token_hint=${await idToken()}`)
  expect(urls().at(-1)).toBe(`${O}/oauth2/par`)
  expect(setup.upstream.requests.at(-1)?.body).toBe(
    'client_id=app&response_type=code&login_hint=ada%40acme.test',
  )
})

test('everything else goes to upstream’s own origin', async () => {
  await setup.request('/oauth2/other')
  expect(urls().at(-1)).toBe(`${UPSTREAM}/oauth2/other`)
})
