import { Hono } from 'hono'
import { beforeEach, describe, expect, test } from 'vitest'
import { createGateway } from '../../src/index.ts'
import { FORM, REFRESH_BODY, type Setup, setUp } from './support/gateway.ts'
import { captureLog } from './support/log.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

describe('/healthz', () => {
  test('answers 200 while the gateway is configured, without asking anybody', async () => {
    const response = await setup.request('/healthz')
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }])
    expect(setup.upstream.requests).toEqual([])
    expect(log.last).toMatchObject({ route: 'healthz', status: 200 })
  })

  test('names every problem at once, of vars and of keys, and no value', async () => {
    setup = await setUp({
      ISSUER: 'CANARY',
      UPSTREAM_ORIGIN: undefined,
      SIGNING_KEYS: '{"keys":[{"kty":"CANARY"}]}',
    })
    const response = await setup.request('/healthz')
    const text = await response.text()
    expect(response.status).toBe(503)
    expect(JSON.parse(text)).toEqual({
      status: 'misconfigured',
      problems: [
        expect.stringMatching(/^ISSUER: /),
        expect.stringMatching(/^UPSTREAM_ORIGIN: /),
        expect.stringMatching(/^SIGNING_KEYS: key 1: /),
      ],
    })
    expect(text).not.toContain('CANARY')
  })
})

describe('/healthz says what is wrong with upstream’s description, once that is known', () => {
  const health = async () => (await setup.request('/healthz')).json()
  test.each<[string, (setup: Setup) => unknown, RegExp]>([
    [
      'a trailing slash',
      ({ upstream }) => upstream.metadata({ issuer: 'https://idp.test/' }),
      /names the issuer "https:\/\/idp\.test\/", not https:\/\/idp\.test\. Set UPSTREAM_ISSUER to exactly that/,
    ],
    [
      'a template',
      ({ upstream }) => upstream.metadata({ issuer: 'https://idp.test/{tenantid}/v2.0' }),
      /template for many tenants: use the address of one/,
    ],
    ['no issuer', () => ({}), /names the issuer undefined/],
    [
      'no token endpoint',
      ({ upstream }) => upstream.metadata({ token_endpoint: undefined }),
      /no token_endpoint or no jwks_uri/,
    ],
    ['no document', () => null, /UPSTREAM_ORIGIN: there is no JSON document at https:\/\/idp\.test\//],
  ])('%s', async (_, document, problem) => {
    setup.upstream.onMetadata = () => Response.json(document(setup))
    setup.upstream.onOther = () => new Response('', { status: 404 })
    expect((await setup.request('/login')).status).toBe(503)
    const before = setup.upstream.requests.length
    const response = await setup.request('/healthz')
    expect(response.status, 'a load balancer repairs nothing').toBe(200)
    expect(await response.json()).toEqual({
      status: 'degraded',
      upstream: 'https://idp.test',
      problems: [expect.stringMatching(problem)],
    })
    expect(setup.upstream.requests, 'nothing is asked for it').toHaveLength(before)
  })

  test('and says so no more once it is repaired', async () => {
    setup.upstream.onMetadata = () => Response.json(setup.upstream.metadata({ issuer: 'x' }))
    await setup.request('/login')
    expect(await health()).toMatchObject({ status: 'degraded' })
    setup.upstream.onMetadata = () => Response.json(setup.upstream.metadata())
    setup.now += 2_000
    await setup.request('/login')
    expect(await health()).toEqual({ status: 'ok' })
  })

  test('and of keys that cannot be used', async () => {
    setup.upstream.onJwks = () => Response.json({ keys: [] })
    await setup.refresh()
    expect(await health()).toMatchObject({ problems: [expect.stringMatching(/^UPSTREAM_ALGORITHMS: /)] })
  })

  test('and that it was asked under another name than clients know', async () => {
    const app = createGateway({ fetch: setup.upstream.fetch })
    const response = await app.request('https://10.0.0.1/healthz', {}, setup.bindings)
    expect(await response.json()).toEqual({
      status: 'ok',
      notes: ['This request came to 10.0.0.1. Clients use ISSUER, https://auth.test'],
    })
  })
})

describe('GUARD_ORIGIN: under it there is nothing but guards', () => {
  const GUARD = 'https://guard.test'
  const ask = async (path: string, init: RequestInit = {}) => {
    setup = await setUp({ GUARD_ORIGIN: GUARD })
    const app = createGateway({ fetch: setup.upstream.fetch })
    return app.request(GUARD + path, init, setup.bindings)
  }
  // What an edge makes of `/guard/sso/../../healthz` before the gateway sees it.
  test.each<[string, string]>([
    ['GET', '/healthz'],
    ['GET', '/.well-known/jwks.json'],
    ['GET', '/.well-known/openid-configuration'],
    ['POST', '/token'],
    ['POST', '/verify'],
    ['GET', '/'],
    ['OPTIONS', '/ofrep/v1/evaluate/flags'],
    ['POST', '/ofrep/v1/evaluate/flags'],
  ])('%s %s is 403, with every header of a guard', async (method, path) => {
    const response = await ask(path, { method, headers: { origin: 'https://app.test' } })
    expect(response.status).toBe(403)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-remint-reason': 'requirement_malformed',
      'x-remint-subject': '',
      'x-remint-features': '',
    })
    expect(setup.upstream.requests).toEqual([])
  })

  test('a guard is one', async () => {
    expect((await ask('/guard/sso')).headers.get('x-remint-reason')).toBe('token_missing')
  })

  test('the gateway’s own address has guards and everything else', async () => {
    setup = await setUp({ GUARD_ORIGIN: GUARD })
    expect((await setup.request('/healthz')).status).toBe(200)
    expect((await setup.request('/guard/sso')).headers.get('x-remint-reason')).toBe('token_missing')
  })
})

