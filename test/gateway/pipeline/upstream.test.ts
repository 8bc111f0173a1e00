/** What upstream answers, or fails to answer, and what of it reaches the client. */
import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, REFRESH_BODY, type Setup, setUp } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

describe('an answer that is no success passes unchanged', () => {
  const error = '{"error": "invalid_grant",  "n": 1.0}'
  test.each<[string, number, string, Record<string, string>]>([
    ['a refresh token that is used up', 400, error, { 'content-type': 'application/json' }],
    [
      'bad client authentication',
      401,
      error,
      { 'www-authenticate': 'Basic realm="x"', 'content-type': 'application/json;charset=UTF-8' },
    ],
    ['a DPoP nonce', 400, '{"error":"use_dpop_nonce"}', { 'dpop-nonce': 'n1', 'cache-control': 'no-store' }],
    ['a code of WorkOS', 403, '{"code":"sso_required"}', { 'x-request-id': 'req_1' }],
    ['too many requests', 429, 'slow down', { 'retry-after': '17' }],
    ['a fault in HTML', 502, '<html>bad gateway</html>', { 'content-type': 'text/html', 'retry-after': '3' }],
    ['maintenance', 503, '', { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }],
    ['a redirect', 307, '', { location: '/elsewhere' }],
  ])('%s', async (_, status, body, headers) => {
    setup.upstream.onToken = () => new Response(body || null, { status, headers })
    const response = await setup.refresh()
    expect(response.status).toBe(status)
    expect(await response.text()).toBe(body)
    expect(Object.fromEntries(response.headers)).toMatchObject(headers)
    expect(setup.kv.reads, 'nothing was looked up').toEqual([])
    expect(log.last).toMatchObject({ upstream_status: status, status })
    expect(log.last).not.toHaveProperty('jti')
  })
})

describe('a success without an access token passes unchanged', () => {
  test.each([
    ['other JSON', '{"pending": true, "n": 1.0}'],
    ['an access token that is no string', '{"access_token": 7}'],
    ['nothing', ''],
  ])('%s', async (_, body) => {
    setup.upstream.onToken = () =>
      new Response(body, { headers: { 'content-type': 'application/json', 'x-a': 'b' } })
    const response = await setup.refresh()
    expect([response.status, response.headers.get('x-a')]).toEqual([200, 'b'])
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(new TextEncoder().encode(body))
    expect(setup.kv.reads).toEqual([])
  })

  test('204', async () => {
    setup.upstream.onToken = () => new Response(null, { status: 204 })
    expect((await setup.refresh()).status).toBe(204)
  })
})

describe('a success that cannot be read may hold an access token, and is withheld', () => {
  test.each([
    ['a list', '[{"access_token":"x"}]'],
    ['a form', 'access_token=x&token_type=bearer'],
    ['JSONP', 'cb({"access_token":"x"})'],
    ['another character set', '{\0"\0a\0'],
  ])('%s', async (_, body) => {
    setup.upstream.onToken = () => new Response(body)
    expect(await setup.refresh()).toMatchObject({ status: 503 })
    expect(log.last).toMatchObject({ reason: 'upstream_answer_unreadable' })
  })

  test('upstream is asked for JSON, whatever the client prefers', async () => {
    await setup.refresh({
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/x-www-form-urlencoded',
        'accept-charset': 'utf-16',
        'accept-encoding': 'gzip, deflate, br, zstd',
      },
    })
    const { headers } = setup.upstream.requests.at(-1) ?? { headers: new Headers() }
    expect(headers.get('accept')).toBe('application/json')
    expect(headers.get('accept-encoding')).toBe('gzip')
    expect(headers.has('accept-charset')).toBe(false)
  })
})

test('a byte order mark hides no access token', async () => {
  const upstreamToken = await setup.upstream.sign(setup.upstream.claims())
  setup.upstream.onToken = () => new Response(`\uFEFF{"access_token":"${upstreamToken}"}`)
  const answer = (await (await setup.refresh()).json()) as { access_token: string }
  expect(await setup.verified(answer.access_token)).toMatchObject({ feature_flags: ['reports'] })
})

describe('an upstream that fails is 503 with a time to retry', () => {
  const slow = () => new Promise<Response>(() => {})
  const cutOff = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode('{"access_token":"eyJ')),
        pull: (controller) => controller.error(new Error('connection lost')),
      }),
    )
  const stalled = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode('{"access_')),
      }),
    )
  test.each<[string, () => Response | Promise<Response>, string]>([
    ['slow', slow, 'upstream_timeout'],
    ['refused', () => Promise.reject(new TypeError('connection refused')), 'upstream_unreachable'],
    ['cut off in the middle of its answer', cutOff, 'upstream_unreachable'],
    ['stalled in the middle of its answer', stalled, 'upstream_timeout'],
    [
      'larger than 1 MiB',
      () => Response.json({ access_token: 'x'.repeat(1024 * 1024) }),
      'upstream_answer_too_large',
    ],
  ])('%s', async (_, onToken, reason) => {
    setup = await setUp({ UPSTREAM_TIMEOUT_MS: '100' })
    setup.upstream.onToken = onToken
    const response = await setup.refresh()
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('2')
    expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
    expect(log.last).toMatchObject({ level: 'error', reason, status: 503 })
    expect(log.last).not.toHaveProperty('jti')
  })
})

test('a client that leaves in the middle of a refresh: upstream’s answer is still received in full', async () => {
  let received = 0
  const answer = await (await setup.upstream.tokens()).text()
  setup.upstream.onToken = () => {
    const pieces = [answer.slice(0, 50), answer.slice(50, 100), answer.slice(100)]
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          const piece = pieces.shift()
          if (piece === undefined) return controller.close()
          received += piece.length
          controller.enqueue(new TextEncoder().encode(piece))
        },
      }),
    )
  }
  await setup.requestAndLeave('/token', { method: 'POST', headers: FORM, body: REFRESH_BODY })
  expect(received).toBe(answer.length)
  expect(setup.kv.reads, 'and the pipeline went on to its end').toHaveLength(1)
})

test('the time that upstream took is in Server-Timing and in the log, and ours beside it', async () => {
  setup.upstream.onToken = () => {
    setup.now += 120
    return setup.upstream.tokens()
  }
  const response = await setup.refresh()
  expect(response.headers.get('server-timing')).toBe('upstream;dur=120, lookup;dur=0, mint;dur=0')
  expect(log.last).toMatchObject({ upstream_ms: 120, lookup_ms: 0, mint_ms: 0, duration_ms: 120 })
})
