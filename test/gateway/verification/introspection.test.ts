import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, type Setup } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { basic, entitle, mintToken, SERVICE, setUpVerification, sha256 } from '../support/tokens.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
})

const CALLER = { authorization: basic(SERVICE.name, SERVICE.secret) }

const introspect = (parameters: Record<string, string>, headers: Record<string, string> = CALLER) =>
  setup.request('/introspect', {
    method: 'POST',
    headers: { ...FORM, ...headers },
    body: new URLSearchParams(parameters).toString(),
  })

test('an active token is described with the flags that are still on', async () => {
  const token = await mintToken(setup, { nbf: 1, username: 'ada', roles: ['admin'] })
  entitle(setup, ['reports'])
  const response = await introspect({ token, token_type_hint: 'access_token' })
  expect(response.status).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-store')
  const iat = setup.now / 1000
  expect(await response.json()).toEqual({
    active: true,
    token_type: 'Bearer',
    scope: 'openid profile',
    client_id: 'app',
    username: 'ada',
    exp: iat + 300,
    iat,
    nbf: 1,
    sub: 'user_1',
    aud: 'https://api.test',
    iss: 'https://auth.test',
    jti: 'token_1',
    sid: 'session_1',
    org_id: 'org_acme',
    feature_flags: ['everybody', 'reports'],
    feature_flags_meta: { env: 'production', ver: '87.12', as_of: iat, src: 'fresh' },
  })
  expect(log.last).toMatchObject({ route: 'introspect', caller: 'reader' })
})

test('a token bound to a key is active and carries what it is bound to', async () => {
  const cnf = { jkt: 'thumbprint' }
  const token = await mintToken(setup, { cnf })
  expect(await (await introspect({ token })).json()).toMatchObject({ active: true, token_type: 'DPoP', cnf })
  setup.kv.put('revoked:production:sid:session_1', { until: setup.now / 1000 + 300 })
  setup.now += 5_000
  expect(await (await introspect({ token })).json()).toEqual({ active: false })
})

describe('exactly {"active":false} for', () => {
  test.each<[string, (setup: Setup) => Promise<string>]>([
    ['garbage', async () => 'garbage'],
    ['an opaque token', async () => 'at_0123456789'],
    ['an expired token', (it) => mintToken(it, { exp: it.now / 1000 })],
    ['a token for somebody else', (it) => mintToken(it, { aud: 'https://other.test' })],
    ['an ID token', (it) => mintToken(it, {}, { typ: 'JWT' })],
    [
      'a token of a revoked session',
      async (it) => {
        it.kv.put('revoked:production:sid:session_1', { until: it.now / 1000 + 300 })
        return mintToken(it)
      },
    ],
    [
      'a token from before the epoch',
      async (it) => {
        entitle(it, ['reports'], { not_before: it.now / 1000 + 1 })
        return mintToken(it)
      },
    ],
  ])('%s', async (_, make) => {
    const response = await introspect({ token: await make(setup) })
    expect([response.status, await response.text()]).toEqual([200, '{"active":false}'])
  })
})

describe('the caller', () => {
  const post = { client_id: SERVICE.name, client_secret: SERVICE.secret }
  test.each<[string, Record<string, string>, Record<string, string>, number, string | undefined]>([
    ['by Basic', {}, CALLER, 200, undefined],
    ['by form', post, {}, 200, undefined],
    ['by Basic, naming itself in the form too', { client_id: SERVICE.name }, CALLER, 200, undefined],
    ['nobody', {}, {}, 401, 'invalid_client'],
    ['with a name only', { client_id: SERVICE.name }, {}, 401, 'invalid_client'],
    ['with a wrong secret', {}, { authorization: basic(SERVICE.name, 'x') }, 401, 'invalid_client'],
    ['with another name', {}, { authorization: basic('writer', SERVICE.secret) }, 401, 'invalid_client'],
    ['with the digest for a secret', { ...post, client_secret: 'DIGEST' }, {}, 401, 'invalid_client'],
    ['by both', post, CALLER, 400, 'invalid_request'],
    ['by two headers', {}, { authorization: `${CALLER.authorization}, Basic x` }, 400, 'invalid_request'],
    ['with Basic that is none', {}, { authorization: 'Basic !' }, 401, 'invalid_client'],
    ['with a bearer token', {}, { authorization: 'Bearer x' }, 401, 'invalid_client'],
  ])('%s', async (_, parameters, headers, status, error) => {
    const token = await mintToken(setup)
    const form = { ...parameters }
    if (form.client_secret === 'DIGEST') form.client_secret = await sha256(SERVICE.secret)
    const response = await introspect({ token, ...form }, headers)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject(error === undefined ? { active: true } : { error })
    if (status === 401) expect(response.headers.get('www-authenticate')).toMatch(/^Basic /)
    if (status !== 200) expect(setup.kv.reads).toEqual([])
    expect(log.text).not.toContain(SERVICE.secret)
    expect(log.text).not.toContain(token)
  })

  test('has two secrets while one is being changed, and a name and secret of any characters', async () => {
    const digests = [await sha256('old'), await sha256('n:ew + %')]
    setup = await setUpVerification({ VERIFIERS: JSON.stringify({ 'a.b': digests }) })
    const token = await mintToken(setup)
    for (const secret of ['old', encodeURIComponent('n:ew + %')]) {
      const response = await introspect({ token }, { authorization: basic('a.b', secret) })
      expect(await response.json()).toMatchObject({ active: true })
    }
  })
})