describe('a gateway that is not configured serves nothing', () => {
  test.each([
    ['POST', '/token'],
    ['GET', '/.well-known/jwks.json'],
    ['GET', '/.well-known/openid-configuration'],
    ['POST', '/verify'],
    ['GET', '/login'],
  ])('%s %s', async (method, path) => {
    setup = await setUp({ UPSTREAM_AUDIENCE: undefined })
    const response = await setup.request(path, { method })
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ code: 'misconfigured' })
    expect(setup.upstream.requests, 'upstream is not called').toEqual([])
    expect(log.last).toMatchObject({ level: 'error', route: 'config', reason: 'misconfigured' })
  })

  test('nor does one whose signing key cannot sign', async () => {
    setup = await setUp({ SIGNING_KEYS: JSON.stringify({ keys: [{ ...setup.signingKey, d: undefined }] }) })
    const response = await setup.refresh()
    expect(response.status).toBe(503)
    expect(setup.upstream.requests).toEqual([])
  })
})

describe('every request has a name', () => {
  const named = (headers: Record<string, string>) =>
    setup.request('/access/v1/evaluation', { method: 'GET', headers })

  test('of its own, in the answer and in the log', async () => {
    const response = await named({})
    const { request_id } = (await response.json()) as { request_id: string }
    expect(request_id).toMatch(UUID)
    expect(response.headers.get('x-request-id')).toBe(request_id)
    expect(log.last).toMatchObject({ request_id })
  })

  test.each([
    [{ 'cf-ray': '8f1-FRA' }, '8f1-FRA'],
    [{ 'x-request-id': 'req_1.2:3' }, 'req_1.2:3'],
    [{ 'cf-ray': '8f1-FRA', 'x-request-id': 'req_1' }, '8f1-FRA'],
  ])('that of %j', async (headers, name) => {
    expect(await (await named(headers as Record<string, string>)).json()).toMatchObject({ request_id: name })
  })

  test.each(['', 'a b', 'x'.repeat(65), '"quoted"', 'a,b'])('and %j is none', async (given) => {
    expect(await (await named({ 'x-request-id': given })).json()).toMatchObject({
      request_id: expect.stringMatching(UUID),
    })
  })
})

