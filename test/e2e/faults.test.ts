/**
 * An identity provider that fails in every way: what cannot be trusted is withheld and never signed, everything else passes
 * through byte for byte, and the next refresh works as if nothing had happened.
 */
import { createHmac } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { base64url, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { type MockIdp, refreshRequest, startMockIdp } from './support/mock_idp.ts'
import { ACME_FLAGS, claimsOf, type TestGateway } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

const running = new Running()
const TIMEOUT_MS = 1_000
let upstream: MockIdp
let gateway: TestGateway

beforeAll(async () => {
  const stage = await openStage(running, inject('bundles').gateway)
  upstream = running.add(await startMockIdp())
  gateway = await openGateway(running, stage, {
    vars: {
      UPSTREAM_ORIGIN: upstream.url,
      UPSTREAM_ISSUER: upstream.url,
      UPSTREAM_TIMEOUT_MS: String(TIMEOUT_MS),
    },
  })
})
afterAll(() => running.close())

const refresh = (origin = gateway.url) => fetch(`${origin}/token`, refreshRequest())

/** The gateway's line about the last token request. */
const lineOf = async (response: Response, body: { request_id?: string }) => {
  const id = body.request_id ?? response.headers.get('x-request-id')
  return gateway.logged(({ request_id }) => request_id === id)
}

async function expectRecovery(): Promise<void> {
  const response = await refresh()
  const { access_token: token } = (await response.json()) as { access_token: string }
  expect([response.status, claimsOf(token).feature_flags]).toEqual([200, ACME_FLAGS])
}

// Every other kind of bad token: test/gateway/pipeline/verify.test.ts.
describe('an access token that does not verify is withheld, also over a real socket:', () => {
  const part = (token: string, index: number): string => token.split('.')[index] as string
  const json = (value: object): string => base64url.encode(JSON.stringify(value))

  const cases: [name: string, spoil: (token: string) => string | Promise<string>, reason: string][] = [
    ['unsigned', (token) => `${json({ alg: 'none' })}.${part(token, 1)}.`, 'token_malformed'],
    ['HS256 with the public key as its secret', hmacWithPublicKey, 'algorithm_refused'],
    [
      'a payload that was changed after signing',
      (token) => `${part(token, 0)}.${json({ ...claimsOf(token), org_id: 'org_globex' })}.${part(token, 2)}`,
      'signature_invalid',
    ],
  ]

  async function hmacWithPublicKey(token: string): Promise<string> {
    const keys = await (await fetch(`${upstream.url}/jwks`)).text()
    const signed = `${json({ ...decodeProtectedHeader(token), alg: 'HS256' })}.${part(token, 1)}`
    return `${signed}.${createHmac('sha256', keys).update(signed).digest('base64url')}`
  }

  test.each(cases)('%s', async (_, spoil, reason) => {
    const direct = (await (await refresh(upstream.url)).json()) as { access_token: string }
    const spoilt = await spoil(direct.access_token)
    upstream.bend((body) => {
      body.access_token = spoilt
    })
    const response = await refresh()
    const body = (await response.json()) as { request_id: string }
    expect(response.status).toBe(503)
    expect(body).toEqual({
      error: 'temporarily_unavailable',
      error_description: expect.stringContaining('does not verify'),
      request_id: expect.any(String),
    })
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    const line = await lineOf(response, body)
    expect(line).toMatchObject({ route: 'token', status: 503, reason, access_token: 'withheld' })
    expect(line.jti).toBeUndefined()
    await expectRecovery()
  })

  test('none of them, and no part of them, is in the log', () => {
    const text = JSON.stringify(gateway.log)
    for (const canary of ['eyJ', 'org_globex', 'upstream-jti', 'user_ada']) expect(text).not.toContain(canary)
  })
})

test('fields around the tokens stay byte for byte what upstream wrote', async () => {
  const direct = (await (await refresh(upstream.url)).json()) as { access_token: string }
  const text = (token: string, expiresIn: number) =>
    `{ "scope" : "a  b",\n\t"access_token":"${token}", "big": 12345678901234567890, "money": 1.50,` +
    ` "twice": 1, "twice": 2, "nested": {"access_token": "not this one", "list": [ 1 , {} ]},` +
    ` "escaped": "\\u00e9\\/\\"", "refresh_token":"r2" , "expires_in": ${expiresIn} }\n`
  upstream.once((response) =>
    response
      .writeHead(200, { 'content-type': 'application/json;charset=UTF-8', 'x-upstream': 'kept' })
      .end(text(direct.access_token, 3600)),
  )
  const response = await refresh()
  const body = await response.text()
  const { access_token: minted } = JSON.parse(body)
  expect(minted).not.toBe(direct.access_token)
  expect(body).toBe(text(minted, 300))
  expect(response.headers.get('x-upstream')).toBe('kept')
  expect(response.headers.get('content-type')).toBe('application/json;charset=UTF-8')
})

describe('an answer without tokens passes through as it is:', () => {
  const cases: [name: string, status: number, headers: Record<string, string>, body: string][] = [
    ['an OAuth error', 400, { 'content-type': 'application/json' }, '{ "error":"invalid_grant", "x": 1.0 }'],
    ['a rate limit', 429, { 'retry-after': '17', 'content-type': 'text/plain' }, 'slow down'],
    ['a redirect', 302, { location: 'https://elsewhere.example/token' }, ''],
  ]
  test.each(cases)('%s', async (_, status, headers, body) => {
    upstream.once((response) => response.writeHead(status, headers).end(body))
    const before = upstream.counts.token
    const response = await fetch(`${gateway.url}/token`, refreshRequest({ redirect: 'manual' }))
    expect([response.status, await response.text()]).toEqual([status, body])
    for (const [name, value] of Object.entries(headers)) expect(response.headers.get(name)).toBe(value)
    expect(upstream.counts.token).toBe(before + 1)
  })
})

describe('an upstream that does not answer is 503, and worth another try:', () => {
  const START = '{"access_token":"'
  const cases: [name: string, fault: (response: ServerResponse) => unknown, reason: string][] = [
    ['silence', () => {}, 'upstream_timeout'],
    [
      'silence after half an answer',
      (response) => response.writeHead(200, { 'content-length': 999 }).write(START),
      'upstream_timeout',
    ],
    ['a connection that is reset', (response) => response.socket?.resetAndDestroy(), 'upstream_unreachable'],
    [
      'an answer that is cut off',
      (response) => {
        response.writeHead(200, { 'content-length': 999 }).write(START, () => response.socket?.destroy())
      },
      'upstream_unreachable',
    ],
  ]
  test.each(cases)('%s', async (_, fault, reason) => {
    upstream.once((response) => void fault(response))
    const response = await refresh()
    const body = (await response.json()) as { error: string; request_id: string }
    expect([response.status, body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await lineOf(response, body)).toMatchObject({ status: 503, reason })
    await expectRecovery()
  })
})
