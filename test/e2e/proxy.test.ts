/**
 * Everything that is not intercepted streams through the gateway in both directions, and what a client does to its
 * connection reaches upstream — but for a token request, whose answer is received in full even if the client has left.
 */
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE } from '../../dev/idp.ts'
import { generateSigningKeys } from '../../dev/signing_keys.ts'
import { createGateway } from '../../src/gateway/app.ts'
import { eventually } from '../support/eventually.ts'
import { type Handler, type HttpServer, sendJson, startServer } from './support/http.ts'
import { type MockIdp, refreshRequest, startMockIdp } from './support/mock_idp.ts'
import type { TestGateway } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

const running = new Running()
let upstream: HttpServer
let idp: MockIdp
let gateway: TestGateway
/** What upstream does with the next request. */
let handle: Handler

beforeAll(async () => {
  const stage = await openStage(running, inject('bundles').gateway)
  idp = running.add(await startMockIdp())
  // Documents are the mock's; everything else is in the test's hands.
  upstream = running.add(
    await startServer(async (request, response) => {
      const path = request.url ?? ''
      if (path !== '/jwks' && !path.startsWith('/.well-known/')) return handle(request, response)
      const metadata = (await (await fetch(`${idp.url}${path}`)).json()) as object
      sendJson(response, 200, metadata)
    }),
  )
  const vars = { UPSTREAM_ORIGIN: upstream.url, UPSTREAM_ISSUER: idp.url }
  gateway = await openGateway(running, stage, { vars })
})
afterAll(() => running.close())

const MIB = new Uint8Array(1024 * 1024).fill(120)

/** A promise that a test settles. */
function gate<T = void>() {
  return Promise.withResolvers<T>()
}

describe('bodies stream', () => {
  test('a download’s first bytes arrive before upstream has sent the last', async () => {
    const read = gate()
    handle = async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('first')
      await read.promise
      response.end(' last')
    }
    const response = await fetch(`${gateway.url}/events`)
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('first')
    read.resolve()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(' last')
    expect((await reader.read()).done).toBe(true)
  })

  test('an upload’s first bytes arrive before the client has sent the last', async () => {
    const arrived = gate()
    handle = async (request, response) => {
      let text = ''
      for await (const chunk of request) {
        text += chunk
        arrived.resolve()
      }
      response.end(text)
    }
    const request = httpRequest(`${gateway.url}/upload`, { method: 'PUT' })
    request.write('first')
    await arrived.promise
    request.end(' last')
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    expect(await textOf(response)).toBe('first last')
  })

  test('64 MiB in both directions at once arrive whole', async () => {
    handle = (request, response) => void request.pipe(response)
    const mebibytes = 64
    const request = httpRequest(`${gateway.url}/echo`, { method: 'POST' })
    const answered = once(request, 'response') as Promise<[IncomingMessage]>
    const sent = (async () => {
      for (let i = 0; i < mebibytes; i++) if (!request.write(MIB)) await once(request, 'drain')
      request.end()
    })()
    const [response] = await answered
    let received = 0
    for await (const chunk of response) received += (chunk as Uint8Array).length
    await sent
    expect(received).toBe(mebibytes * MIB.length)
  })
})

describe('upstream’s answer is the client’s', () => {
  test.each([301, 302, 303, 307, 308])('%i is not followed', async (status) => {
    let asked = 0
    handle = (_request, response) => {
      asked++
      response.writeHead(status, { location: 'https://elsewhere.example/next' }).end()
    }
    const response = await fetch(`${gateway.url}/moved`, { redirect: 'manual' })
    expect([response.status, response.headers.get('location'), asked]).toEqual([
      status,
      'https://elsewhere.example/next',
      1,
    ])
  })

  test('a redirect to upstream’s own address leads back to the gateway', async () => {
    handle = (_request, response) =>
      void response.writeHead(302, { location: `${upstream.url}/next?a=b#c` }).end()
    const response = await fetch(`${gateway.url}/moved`, { redirect: 'manual' })
    expect(response.headers.get('location')).toBe(`${gateway.url}/next?a=b#c`)
  })

  test('every Set-Cookie stays a header of its own', async () => {
    const cookies = [
      'a=1; Path=/; HttpOnly; SameSite=Lax',
      'b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT; Path=/x',
      'c=; Max-Age=0',
    ]
    handle = (_request, response) => void response.writeHead(200, { 'set-cookie': cookies }).end()
    const response = await fetch(`${gateway.url}/cookies`)
    expect(response.headers.getSetCookie()).toEqual(cookies)
  })

  const statuses: [status: number, body: string][] = [
    [204, ''],
    [206, 'part'],
    [304, ''],
    [404, 'nothing here'],
    [418, 'teapot'],
    [503, 'later'],
  ]
  test.each(statuses)('%i keeps its status, its headers and its body', async (status, body) => {
    handle = (_request, response) =>
      void response
        .writeHead(status, { etag: '"v1"', 'x-custom': 'kept', 'content-range': 'bytes 0-3/9' })
        .end(body)
    const response = await fetch(`${gateway.url}/status`)
    expect([response.status, await response.text()]).toEqual([status, body])
    expect(response.headers.get('etag')).toBe('"v1"')
    expect(response.headers.get('x-custom')).toBe('kept')
  })

  test('a compressed answer is one that the client can read', async () => {
    const { gzipSync } = await import('node:zlib')
    handle = (_request, response) =>
      void response
        .writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'text/plain' })
        .end(gzipSync('squeezed'))
    const response = await fetch(`${gateway.url}/gzip`)
    expect(await response.text()).toBe('squeezed')
  })
})