test('a cold isolate serves many at once', async () => {
  const responses = await Promise.all(Array.from({ length: 20 }, () => setup.refresh()))
  expect(responses.map(({ status }) => status)).toEqual(new Array(20).fill(200))
  const tokens = await Promise.all(
    responses.map(async (response) => ((await response.json()) as { access_token: string }).access_token),
  )
  for (const token of tokens) expect((await setup.verified(token)).feature_flags).toEqual(['reports'])
})

test('one structured line a request', async () => {
  await setup.refreshed()
  await setup.request('/login')
  await setup.request('/.well-known/jwks.json')
  expect(log.lines.map(({ route, method, status }) => [route, method, status])).toEqual([
    ['token', 'POST', 200],
    ['proxy', 'GET', 200],
    ['jwks', 'GET', 200],
  ])
})

describe('a page may read an error of the gateway, as it may read upstream’s answers', () => {
  const origin = 'https://app.test'
  test.each<[string, (setup: Setup) => Promise<Response>]>([
    [
      'a request that is refused',
      ({ request }) => request('/token', { method: 'POST', headers: { ...FORM, origin }, body: 'x=1' }),
    ],
    [
      'upstream’s keys unreachable',
      ({ request, upstream }) => {
        upstream.onJwks = () => new Response('', { status: 500 })
        return request('/token', { method: 'POST', headers: { ...FORM, origin }, body: REFRESH_BODY })
      },
    ],
    [
      'a page that cannot be had',
      ({ request, upstream }) => {
        upstream.onOther = () => Promise.reject(new TypeError('refused'))
        return request('/userinfo', { headers: { origin } })
      },
    ],
  ])('%s', async (_, make) => {
    const { status, headers } = await make(setup)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(headers.get('access-control-allow-origin')).toBe(origin)
    expect(headers.get('access-control-allow-credentials')).toBe('true')
    expect(headers.get('access-control-expose-headers')).toBe('retry-after, x-request-id')
    expect(headers.get('vary')).toBe('origin')
  })

  test('and without an Origin nothing is said of it', async () => {
    const { headers } = await setup.refresh({ body: 'x=1' })
    expect(headers.has('access-control-allow-origin')).toBe(false)
  })
})

test('a bug is 503 as JSON, and the log says where it is but not what it said', async () => {
  const bindings = () => {
    throw new Error('CANARY in a message')
  }
  const response = await createGateway({ bindings }).request(
    'https://auth.test/token',
    { method: 'POST' },
    {},
  )
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('2')
  const text = await response.text()
  expect(JSON.parse(text)).toMatchObject({ code: 'internal_error', request_id: log.last.request_id })
  expect(log.last).toMatchObject({ level: 'error', reason: 'internal_error', stack: expect.any(Array) })
  expect(text + log.text).not.toContain('CANARY')
})

describe('as a library', () => {
  test('it is mounted last in a Worker with routes and bindings of its own', async () => {
    const host = new Hono<{ Bindings: { AUTH: object } }>()
      .get('/own', (c) => c.text('own'))
      .route(
        '/',
        createGateway({
          bindings: (env: { AUTH: typeof setup.bindings }) => env.AUTH,
          fetch: setup.upstream.fetch,
          now: () => setup.now,
        }) as never,
      )
    const env = { AUTH: setup.bindings }
    const request = (path: string, init?: RequestInit) => host.request(`https://auth.test${path}`, init, env)
    expect(await (await request('/own')).text()).toBe('own')
    const response = await request('/token', { method: 'POST', headers: FORM, body: REFRESH_BODY })
    const { access_token } = (await response.json()) as { access_token: string }
    expect(await setup.verified(access_token)).toMatchObject({ feature_flags: ['reports'] })
    expect(await (await request('/login')).text()).toBe('upstream page')
  })

  test('one app serves several environments, each with its own keys', async () => {
    const app = createGateway({ fetch: setup.upstream.fetch, now: () => setup.now })
    const other = await setUp({ ENVIRONMENT: 'staging', SIGNING_KEYS: 'none' })
    const health = (env: object) => app.request('https://auth.test/healthz', {}, env)
    expect([(await health(setup.bindings)).status, (await health(other.bindings)).status]).toEqual([200, 503])
    expect((await health(setup.bindings)).status).toBe(200)
  })
})
