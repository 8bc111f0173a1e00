import { beforeEach, describe, expect, test } from 'vitest'
import { catalog, type Setup, setUp } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { bearer, setUpVerification } from '../support/tokens.ts'

const log = captureLog()
let setup: Setup
let token: string
beforeEach(async () => {
  setup = await setUp()
  setup.kv.put(
    'catalog:production',
    catalog({ a: { kind: 'entitlement', access: 'all' }, b: { kind: 'rollout', access: 'all' } }),
  )
  token = (await setup.refreshed()).access_token
})

const JSON_TYPE = { 'content-type': 'application/json' }
const ask = (question: unknown, headers: HeadersInit = JSON_TYPE) =>
  setup.request('/verify', {
    method: 'POST',
    headers,
    body: typeof question === 'string' ? question : JSON.stringify(question),
  })
const answerTo = async (question: unknown, headers?: HeadersInit) => (await ask(question, headers)).json()

describe('a well-formed request is answered with 200', () => {
  test('with everything that a caller needs of the identity', async () => {
    const response = await ask({ token, features: { all: ['a'], any: ['b', 'c'] } })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      active: true,
      allowed: true,
      reason: 'allowed',
      missing: [],
      sub: 'user_1',
      org_id: 'org_acme',
      sid: 'session_1',
      feature_flags: ['a', 'b'],
      feature_flags_meta: { env: 'production', ver: '87.0', as_of: setup.now / 1000, src: 'fresh' },
      exp: setup.now / 1000 + 300,
    })
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('pragma')).toBe('no-cache')
    expect(log.last).toMatchObject({ route: 'verify', status: 200 })
  })

  test('when the answer is no, with what is missing', async () => {
    expect(await answerTo({ token, features: { all: ['a', 'x'], any: ['y', 'z'] } })).toMatchObject({
      active: true,
      allowed: false,
      reason: 'feature_missing',
      missing: ['x', 'y', 'z'],
    })
  })

  test('the same token, each time by the question: a decision is not remembered', async () => {
    for (const [feature, allowed] of [
      ['a', true],
      ['x', false],
      ['a', true],
    ] as const) {
      expect(await answerTo({ token, features: { all: [feature] } })).toMatchObject({ allowed })
    }
  })

  test.each<[string, () => Promise<Response>]>([
    ['without features', () => ask({ token })],
    [
      'with the token in Authorization',
      () => ask({ features: {} }, { ...JSON_TYPE, authorization: `Bearer ${token}` }),
    ],
    [
      'with the token in Authorization and no body',
      () => setup.request('/verify', { method: 'POST', headers: { authorization: `bearer ${token}` } }),
    ],
    ['with a charset', () => ask({ token }, { 'content-type': 'application/json; charset=utf-8' })],
  ])('%s', async (_, question) => {
    expect(await (await question()).json()).toMatchObject({ active: true, allowed: true })
  })

  test('an inactive token has a reason and nothing else', async () => {
    setup.now += 300_000
    const response = await ask({ token, features: { all: ['a'] } })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ active: false, allowed: false, reason: 'token_expired' })
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  test('upstream’s token is not one of the gateway’s', async () => {
    const theirs = await setup.upstream.sign(setup.upstream.claims({ feature_flags: ['a'] }))
    expect(await answerTo({ token: theirs, features: { all: ['a'] } })).toEqual({
      active: false,
      allowed: false,
      reason: 'key_unknown',
    })
  })
})