test('upstream sees the client’s request, under the gateway’s public name', async () => {
  const seen = gate<IncomingMessage>()
  handle = (request, response) => {
    seen.resolve(request)
    response.end()
  }
  await fetch(`${gateway.url}/path/%2e%2E/a%2Fb?x=1&x=2&empty=`, {
    method: 'DELETE',
    headers: {
      authorization: 'Bearer abc',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'gopher',
      forwarded: 'host=evil.example',
      'x-custom': 'kept',
    },
  })
  const { method, headers, url } = await seen.promise
  expect([method, url?.endsWith('?x=1&x=2&empty=')]).toEqual(['DELETE', true])
  expect(headers).toMatchObject({
    host: new URL(upstream.url).host,
    authorization: 'Bearer abc',
    'x-custom': 'kept',
    'x-forwarded-host': new URL(gateway.url).host,
    'x-forwarded-proto': 'http',
  })
  expect(JSON.stringify(headers)).not.toContain('evil.example')
})

describe('a client that leaves', () => {
  /** An answer in two halves, with a pause that outlasts the client; tells how it ended for upstream. */
  function twoHalves(response: ServerResponse, text: string) {
    const began = gate()
    const ended = gate<'whole' | 'aborted'>()
    const proceed = gate()
    response.on('close', () => ended.resolve(response.writableFinished ? 'whole' : 'aborted'))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write(text.slice(0, 20), () => began.resolve())
    void proceed.promise.then(() => response.end(text.slice(20)))
    return { began: began.promise, ended: ended.promise, proceed: proceed.resolve }
  }

  async function leaveMidway(path: string, text: string, init: RequestInit = refreshRequest()) {
    const started = gate<ReturnType<typeof twoHalves>>()
    handle = (_request, response) => started.resolve(twoHalves(response, text))
    const client = new AbortController()
    const asked = fetch(`${gateway.url}${path}`, { ...init, signal: client.signal })
    const left = asked.then((response) => response.text()).catch((error: Error) => error.name)
    const answer = await started.promise
    await answer.began
    client.abort()
    expect(await left).toBe('AbortError')
    return answer
  }

  test('mid-refresh does not keep upstream’s answer from being received in full', async () => {
    const tokens = await (await fetch(`${idp.url}/token`, refreshRequest())).text()
    const minted = gateway.log.filter(({ access_token }) => access_token === 'minted').length
    const answer = await leaveMidway('/token', tokens)
    // Long enough for a cancellation to reach upstream, if there were one.
    await expect(Promise.race([answer.ended, sleep(500, 'slept')])).resolves.toBe('slept')
    answer.proceed()
    expect(await answer.ended).toBe('whole')
    await eventually(
      () => gateway.log.filter(({ access_token }) => access_token === 'minted')[minted],
      'the minted token’s log line',
    )
  })

  // workerd on a laptop finishes what a client has left even without being asked; Cloudflare does not.
  test('leaves work that the runtime was asked to finish, where it would end with the request', async () => {
    const tokens = await (await fetch(`${idp.url}/token`, refreshRequest())).text()
    handle = (_request, response) => sendJson(response, 200, tokens)
    const kept: Promise<unknown>[] = []
    const context = {
      waitUntil: (work: Promise<unknown>) => void kept.push(work),
      passThroughOnException() {},
      props: {},
    }
    const bindings = {
      ENTITLEMENTS: { get: async () => new Map() },
      ENVIRONMENT: 'production',
      ISSUER: 'http://localhost',
      UPSTREAM_PROFILE: 'oidc',
      UPSTREAM_AUDIENCE: API_AUDIENCE,
      UPSTREAM_ORIGIN: upstream.url,
      UPSTREAM_ISSUER: idp.url,
      SIGNING_KEYS: await generateSigningKeys(),
    }
    vi.spyOn(console, 'info').mockReturnValueOnce()
    const answer = await createGateway().request('/token', refreshRequest(), bindings, context)
    expect([answer.status, kept.length]).toEqual([200, 1])
    await expect(kept[0]).resolves.toMatchObject({ ok: true })
  })

  test('a proxied download ends upstream’s work', async () => {
    const answer = await leaveMidway('/download', 'x'.repeat(100), { method: 'GET' })
    expect(await answer.ended).toBe('aborted')
  })
})

async function textOf(message: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of message) text += chunk
  return text
}