test.each([
  [{}, FORM, 400, 'invalid_request'],
  [{ token: '' }, FORM, 400, 'invalid_request'],
  [{ token: 'x' }, { 'content-type': 'application/json' }, 415, 'invalid_request'],
])('%j as %j is refused', async (parameters, type, status, error) => {
  const response = await introspect(parameters, { ...CALLER, ...type })
  expect(response.status).toBe(status)
  expect(await response.json()).toMatchObject({ error })
})

test('a parameter that occurs twice is refused', async () => {
  const init = { method: 'POST', headers: { ...FORM, ...CALLER }, body: 'token=a&token=b' }
  expect((await setup.request('/introspect', init)).status).toBe(400)
})

test('when the state is unknown, the answer is to retry, not that the token is dead', async () => {
  setup.kv.fault = () => Promise.reject(new Error('down'))
  const response = await introspect({ token: await mintToken(setup) })
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
})

test('it is advertised where somebody may ask, and upstream’s is left alone elsewhere', async () => {
  const metadata = async () => (await setup.request('/.well-known/openid-configuration')).json()
  expect(await metadata()).toMatchObject({
    introspection_endpoint: 'https://auth.test/introspect',
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
  })
  setup = await setUpVerification({ VERIFIERS: undefined })
  expect(await metadata()).not.toHaveProperty('introspection_endpoint')
  expect(await (await introspect({ token: 'x' })).text()).toBe('upstream page')
})

test.each([
  ['not JSON', 'x'],
  ['a list', '[]'],
  ['a secret in place of its digest', '{"reader":"hunter2"}'],
  ['a name that Basic cannot carry', `{"a:b":"${'0'.repeat(64)}"}`],
  ['no digest', '{"reader":[]}'],
])('VERIFIERS that is %s stops the gateway and is not repeated', async (_, VERIFIERS) => {
  setup = await setUpVerification({ VERIFIERS })
  const health = await setup.request('/healthz')
  const text = await health.text()
  expect(health.status).toBe(503)
  expect(text).toContain('VERIFIERS: must be a JSON object')
  expect(text).not.toContain('hunter2')
})

describe('a secret by Basic, as OAuth encodes it and as everybody else writes it', () => {
  const SECRETS = ['ab+cd/ef==', 'with space', 'with:colon', 'per%cent', 'per%20cent', 'ünïcode', 'plain']
  const paths: [string, Record<string, string>, string][] = [
    ['/introspect', FORM, 'token=x'],
    ['/access/v1/evaluation', { 'content-type': 'application/json' }, JSON.stringify(QUESTION)],
    [
      '/ofrep/v1/evaluate/flags',
      { 'content-type': 'application/json' },
      '{"context":{"targetingKey":"org_acme"}}',
    ],
  ]
  const header = (secret: string) =>
    `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`svc:${secret}`)))}`
  test.each(SECRETS.flatMap((secret) => paths.map((one) => [secret, ...one] as const)))(
    '%s at %s',
    async (secret, path, headers, body) => {
      setup = await setUpVerification({ VERIFIERS: JSON.stringify({ svc: await sha256(secret) }) })
      const status = async (authorization: string) =>
        (await setup.request(path, { method: 'POST', headers: { ...headers, authorization }, body })).status
      expect(await status(header(secret)), 'as it is').toBe(200)
      expect(await status(header(encodeURIComponent(secret))), 'form-encoded').toBe(200)
      expect(await status(header(`${secret}x`)), 'another').toBe(401)
    },
  )
})

const QUESTION = {
  subject: { type: 'organization', id: 'org_acme' },
  action: { name: 'use' },
  resource: { type: 'feature', id: 'sso' },
}
