import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, REFRESH_BODY, type Setup, setUp, WORKOS } from '../support/gateway.ts'

const ORIGIN = 'https://app.test'
const asks = (method: string, headers?: string): Record<string, string> => ({
  origin: ORIGIN,
  'access-control-request-method': method,
  ...(headers !== undefined && { 'access-control-request-headers': headers }),
})

let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

/** As browsers and what is between them and a Worker write "no content". */
const EMPTY_BODIES: [string, () => RequestInit & { duplex?: 'half' }][] = [
  ['no body', () => ({})],
  ['Content-Length: 0, as Safari sends it', () => ({ headers: { 'content-length': '0' } })],
  [
    'a body that is there and empty, as wrangler dev makes it',
    () => ({ headers: { 'content-length': '0' }, body: '' }),
  ],
  [
    'a chunked body without a chunk',
    () => ({
      headers: { 'transfer-encoding': 'chunked' },
      body: new ReadableStream({ start: (controller) => controller.close() }),
      duplex: 'half',
    }),
  ],
]

describe.each([
  ['oidc', {}, '/token'],
  ['workos', WORKOS, '/user_management/authenticate'],
])('a preflight of the token endpoint is upstream’s to answer: %s', (_, vars, path) => {
  beforeEach(async () => {
    setup = await setUp(vars)
    const cors = { 'access-control-allow-origin': ORIGIN, 'access-control-allow-headers': 'content-type' }
    setup.upstream.onOther = () => new Response(null, { status: 204, headers: cors })
  })

  test.each(EMPTY_BODIES)('with %s', async (_, init) => {
    const { headers, ...rest } = init()
    const response = await setup.request(path, {
      method: 'OPTIONS',
      ...rest,
      headers: { ...(headers as object), ...asks('POST', 'content-type') },
    })
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([204, ORIGIN])
    expect(setup.upstream.seen(path)).toMatchObject({ method: 'OPTIONS', body: '' })
  })

  test('nothing of it makes upstream take it for the request itself', async () => {
    await setup.request(`${path}?grant_type=refresh_token&refresh_token=r1&_method=POST`, {
      method: 'OPTIONS',
      headers: { ...asks('POST'), 'x-http-method-override': 'POST' },
    })
    const { url, headers } = setup.upstream.seen(path)
    expect([url.search, headers.get('x-http-method-override')]).toEqual(['', null])
  })
})

describe('a page may send Remint-Min-Version, of which upstream knows nothing', () => {
  const preflight = (requested: string) =>
    setup.request('/token', { method: 'OPTIONS', headers: asks('POST', requested) })
  const allowedBy = (response: Response) =>
    response.headers
      .get('access-control-allow-headers')
      ?.split(',')
      .map((name) => name.trim()) ?? []

  test.each([
    ['content-type,remint-min-version', 'content-type', ['content-type', 'remint-min-version']],
    ['Remint-Min-Version, DPoP', 'dpop', ['dpop', 'remint-min-version']],
    ['remint-min-version', null, ['remint-min-version']],
    ['content-type', 'content-type', ['content-type']],
  ])('%s', async (requested, forwarded, allowed) => {
    setup.upstream.onOther = ({ headers }) => {
      const echoed = headers.get('access-control-request-headers')
      return new Response(null, {
        status: 204,
        headers: {
          'access-control-allow-origin': ORIGIN,
          ...(echoed && { 'access-control-allow-headers': echoed }),
        },
      })
    }
    expect(allowedBy(await preflight(requested))).toEqual(allowed)
    expect(setup.upstream.seen('/token').headers.get('access-control-request-headers')).toBe(forwarded)
  })

  test('but not where upstream allows the page nothing', async () => {
    setup.upstream.onOther = () => new Response(null, { status: 403 })
    expect(allowedBy(await preflight('remint-min-version'))).toEqual([])
  })

  test('and read Remint-Version where it may read the answer', async () => {
    setup.upstream.onToken = async () => {
      const response = await setup.upstream.tokens()
      response.headers.set('access-control-allow-origin', ORIGIN)
      return response
    }
    const headers = { ...FORM, origin: ORIGIN, 'remint-min-version': '1' }
    const response = await setup.request('/token', { method: 'POST', headers, body: REFRESH_BODY })
    expect(response.headers.get('access-control-expose-headers')).toContain('remint-version')
  })
})

describe('a preflight of a document of the gateway’s own is the gateway’s to answer', () => {
  describe.each([
    '/.well-known/jwks.json',
    '/jwks',
    '/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server',
    '/.well-known/authzen-configuration',
  ])('%s', (path) => {
    test.each(EMPTY_BODIES)('with %s', async (_, init) => {
      const { headers, ...rest } = init()
      const response = await setup.request(path, {
        method: 'OPTIONS',
        ...rest,
        headers: { ...(headers as object), ...asks('GET', 'traceparent,newrelic') },
      })
      expect(response.status).toBe(204)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET, HEAD',
        'access-control-allow-headers': 'traceparent,newrelic',
        'access-control-max-age': '600',
      })
      expect(setup.upstream.requests.filter(({ method }) => method === 'OPTIONS')).toEqual([])
    })

    test('and OPTIONS that is none is upstream’s', async () => {
      await setup.request(path, { method: 'OPTIONS' })
      expect(setup.upstream.requests.at(-1)).toMatchObject({ method: 'OPTIONS' })
    })
  })
})

test.each(['/ofrep/v1/evaluate/flags', '/ofrep/v1/evaluate/flags/sso'])(
  'a flag provider may send what tracing agents add: %s',
  async (path) => {
    const requested = 'authorization,content-type,if-none-match,x-api-key,traceparent,baggage'
    const response = await setup.request(path, { method: 'OPTIONS', headers: asks('POST', requested) })
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([204, '*'])
    for (const name of requested.split(','))
      expect(response.headers.get('access-control-allow-headers')).toContain(name)
  },
)

test('a page may read that its method is none of the token endpoint', async () => {
  const response = await setup.request('/token', { method: 'PUT', headers: { origin: ORIGIN } })
  expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([405, ORIGIN])
})
