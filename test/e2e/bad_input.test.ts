/**
 * Requests that no client should send, as only a real socket sends them: refused before upstream hears of them, in the form
 * that the endpoint's clients understand. The whole of it: pipeline/request.test.ts and verification/json.test.ts.
 */
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { type MockIdp, refreshRequest, startMockIdp } from './support/mock_idp.ts'
import { ACME_FLAGS, claimsOf, type TestGateway } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

const running = new Running()
let upstream: MockIdp
let gateway: TestGateway
let token: string

beforeAll(async () => {
  const stage = await openStage(running, inject('bundles').gateway)
  upstream = running.add(await startMockIdp())
  const vars = { UPSTREAM_ORIGIN: upstream.url, UPSTREAM_ISSUER: upstream.url }
  gateway = await openGateway(running, stage, { vars })
  const response = await fetch(`${gateway.url}/token`, refreshRequest())
  token = ((await response.json()) as { access_token: string }).access_token
})
afterAll(() => running.close())

interface Sent {
  readonly method?: string
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
}

/** Sends exactly this, where `fetch` would tidy up. Without a content-length the body goes out in chunks. */
async function send({ method = 'POST', path, headers = {}, body = '' }: Sent) {
  const request = httpRequest(gateway.url, { method, path, headers })
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  // The gateway may answer and hang up before it has read everything.
  request.on('error', () => {})
  request.end(body)
  const [response] = await answered
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, headers: response.headers, text }
}

/** Two header lines; Node's types know of one. */
const twice = (authorization: string): OutgoingHttpHeaders =>
  ({ authorization: [authorization, authorization] }) as never

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const JSON_TYPE = { 'content-type': 'application/json' }
const REFRESH = 'grant_type=refresh_token&refresh_token=r1&client_id=spa'

describe('the token endpoint refuses, and upstream is not asked:', () => {
  const post = (body: string, headers: OutgoingHttpHeaders = FORM): Sent => ({
    path: '/token',
    headers,
    body,
  })
  const cases: [name: string, sent: Sent, status: number][] = [
    ['a body over 64 KiB', post(`${REFRESH}&x=${'x'.repeat(65_536)}`), 413],
    [
      'a body over 64 KiB that says its length',
      post(`${REFRESH}&x=${'x'.repeat(65_536)}`, { ...FORM, 'content-length': 65_536 + REFRESH.length + 3 }),
      413,
    ],
    [
      'JSON with a member that is there twice',
      post('{"grant_type":"refresh_token","refresh_token":"r1","refresh_token":"r2"}', JSON_TYPE),
      400,
    ],
    ['no content type', post(REFRESH, {}), 415],
    ['nothing at all', post(''), 400],
    ['two Authorization headers', post(REFRESH, { ...FORM, ...twice('Basic YTpi') }), 400],
    [
      'two Authorization headers in one',
      post(REFRESH, { ...FORM, authorization: 'Basic YTpi, Basic Yzpk' }),
      400,
    ],
  ]
  test.each(cases)('%s', async (_, sent, status) => {
    const before = upstream.counts.token
    const response = await send(sent)
    expect(response.status).toBe(status)
    expect(JSON.parse(response.text)).toMatchObject({
      error: 'invalid_request',
      request_id: expect.any(String),
    })
    expect(response.headers['cache-control']).toBe('no-store')
    expect(upstream.counts.token).toBe(before)
  })

  test.each(['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH'])('%s', async (method) => {
    const before = upstream.counts.token
    const response = await send({ method, path: '/token' })
    expect([response.status, response.headers.allow]).toEqual([405, 'POST'])
    expect(upstream.counts.token).toBe(before)
  })
})

test.each(['/token/', '//token', '/TOKEN', '/%74oken', '/token;x=1', '/a/../token', '/%2e/token'])(
  'the token endpoint cannot be passed by as %s',
  async (path) => {
    const { status, text } = await send({ path, headers: FORM, body: REFRESH })
    expect(status).toBe(200)
    const { access_token: minted } = JSON.parse(text)
    expect(claimsOf(minted)).toMatchObject({ iss: gateway.url, feature_flags: ACME_FLAGS })
  },
)

describe('/verify refuses as a problem, so that a mistake is never taken for a verdict:', () => {
  const ask = (body: unknown, headers: OutgoingHttpHeaders = JSON_TYPE): Sent => ({
    path: '/verify',
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const cases: [name: string, sent: () => Sent, status: number, code: string][] = [
    ['a body that is cut off', () => ask(`{"token":"${token}"`), 400, 'body_malformed'],
    ['more than 64 KiB', () => ask({ token, x: 'x'.repeat(65_536) }), 413, 'body_too_large'],
    [
      'two Authorization headers',
      () => ask({}, { ...JSON_TYPE, ...twice(`Bearer ${token}`) }),
      400,
      'authorization_repeated',
    ],
    [
      'another method',
      () => ({ method: 'GET', path: '/verify', headers: { authorization: `Bearer ${token}` } }),
      405,
      'method_not_allowed',
    ],
  ]
  test.each(cases)('%s', async (_, sent, status, code) => {
    const response = await send(sent())
    expect([response.status, response.headers['content-type']]).toEqual([status, 'application/problem+json'])
    expect(JSON.parse(response.text)).toMatchObject({ status, code })
    expect(response.text).not.toContain(token)
  })
})

test('/verify answers with who it is and what is missing', async () => {
  const { status, text, headers } = await send({
    path: '/verify',
    headers: { ...JSON_TYPE, authorization: `Bearer ${token}` },
    body: JSON.stringify({ features: { all: ['sso', 'scim'] } }),
  })
  expect(status).toBe(200)
  expect(JSON.parse(text)).toMatchObject({
    ...{ active: true, allowed: false, missing: ['scim'], exp: claimsOf(token).exp },
    ...{ sub: 'user_ada', org_id: 'org_acme', sid: 'session_1', feature_flags: ACME_FLAGS },
    feature_flags_meta: { env: 'production', src: 'fresh' },
  })
  expect(headers['cache-control']).toBe('no-store')
})