describe('a question that is not is a problem, never a verdict', () => {
  const canary = 'CANARY'
  test.each<[string, unknown, HeadersInit, number, string]>([
    ['not JSON', '{"token":', JSON_TYPE, 400, 'body_malformed'],
    ['a list', [], JSON_TYPE, 400, 'body_malformed'],
    ['a token that is no string', { token: 7 }, JSON_TYPE, 400, 'body_malformed'],
    ['an empty token', { token: '' }, JSON_TYPE, 400, 'body_malformed'],
    ['a member that we do not know', { token: canary, feature: ['a'] }, JSON_TYPE, 400, 'body_malformed'],
    [
      'a list that we do not know',
      { token: canary, features: { every: ['a'] } },
      JSON_TYPE,
      400,
      'body_malformed',
    ],
    ['one of none', { token: canary, features: { any: [] } }, JSON_TYPE, 400, 'body_malformed'],
    [
      'two requirements',
      `{"token":"${canary}","features":{"all":["x"]},"features":{}}`,
      JSON_TYPE,
      400,
      'body_malformed',
    ],
    [
      'two lists of one name',
      `{"token":"${canary}","features":{"all":["x"],"all":[]}}`,
      JSON_TYPE,
      400,
      'body_malformed',
    ],
    ['features as a list', { token: canary, features: ['a'] }, JSON_TYPE, 400, 'body_malformed'],
    [
      'a feature that is no key',
      { token: canary, features: { all: ['Not A Key'] } },
      JSON_TYPE,
      400,
      'body_malformed',
    ],
    [
      'a hundred and one features',
      { token: canary, features: { all: new Array(101).fill('a') } },
      JSON_TYPE,
      400,
      'body_malformed',
    ],
    ['no token', { features: { all: ['a'] } }, JSON_TYPE, 400, 'token_missing'],
    ['nothing', '', {}, 400, 'token_missing'],
    [
      'two tokens',
      { token: canary },
      { ...JSON_TYPE, authorization: `Bearer ${canary}` },
      400,
      'token_repeated',
    ],
    [
      'two authorizations',
      {},
      { ...JSON_TYPE, authorization: `Bearer ${canary}, Bearer ${canary}` },
      400,
      'authorization_repeated',
    ],
    [
      'another scheme',
      {},
      { ...JSON_TYPE, authorization: `Basic ${canary}` },
      400,
      'authorization_malformed',
    ],
    ['a DPoP token', {}, { ...JSON_TYPE, authorization: `DPoP ${canary}` }, 400, 'authorization_malformed'],
    ['text', `token=${canary}`, { 'content-type': 'text/plain' }, 415, 'content_type_unsupported'],
    ['too much', { token: 'x'.repeat(65 * 1024) }, JSON_TYPE, 413, 'body_too_large'],
  ])('%s', async (_, question, headers, status, code) => {
    const response = await ask(question, headers)
    const text = await response.text()
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(JSON.parse(text)).toMatchObject({ status, code, request_id: response.headers.get('x-request-id') })
    expect(JSON.parse(text)).not.toHaveProperty('allowed')
    expect(log.last).toMatchObject({ route: 'verify', reason: code })
    expect(text + log.text).not.toContain(canary)
  })

  test('two Authorization headers', async () => {
    const headers = new Headers(JSON_TYPE)
    for (const one of [token, token]) headers.append('authorization', `Bearer ${one}`)
    expect((await ask({}, headers)).status).toBe(400)
  })

  test.each(['GET', 'PUT', 'DELETE'])('the method %s with a token', async (method) => {
    const response = await setup.request('/verify', { method, ...bearer(token) })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
    expect(setup.upstream.count('/verify'), 'upstream does not see it').toBe(0)
  })

  test('a preflight for a POST', async () => {
    const headers = { origin: 'https://app.test', 'access-control-request-method': 'POST' }
    const response = await setup.request('/verify', { method: 'OPTIONS', headers })
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([405, null])
  })
})

// E-mails of some providers have links to their own page of that name.
test.each(['GET', 'HEAD'])('%s /verify?token=… is a page of upstream’s', async (method) => {
  setup.upstream.onOther = () => new Response('upstream page')
  expect((await setup.request('/verify?token=abc', { method })).status).toBe(200)
  expect(setup.upstream.seen('/verify')).toMatchObject({ method })
  expect(setup.upstream.seen('/verify').url.search).toBe('?token=abc')
})

test.each([
  ...[
    '/verify/',
    '/VERIFY',

    '/verify.json',
    '//verify',
    '/verify;x=1',
    '/introspect/',
    '/Introspect',
  ],
  ...[
    '/Access/v1/evaluation',
    '/access/v1',
    '/access/v1/evaluation/x',
    '/OFREP/v1/evaluate/flags',
    '/ofrep%2fv1',
  ],
  ...['/remint/anything', '/Remint/'],
])('a service that misspells %s does not show upstream its key', async (path) => {
  setup = await setUpVerification()
  const headers = { ...JSON_TYPE, authorization: 'Bearer key' }
  const response = await setup.request(path, { method: 'POST', headers, body: '{}' })
  expect(response.status).toBe(404)
  expect(setup.upstream.requests.filter(({ method }) => method === 'POST')).toEqual([])
})
