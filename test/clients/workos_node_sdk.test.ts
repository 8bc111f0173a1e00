/**
 * `@workos-inc/node` pointed at the gateway instead of at WorkOS: sessions sealed into cookies carry the flags of now,
 * and everything else of the API works as if the gateway were not there.
 */
import { NotFoundException, RateLimitExceededException, WorkOS } from '@workos-inc/node'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { sendJson } from '../e2e/support/http.ts'
import { ACME_FLAGS, claimsOf, type TestGateway, verify } from '../e2e/support/stage.ts'
import { API_KEY, CLIENT_ID, ISSUER, startWorkos, type Workos } from '../e2e/support/workos.ts'
import { openDevGateway } from '../e2e/support/wrangler_dev.ts'

const running = new Running()
let upstream: Workos
let gateway: TestGateway
let workos: WorkOS
const cookiePassword = 'a-cookie-password-of-32-characters-or-more'

beforeAll(async () => {
  upstream = running.add(await startWorkos())
  gateway = await openDevGateway(running, {
    UPSTREAM_PROFILE: 'workos',
    UPSTREAM_ORIGIN: upstream.url,
    UPSTREAM_ISSUER: ISSUER,
    UPSTREAM_CLIENT_ID: CLIENT_ID,
    UPSTREAM_AUDIENCE: undefined,
  })
  workos = sdk()
})
afterAll(() => running.close())

const sdk = (options: { maxRetries?: number } = {}): WorkOS =>
  new WorkOS({
    apiKey: API_KEY,
    clientId: CLIENT_ID,
    apiHostname: 'localhost',
    port: Number(new URL(gateway.url).port),
    https: false,
    issuer: ISSUER,
    ...options,
  })

const logIn = (client = workos) =>
  client.userManagement.authenticateWithCode({
    code: 'code_ada',
    clientId: CLIENT_ID,
    session: { sealSession: true, cookiePassword },
  })

async function openSession(client = workos) {
  const { sealedSession } = await logIn(client)
  return client.userManagement.loadSealedSession({ sessionData: sealedSession as string, cookiePassword })
}

