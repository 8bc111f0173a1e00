/**
 * A page on another origin in a real Chromium, and a gateway in `wrangler dev` and in bare workerd: every token request
 * that a browser asks leave for reaches the pipeline. Skipped without a Chromium.
 */
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { chromiumPath, launchChromium } from '../e2e/support/chromium.ts'
import { readText, sendJson, startServer } from '../e2e/support/http.ts'
import { claimsOf } from '../e2e/support/stage.ts'
import { openGateway, openStage } from '../e2e/support/workerd.ts'
import { openDevGateway } from '../e2e/support/wrangler_dev.ts'

const running = new Running()
const AUDIENCE = 'https://api.test'
const gateways: Record<string, string> = {}
const seen: { method: string; path: string; headers: IncomingMessage['headers']; body: string }[] = []

beforeAll(async () => {
  const upstream = running.add(await startUpstream())
  const vars = {
    UPSTREAM_ORIGIN: upstream.url,
    UPSTREAM_ISSUER: upstream.url,
    UPSTREAM_AUDIENCE: AUDIENCE,
  }
  const workos = { UPSTREAM_PROFILE: 'workos', UPSTREAM_CLIENT_ID: 'client_1', TOKEN_ISSUER: 'gateway' }
  const [stage, dev, devWorkos] = await Promise.all([
    openStage(running, inject('bundles').gateway),
    openDevGateway(running, vars),
    openDevGateway(running, { ...vars, ...workos }),
  ])
  const bare = await openGateway(running, stage, { vars })
  Object.assign(gateways, { 'wrangler dev': dev.url, workerd: bare.url, workos: devWorkos.url })
}, 120_000)
afterAll(() => running.close())

/** A provider that lets every page ask, as the answer to a preflight says, and issues a token for every POST. */
async function startUpstream() {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  const server = await startServer(async (incoming, response) => {
    const path = new URL(incoming.url ?? '/', server.url).pathname
    seen.push({
      method: incoming.method ?? '',
      path,
      headers: incoming.headers,
      body: await readText(incoming),
    })
    if (path === '/.well-known/openid-configuration') {
      const [token_endpoint, jwks_uri] = [`${server.url}/token`, `${server.url}/jwks`]
      return sendJson(response, 200, { issuer: server.url, token_endpoint, jwks_uri })
    }
    if (path === '/jwks' || path === '/sso/jwks/client_1')
      return sendJson(response, 200, { keys: [{ ...jwk, kid, alg: 'ES256' }] })
    allow(incoming, response)
    if (incoming.method === 'OPTIONS') return void response.writeHead(204).end()
    const token = await new SignJWT({ org_id: 'org_acme', sub: 'user_1' })
      .setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt' })
      .setIssuer(server.url)
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey)
    return sendJson(response, 200, { access_token: token, expires_in: 3600, refresh_token: 'rotated' })
  })
  return server
}

function allow(incoming: IncomingMessage, response: ServerResponse): void {
  response.setHeader('access-control-allow-origin', incoming.headers.origin ?? '*')
  const requested = incoming.headers['access-control-request-headers']
  if (requested !== undefined) response.setHeader('access-control-allow-headers', requested)
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const REFRESH = 'grant_type=refresh_token&refresh_token=r1&client_id=app'

const skipped = chromiumPath ? '' : ' (skipped: there is no Chromium; CHROMIUM_PATH says where one is)'

describe.skipIf(!chromiumPath)(`a page on another origin in Chromium${skipped}`, () => {
  let page: Page
  beforeAll(async () => {
    const pages = running.add(await startServer((_, response) => void response.end('<!doctype html>')))
    page = await running.add(await launchChromium()).newPage()
    await page.goto(pages.url)
  }, 60_000)

  /** What the page gets, or why the browser did not let it. */
  const fetchInPage = (url: string, init: RequestInit) =>
    page.evaluate(
      async ([url, init]) => {
        const response = await fetch(url as string, init as RequestInit)
        return { status: response.status, body: await response.json() }
      },
      [url, init] as const,
    )

  const basic = `Basic ${Buffer.from('app:secret').toString('base64')}`
  test.each<[string, string, string, RequestInit]>([
    ...['wrangler dev', 'workerd'].flatMap((place): [string, string, string, RequestInit][] => [
      [place, 'a simple request', '/token', { headers: FORM }],
      [
        place,
        'a custom header',
        '/token',
        { headers: { ...FORM, 'x-requested-with': 'app', traceparent: '00-1' } },
      ],
      [place, 'Remint-Min-Version', '/token', { headers: { ...FORM, 'remint-min-version': '1' } }],
      [place, 'Basic', '/token', { headers: { ...FORM, authorization: basic } }],
      [place, 'DPoP', '/token', { headers: { ...FORM, dpop: 'a.proof.here' } }],
      [
        place,
        'a JSON body',
        '/token',
        {
          headers: { 'content-type': 'application/json' },
          body: '{"grant_type":"refresh_token","refresh_token":"r1","client_id":"app"}',
        },
      ],
    ]),
    [
      'workos',
      'a JSON body',
      '/user_management/authenticate',
      {
        headers: { 'content-type': 'application/json', 'idempotency-key': 'k1' },
        body: '{"grant_type":"refresh_token","refresh_token":"r1","client_id":"client_1"}',
      },
    ],
  ])('%s: a token request with %s is minted', async (place, _, path, init) => {
    const url = gateways[place] + path
    const { status, body } = await fetchInPage(url, { method: 'POST', body: REFRESH, ...init })
    expect(status).toBe(200)
    expect(claimsOf(body.access_token).feature_flags_meta).toMatchObject({ src: 'fresh' })
  })

  test.each([
    ['wrangler dev', '/.well-known/openid-configuration'],
    ['wrangler dev', '/.well-known/jwks.json'],
    ['workerd', '/.well-known/jwks.json'],
    ['workerd', '/.well-known/oauth-authorization-server'],
  ])('%s: %s may be read with a header that a tracing agent adds', async (place, path) => {
    const before = seen.length
    const answer = await fetchInPage(gateways[place] + path, {
      headers: { traceparent: '00-1', newrelic: 'x' },
    })
    expect(answer.status).toBe(200)
    expect(seen.slice(before).filter(({ method }) => method === 'OPTIONS')).toEqual([])
  })

  test.each(['/verify', '/guard', '/access/v1/evaluation'])(
    '%s is for services, and no page may call it',
    async (path) => {
      const init = { method: 'POST', headers: { authorization: 'Bearer x' } }
      await expect(fetchInPage(gateways['wrangler dev'] + path, init)).rejects.toThrow('Failed to fetch')
    },
  )
})

describe.each(['wrangler dev', 'workerd'])(
  'a preflight with Content-Length: 0, as Safari sends it: %s',
  (place) => {
    test.each([
      ['/token', 'POST'],
      ['/.well-known/jwks.json', 'GET'],
    ])('%s', async (path, method) => {
      const { status, headers } = await preflight(gateways[place] + path, method)
      expect(status).toBe(204)
      expect(headers['access-control-allow-origin']).toMatch(/^(\*|https:\/\/app\.test)$/)
    })
  },
)

const preflight = (url: string, method: string) =>
  new Promise<{ status: number | undefined; headers: IncomingMessage['headers'] }>((resolve, reject) => {
    const headers = {
      origin: 'https://app.test',
      'access-control-request-method': method,
      'access-control-request-headers': 'content-type',
      'content-length': '0',
    }
    request(url, { method: 'OPTIONS', headers }, (response) => {
      response.resume()
      resolve({ status: response.statusCode, headers: response.headers })
    })
      .on('error', reject)
      .end()
  })
