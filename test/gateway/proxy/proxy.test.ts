import { beforeEach, describe, expect, test } from 'vitest'
import { type Setup, setUp } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { UPSTREAM } from '../support/upstream.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

/** What upstream saw of the last request, past the discovery document. */
const seen = () => setup.upstream.requests.at(-1)

describe('a request passes', () => {
  test.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s, with path, query and fields as they came',
    async (method) => {
      const body = ['GET', 'HEAD'].includes(method) ? {} : { body: '{"a": 1.0}' }
      await setup.request('/a%20b/%2F/ü?q=%20+&q=2', {
        method,
        headers: { cookie: 'a=1', 'x-a': 'b' },
        ...body,
      })
      expect(seen()).toMatchObject({ method, redirect: 'manual', body: body.body ?? '' })
      expect(seen()?.url.href).toBe(`${UPSTREAM}/a%20b/%2F/%C3%BC?q=%20+&q=2`)
      expect(seen()?.headers.get('cookie')).toBe('a=1')
    },
  )

  test('with what the client claims about itself replaced', async () => {
    await setup.request('/login', {
      headers: {
        'x-forwarded-for': '6.6.6.6',
        'x-forwarded-host': 'evil.test',
        'x-forwarded-port': '1',
        forwarded: 'for=6.6.6.6',
        'cf-connecting-ip': '1.2.3.4',
        connection: 'keep-alive, x-hop',
        'x-hop': '1',
        te: 'trailers',
      },
    })
    expect(Object.fromEntries(seen()?.headers ?? [])).toEqual({
      'x-forwarded-for': '1.2.3.4',
      'x-forwarded-host': 'auth.test',
      'x-forwarded-proto': 'https',
    })
  })

  test('while it is still being sent: nothing waits for the end of a body', async () => {
    let send: (text: string | null) => void = () => {}
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        send = (text) =>
          text === null ? controller.close() : controller.enqueue(new TextEncoder().encode(text))
      },
    })
    const fetched = Promise.withResolvers<ReadableStreamDefaultReader<Uint8Array>>()
    setup = await setUp()
    const answered = setup.request('/upload', { method: 'POST', body })
    setup.upstream.onRaw = (request) => {
      fetched.resolve(request.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>)
      return new Response('early')
    }
    const reader = await fetched.promise
    send('first')
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('first')
    expect(await (await answered).text()).toBe('early')
    send(null)
    expect((await reader.read()).done).toBe(true)
  })
})

describe('an answer passes', () => {
  test('while it is still being written', async () => {
    let write: (text: string | null) => void = () => {}
    setup.upstream.onOther = () =>
      new Response(
        new ReadableStream({
          start(controller) {
            write = (text) =>
              text === null ? controller.close() : controller.enqueue(new TextEncoder().encode(text))
          },
        }),
      )
    const response = await setup.request('/events')
    const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>
    for (const piece of ['data: 1\n\n', 'data: 2\n\n']) {
      write(piece)
      expect(new TextDecoder().decode((await reader.read()).value)).toBe(piece)
    }
    write(null)
    expect((await reader.read()).done).toBe(true)
  })

  test.each([201, 206, 400, 401, 403, 404, 418, 500, 503])(
    'with the status %d, its text and its body',
    async (status) => {
      setup.upstream.onOther = () =>
        new Response('body', { status, statusText: 'Because', headers: { 'retry-after': '7' } })
      const response = await setup.request('/x')
      expect([response.status, response.statusText, await response.text()]).toEqual([
        status,
        'Because',
        'body',
      ])
      expect(response.headers.get('retry-after')).toBe('7')
      expect(log.last).toMatchObject({ route: 'proxy', status })
    },
  )

  test.each([204, 304])('with the status %d and no body', async (status) => {
    setup.upstream.onOther = () => new Response(null, { status, headers: { etag: '"x"' } })
    const response = await setup.request('/x', { headers: { 'if-none-match': '"x"' } })
    expect([response.status, response.body, response.headers.get('etag')]).toEqual([status, null, '"x"'])
    expect(seen()?.headers.get('if-none-match')).toBe('"x"')
  })

  test.each([
    [301, `${UPSTREAM}/login?x=1#f`, 'https://auth.test/login?x=1#f'],
    [
      302,
      'https://app.test/cb?code=c&iss=https%3A%2F%2Fidp.test',
      'https://app.test/cb?code=c&iss=https%3A%2F%2Fauth.test',
    ],
    [303, '/relative', '/relative'],
    [307, 'https://other.test/', 'https://other.test/'],
    [308, `${UPSTREAM}.evil.test/`, `${UPSTREAM}.evil.test/`],
  ])('with a redirect (%d) that is not followed, to %s', async (status, location, rewritten) => {
    setup.upstream.onOther = () => new Response(null, { status, headers: { location } })
    const before = setup.upstream.requests.length
    const response = await setup.request('/x')
    expect([response.status, response.headers.get('location')]).toEqual([status, rewritten])
    expect(setup.upstream.requests.length - before, 'and one for the discovery document').toBe(2)
  })

  test('with every cookie, and without the connection’s own fields', async () => {
    setup.upstream.onOther = () => {
      const headers = new Headers({
        connection: 'x-hop',
        'x-hop': '1',
        'keep-alive': '5',
        'content-security-policy': 'x',
      })
      headers.append('set-cookie', 'a=1; Path=/; HttpOnly')
      headers.append('set-cookie', 'b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT')
      return new Response('x', { headers })
    }
    const { headers } = await setup.request('/x')
    expect(headers.getSetCookie()).toEqual([
      'a=1; Path=/; HttpOnly',
      'b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT',
    ])
    headers.delete('set-cookie')
    expect(Object.fromEntries(headers)).toEqual({
      'content-security-policy': 'x',
      'content-type': 'text/plain;charset=UTF-8',
    })
  })
})

test('an upstream that refuses is 503 with a time to retry', async () => {
  setup.upstream.onOther = () => Promise.reject(new TypeError('connection refused'))
  const response = await setup.request('/x')
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
  expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
  expect(log.last).toMatchObject({ level: 'error', reason: 'upstream_unreachable' })
})
