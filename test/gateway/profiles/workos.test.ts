import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, type Setup, setUp, WORKOS } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { UPSTREAM } from '../support/upstream.ts'

captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp(WORKOS)
})

const PATH = '/user_management/authenticate'
const JSON_TYPE = { 'content-type': 'application/json' }
const BODY = {
  grant_type: 'refresh_token',
  client_id: 'client_1',
  refresh_token: 'r1',
  organization_id: 'org_acme',
}

/** What WorkOS answers: no expires_in, no token_type, no aud in the token. */
const answers = async (members: Record<string, unknown> = {}) =>
  Response.json({
    user: { object: 'user', id: 'user_1', email: 'a@example.com' },
    organization_id: 'org_acme',
    access_token: await setup.upstream.sign(
      setup.upstream.claims({ aud: undefined, role: 'admin', permissions: ['a'], entitlements: ['b'] }),
      { typ: undefined },
    ),
    refresh_token: 'rotated',
    authentication_method: 'Password',
    ...members,
  })

const authenticate = (init: RequestInit = {}) =>
  setup.request(PATH, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(BODY), ...init })

describe('a refresh', () => {
  beforeEach(() => {
    setup.upstream.onToken = () => answers()
  })

  test('in JSON: the token is minted for the same issuer, and no field is added', async () => {
    const response = await authenticate()
    const answer = (await response.json()) as Record<string, string>
    expect(Object.keys(answer)).toEqual([
      'user',
      'organization_id',
      'access_token',
      'refresh_token',
      'authentication_method',
    ])
    const claims = await setup.verified(answer.access_token as string)
    expect(claims).toMatchObject({
      iss: UPSTREAM,
      sid: 'session_1',
      role: 'admin',
      permissions: ['a'],
      entitlements: ['b'],
      feature_flags: ['reports'],
    })
    expect(claims).not.toHaveProperty('aud')
  })

  test('in a form, which WorkOS takes too', async () => {
    const response = await authenticate({ headers: FORM, body: new URLSearchParams(BODY).toString() })
    await setup.verified(((await response.json()) as { access_token: string }).access_token)
  })

  test('upstream gets the text as it came, and the key by which it knows a retry', async () => {
    const body = '{ "grant_type": "refresh_token",\n "refresh_token": "r\\/1", "n": 1.0 }'
    await authenticate({ headers: { ...JSON_TYPE, 'idempotency-key': 'k1' }, body })
    const seen = setup.upstream.seen(PATH)
    expect(seen.body).toBe(body)
    expect(seen.headers.get('idempotency-key')).toBe('k1')
  })

  test('any grant of that path is taken through the pipeline', async () => {
    for (const grant_type of [
      'authorization_code',
      'password',
      'urn:workos:oauth:grant-type:magic-auth:code',
    ]) {
      const response = await authenticate({ body: JSON.stringify({ grant_type, code: '1' }) })
      await setup.verified(((await response.json()) as { access_token: string }).access_token)
    }
  })

  test('a member that is there twice is refused, and WorkOS not called', async () => {
    const response = await authenticate({
      body: '{"grant_type":"refresh_token","refresh_token":"a","refresh_token":"b"}',
    })
    expect(response.status).toBe(400)
    expect(setup.upstream.count(PATH)).toBe(0)
  })
})

test('keys unreachable: 503 as JSON before the refresh token is spent', async () => {
  setup.upstream.onJwks = () => new Response('', { status: 500 })
  const response = await authenticate()
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
  expect(setup.upstream.count(PATH)).toBe(0)
})

test('an error of WorkOS passes unchanged', async () => {
  const body = '{"code":"organization_selection_required","pending_authentication_token":"p"}'
  setup.upstream.onToken = () =>
    new Response(body, { status: 403, headers: { ...JSON_TYPE, 'x-request-id': 'req_1' } })
  const response = await authenticate()
  expect([response.status, await response.text(), response.headers.get('x-request-id')]).toEqual([
    403,
    body,
    'req_1',
  ])
})

test.each(['/sso/jwks/client_1', '/.well-known/jwks.json'])(
  '%s holds our keys and WorkOS’s',
  async (path) => {
    const { keys } = (await (await setup.request(path)).json()) as { keys: { kid: string }[] }
    expect(keys.map(({ kid }) => kid)).toEqual([setup.signingKey.kid, setup.upstream.signer.jwk.kid])
    for (const key of keys) expect(key).not.toHaveProperty('d')
  },
)

test('its discovery document is rewritten where WorkOS keeps it', async () => {
  const path = '/user_management/client_1/.well-known/openid-configuration'
  const metadata = (await (await setup.request(path)).json()) as Record<string, unknown>
  expect(metadata).toMatchObject({
    issuer: UPSTREAM,
    token_endpoint: 'https://auth.test/user_management/authenticate',
    jwks_uri: 'https://auth.test/.well-known/jwks.json',
  })
})

test.each([
  ['GET', '/user_management/users/user_1?limit=10'],
  ['PUT', '/user_management/users/user_1'],
  ['DELETE', '/user_management/sessions/s'],
  ['POST', '/user_management/authenticate/other'],
  ['GET', '/sso/jwks/client_2'],
])('everything else is proxied: %s %s', async (method, path) => {
  setup.upstream.onOther = () => new Response('theirs', { status: 207, headers: { 'x-request-id': 'req_2' } })
  const response = await setup.request(path, { method, headers: { authorization: 'Bearer sk_test' } })
  expect([response.status, await response.text(), response.headers.get('x-request-id')]).toEqual([
    207,
    'theirs',
    'req_2',
  ])
  const seen = setup.upstream.requests.at(-1)
  expect([
    seen?.method,
    `${seen?.url.pathname}${seen?.url.search}`,
    seen?.headers.get('authorization'),
  ]).toEqual([method, path, 'Bearer sk_test'])
})
