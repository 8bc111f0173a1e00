/** The proxy files of the documentation in front of an application, asking the real gateway. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type HttpServer, sendJson, startServer } from '../e2e/support/http.ts'
import { authorization, send, upgrade } from './support/http.ts'
import { missing, PROXY_NAMES, type RunningProxy, startProxy } from './support/proxies.ts'
import { FLAG, openStand, type Stand } from './support/stand.ts'

let stand: Stand
let app: HttpServer
let reached: (string | undefined)[]
beforeAll(async () => {
  stand = await openStand()
  app = await startServer((request, response) => {
    reached.push(request.url)
    sendJson(response, 200, { url: request.url, method: request.method, headers: request.rawHeaders })
  })
})
afterAll(async () => {
  await app.close()
  await stand.close()
})

beforeEach(() => {
  reached = []
})

interface Seen {
  readonly url: string
  readonly method: string
  /** Names and values in turn. */
  readonly headers: string[]
}

for (const name of PROXY_NAMES) {
  const reason = missing(name)
  describe.skipIf(reason)(reason === undefined ? name : `skipped: ${reason}`, () => about(name))
}

function about(name: (typeof PROXY_NAMES)[number]): void {
  let proxy: RunningProxy
  beforeAll(async () => {
    const host = (url: string) => new URL(url).host.replace('localhost', '127.0.0.1')
    proxy = await startProxy(name, { gateway: host(stand.gateway.url), app: host(app.url) })
  })
  afterAll(() => proxy?.close())

  const ask = (presented: readonly string[], headers: [string, string][] = [], path = '/reports/1?page=2') =>
    send(`${proxy.url}${path}`, { headers: [...authorization(presented), ...headers] })

  const SPELLINGS = ['-', '_', '.']
  const NAMES = ['Subject', 'Org', 'Session', 'Features', 'Meta', 'Reason']
  /** Every mixture of marks, every other one in small letters; HAProxy takes no more than 101 headers. */
  const spoofed = NAMES.flatMap((what) =>
    SPELLINGS.flatMap((first) => SPELLINGS.map((second) => `X${first}Remint${second}${what}`)),
  ).map((header, i): [string, string] => [i % 2 === 0 ? header : header.toLowerCase(), 'spoofed'])

  test('hands the application who asks, over whatever the client says about itself', async () => {
    const answer = await ask([`Bearer ${await stand.mint()}`], spoofed)
    expect(answer.status, answer.text).toBe(200)
    const seen = JSON.parse(answer.text) as Seen
    expect(seen.url).toBe('/reports/1?page=2')
    const pairs = seen.headers.flatMap((header, i) =>
      i % 2 === 0 ? [[header.toLowerCase(), seen.headers[i + 1]]] : [],
    )
    const ours = pairs.filter(([header = '']) => /^x.remint/.test(header))
    expect(Object.fromEntries(ours)).toMatchObject({
      'x-remint-subject': 'user_ada',
      'x-remint-org': 'org_acme',
      'x-remint-session': 'session_1',
      'x-remint-features': `${FLAG} csv-export sso`,
      'x-remint-meta': expect.stringContaining('"src":"fresh"'),
    })
    expect(seen.headers).not.toContain('spoofed')
    const names = seen.headers.filter((name, i) => i % 2 === 0 && /remint/i.test(name))
    expect(names.filter((name) => !/^x-remint-/i.test(name))).toEqual([])
  })

  test.each([
    [[['Connection', 'close, X-Remint-Org, X-Remint-Features']]],
    [
      [
        ['Connection', 'close'],
        ['Connection', 'x-remint-org'],
      ],
    ],
  ])('a client cannot have the organization dropped: %j', async (nomination) => {
    const answer = await ask(
      [`Bearer ${await stand.mint()}`],
      [...(nomination as [string, string][]), ...spoofed],
    )
    if (answer.status === 400) return expect(reached).toEqual([])
    const { headers } = JSON.parse(answer.text) as Seen
    const org = headers.findIndex((header) => header.toLowerCase() === 'x-remint-org')
    expect(headers[org + 1]).toBe('org_acme')
    expect(headers).not.toContain('spoofed')
  })

  test.each([
    ...['/reports/1', '/%72eports/1', '//reports/1', '/./reports/1', '/x/../reports/1', '/REPORTS/1'],
    ...['/reports;a/1', '/reports%2f1', '/\\reports/1', '/reports', '/'],
  ])('without a token the application is not reached: %s', async (path) => {
    await ask([], [], path)
    expect(reached).toEqual([])
  })

  test.each([
    '/reports/../admin',
    '/reports/%2e%2e/admin',
    '/reports/..%2fadmin',
    '/reports/%2E./admin',
    '/reports/x/../../admin',
  ])('a good token for /reports/ does not climb out of it: %s', async (path) => {
    await ask([`Bearer ${await stand.mint()}`], [], path)
    expect(reached).toEqual([])
  })

  test('leaves nothing of the client’s where the gateway has nothing to say', async () => {
    const token = await stand.mint({ org_id: undefined, sid: undefined, feature_flags: [FLAG] })
    // Without an organization the flag is not on now: the route is refused, whatever the client claims.
    expect((await ask([`Bearer ${token}`], spoofed)).status).toBe(403)
    const unnamed = await stand.mint({ sid: undefined, feature_flags_meta: undefined })
    const answer = await ask([`Bearer ${unnamed}`], spoofed)
    expect(answer.status).toBe(200)
    expect(answer.text).not.toContain('spoofed')
  })

  test('refuses with the gateway’s status and challenge, and the application is not reached', async () => {
    const none = await ask([], spoofed)
    expect([none.status, none.headers['www-authenticate']]).toEqual([401, 'Bearer realm="remint"'])
    const lacking = await ask([`Bearer ${await stand.mint({ feature_flags: [] })}`], spoofed)
    expect(lacking.status).toBe(403)
    for (const { text } of [none, lacking]) expect(text).not.toContain('rawHeaders')
  })

  describe('a preflight', () => {
    const PAGE = 'https://app.example.com'
    const preflight = (headers: [string, string][], method = 'OPTIONS') =>
      send(`${proxy.url}/reports/1`, { method, headers })

    test('of a page of the application is answered without a token, and goes no further', async () => {
      const answer = await preflight([
        ['Origin', PAGE],
        ['Access-Control-Request-Method', 'POST'],
        ['Access-Control-Request-Headers', 'authorization,content-type'],
      ])
      expect(answer.status).toBe(204)
      expect(answer.headers).toMatchObject({
        'access-control-allow-origin': PAGE,
        'access-control-allow-methods': 'POST',
        'access-control-allow-headers': 'authorization,content-type',
        'access-control-max-age': '600',
      })
      expect(reached).toEqual([])
    })

    test.each<[string, string, [string, string][]]>([
      [
        'of another page',
        'OPTIONS',
        [
          ['Origin', 'https://evil.test'],
          ['Access-Control-Request-Method', 'GET'],
        ],
      ],
      [
        'of a page whose name begins alike',
        'OPTIONS',
        [
          ['Origin', `${PAGE}.evil.test`],
          ['Access-Control-Request-Method', 'GET'],
        ],
      ],
      ['that is none', 'OPTIONS', [['Origin', PAGE]]],
      [
        'that is a GET',
        'GET',
        [
          ['Origin', PAGE],
          ['Access-Control-Request-Method', 'GET'],
        ],
      ],
    ])('%s is guarded', async (_, method, headers) => {
      const answer = await preflight(headers, method)
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([401, undefined])
      expect(reached).toEqual([])
    })
  })

  describe('a WebSocket', () => {
    const UPGRADE: [string, string][] = [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Version', '13'],
      ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
    ]
    const open = async (presented: string[]) =>
      upgrade(`${proxy.url}/reports/socket`, [...authorization(presented), ...UPGRADE])

    test('is opened where the guard allows it', async () => {
      expect(await open([`Bearer ${await stand.mint()}`])).toBe(101)
    })

    test('and not without a token', async () => {
      expect(await open([])).toBe(401)
    })
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])('lets %s through with its method', async (method) => {
    const url = `${proxy.url}/reports/1`
    const good = authorization([`Bearer ${await stand.mint()}`])
    const answer = await send(url, { method, headers: good, body: 'x'.repeat(2000) })
    expect(answer.status, answer.text).toBe(200)
    expect((JSON.parse(answer.text) as Seen).method).toBe(method)
    expect((await send(url, { method, body: 'x' })).status).toBe(401)
  })

  test.each(['?all=', '?freshness=claim&any=csv-export', '?page=1&all=nothing', ';freshness=claim'])(
    'the client’s %s changes nothing',
    async (suffix) => {
      const path = `/reports/1${suffix}`
      expect((await ask([`Bearer ${await stand.mint()}`], [], path)).status).toBe(200)
      expect(
        (await ask([`Bearer ${await stand.mint({ feature_flags: ['csv-export'] })}`], [], path)).status,
      ).toBe(403)
      stand.revokeSession('gone')
      expect((await ask([`Bearer ${await stand.mint({ sid: 'gone' })}`], [], path)).status).toBe(401)
    },
  )

  test('without the gateway nobody gets through', async () => {
    const alone = await startProxy(name, {
      gateway: '127.0.0.1:9',
      app: new URL(app.url).host.replace('localhost', '127.0.0.1'),
    })
    const answer = await send(`${alone.url}/reports/1`, {
      headers: authorization([`Bearer ${await stand.mint()}`]),
    })
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.text).not.toContain('user_ada')
    await alone.close()
  })
}

const lacksHaproxy = missing('haproxy')
test.skipIf(lacksHaproxy !== undefined)('an error of the Lua in HAProxy lets nobody through', async () => {
  const proxy = await startProxy('haproxy', {
    gateway: new URL(stand.gateway.url).host.replace('localhost', '127.0.0.1'),
    app: new URL(app.url).host.replace('localhost', '127.0.0.1'),
    change: (text) => text.replace('local tokens = {}', 'error("broken")'),
  })
  const headers = authorization([`Bearer ${await stand.mint()}`])
  expect((await send(`${proxy.url}/reports/1`, { headers })).status).toBe(503)
  expect(reached).toEqual([])
  await proxy.close()
})