describe('sessions', () => {
  test('logging in gives a session that authenticates with the flags of now', async () => {
    const session = await openSession()
    expect(await session.authenticate()).toMatchObject({
      authenticated: true,
      organizationId: 'org_acme',
      sessionId: expect.stringMatching(/^session_/),
      role: 'admin',
      permissions: ['reports:read'],
      entitlements: ['audit-logs'],
      featureFlags: ACME_FLAGS,
      user: { email: 'ada@acme.example' },
    })
  })

  test('a session refreshes many times in a row, and each time its cookie authenticates', async () => {
    const session = await openSession()
    const seals = new Set<string>()
    for (let turn = 0; turn < 3; turn++) {
      const refreshed = await session.refresh()
      expect(refreshed).toMatchObject({ authenticated: true, featureFlags: ACME_FLAGS })
      if (refreshed.authenticated) seals.add(refreshed.sealedSession as string)
      expect(await session.authenticate()).toMatchObject({ authenticated: true, featureFlags: ACME_FLAGS })
    }
    expect(seals.size).toBe(3)
    for (const seal of seals) expect(seal.length).toBeLessThan(4096)
  })

  test('switching to another organization switches the flags', async () => {
    const session = await openSession()
    const refreshed = await session.refresh({ organizationId: 'org_globex' })
    expect(refreshed).toMatchObject({
      authenticated: true,
      organizationId: 'org_globex',
      featureFlags: ['csv-export', 'new-editor'],
    })
  })

  test('the answer is upstream’s, byte for byte, but for the access token', async () => {
    const { refreshToken } = await logIn()
    const response = await fetch(`${gateway.url}/user_management/authenticate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        grant_type: 'refresh_token',
        client_id: CLIENT_ID,
        refresh_token: refreshToken,
      }),
    })
    const text = await response.text()
    const own = JSON.parse(text).access_token as string
    const upstreams = upstream.answers.at(-1) as string
    expect(text.replace(own, JSON.parse(upstreams).access_token)).toBe(upstreams)
    expect(claimsOf(own).feature_flags).toEqual(ACME_FLAGS)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('server-timing')).toMatch(
      /^upstream;dur=\d+, lookup;dur=\d+, mint;dur=\d+, session;desc=asked$/,
    )
  })

  test('a refresh token that is sent twice gives the same successor, and access tokens of one id while nothing has changed', async () => {
    const { refreshToken } = await logIn()
    const refresh = () =>
      workos.userManagement.authenticateWithRefreshToken({ clientId: CLIENT_ID, refreshToken })
    const [first, second] = [await refresh(), await refresh()]
    expect(second.refreshToken).toBe(first.refreshToken)
    expect(claimsOf(second.accessToken).jti).toBe(claimsOf(first.accessToken).jti)
  })

  test('a session that upstream has ended is over, and not retried', async () => {
    const session = await openSession()
    const error = { error: 'invalid_grant', error_description: 'Session has already ended.' }
    upstream.once((response) => sendJson(response, 400, error))
    const calls = upstream.calls.length
    expect(await session.refresh()).toMatchObject({
      authenticated: false,
      reason: 'invalid_grant',
      retryable: false,
    })
    expect(upstream.calls.length).toBe(calls + 1)
  })
})

describe('keys', () => {
  test('the key set of the client id verifies what the gateway signs and what upstream signed before it', async () => {
    const keys = createRemoteJWKSet(new URL(workos.userManagement.getJwksUrl(CLIENT_ID)))
    const { accessToken } = await logIn()
    const before = JSON.parse(upstream.answers.at(-1) as string).access_token as string
    expect(decodeProtectedHeader(accessToken).alg).toBe('ES256')
    for (const token of [accessToken, before]) {
      const { payload } = await jwtVerify(token, keys, { issuer: ISSUER })
      expect(payload.sub).toBe('user_ada')
    }
  })

  test('live verification takes the gateway’s token and refuses upstream’s', async () => {
    const { accessToken } = await logIn()
    const before = JSON.parse(upstream.answers.at(-1) as string).access_token as string
    expect(await verify(gateway.url, accessToken, { all: ['sso'] })).toMatchObject({
      active: true,
      allowed: true,
      org_id: 'org_acme',
    })
    expect(await verify(gateway.url, before)).toMatchObject({ active: false, allowed: false })
  })
})

describe('faults', () => {
  test('a connection that upstream resets is tried again with the same idempotency key, and the session survives', async () => {
    const session = await openSession(sdk({ maxRetries: 1 }))
    const calls = upstream.calls.length
    upstream.once((response) => response.socket?.resetAndDestroy())
    expect(await session.refresh()).toMatchObject({ authenticated: true, featureFlags: ACME_FLAGS })
    const retried = upstream.calls.slice(calls)
    expect(retried.map(({ path }) => path)).toEqual(Array(2).fill('/user_management/authenticate'))
    const [first, second] = retried.map(({ headers }) => headers['idempotency-key'])
    expect(first).toMatch(/./)
    expect(second).toBe(first)
  })

  test('an error of upstream’s own passes through, and the session survives it', async () => {
    const session = await openSession(sdk({ maxRetries: 0 }))
    upstream.once((response) => sendJson(response, 500, { message: 'Oops' }))
    expect(await session.refresh()).toMatchObject({ authenticated: false, retryable: true })
    expect(await session.refresh()).toMatchObject({ authenticated: true })
  })
})

describe('the rest of the API is proxied', () => {
  test('a read', async () => {
    expect(await workos.userManagement.getUser('user_ada')).toMatchObject({ email: 'ada@acme.example' })
    const { headers } = upstream.calls.at(-1) as (typeof upstream.calls)[number]
    expect(headers).toMatchObject({
      authorization: `Bearer ${API_KEY}`,
      'user-agent': expect.stringMatching(/^workos-node\//),
      'x-forwarded-host': new URL(gateway.url).host,
      'x-forwarded-proto': 'http',
    })
  })

  test('a write keeps its idempotency key', async () => {
    const created = await workos.organizations.createOrganization(
      { name: 'New' },
      { idempotencyKey: 'key-of-the-caller' },
    )
    expect(created).toMatchObject({ id: 'org_new', name: 'New' })
    expect(upstream.calls.at(-1)?.headers['idempotency-key']).toBe('key-of-the-caller')
  })

  test('an error keeps its status and upstream’s request id', async () => {
    const error: unknown = await workos.userManagement.getUser('user_nobody').catch((cause) => cause)
    expect(error).toBeInstanceOf(NotFoundException)
    expect(error).toMatchObject({ status: 404, requestID: `req_${upstream.calls.length}` })
  })

  test('a rate limit keeps its Retry-After', async () => {
    upstream.once((response) =>
      response
        .writeHead(429, {
          'content-type': 'application/json',
          'retry-after': '17',
          'x-request-id': 'req_429',
        })
        .end('{"message":"Too many requests."}'),
    )
    const error: unknown = await sdk({ maxRetries: 0 })
      .userManagement.getUser('user_ada')
      .catch((cause) => cause)
    expect(error).toBeInstanceOf(RateLimitExceededException)
    expect(error).toMatchObject({ retryAfter: 17, requestID: 'req_429' })
  })
})
