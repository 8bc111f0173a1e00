/**
 * Canaries in everything that is secret or personal, through every route and fault: none of them may come out in a log
 * or in an error of the gateway.
 */
import { base64url } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { type LogLine, writeLog } from '../../src/gateway/log.ts'
import { FORM, type Setup, setUp } from './support/gateway.ts'
import { captureLog } from './support/log.ts'
import { makeSigner } from './support/upstream.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp({ UPSTREAM_TIMEOUT_MS: '100' })
})

const CANARIES = {
  refreshToken: 'CANARY-refresh-token',
  clientSecret: 'CANARY-client-secret',
  authorization: 'CANARY-authorization',
  claim: 'CANARY-claim',
  query: 'CANARY-query',
  path: 'CANARY-path',
  cookie: 'CANARY-cookie',
  dpop: 'CANARY-dpop',
  rotated: 'CANARY-rotated',
}
/** Also as it looks inside a token that is quoted: the part of `CANARY-` that base64url encodes whole, by its place. */
const encoded = ['CANARY', 'NAR', 'ANARY-'].map((part) => base64url.encode(part))

const claims = (members: Record<string, unknown> = {}) =>
  setup.upstream.claims({ email: CANARIES.claim, act: { sub: CANARIES.claim }, ...members })

const refresh = (init: RequestInit = {}) =>
  setup.request(`/token?hint=${CANARIES.query}`, {
    method: 'POST',
    headers: {
      ...FORM,
      authorization: `Basic ${CANARIES.authorization}`,
      cookie: CANARIES.cookie,
      dpop: CANARIES.dpop,
    },
    body: `grant_type=refresh_token&refresh_token=${CANARIES.refreshToken}&client_secret=${CANARIES.clientSecret}`,
    ...init,
  })

function expectNoCanary(text: string) {
  expect(text).not.toMatch(/CANARY/i)
  for (const part of encoded) expect(text).not.toContain(part)
}

test.each(['', 'x', 'xx'])('the canaries are found in a token, wherever they stand: after %j', (before) => {
  const payload = base64url.encode(`${before}CANARY-claim`)
  expect(encoded.some((part) => payload.includes(part))).toBe(true)
})

test('a refresh that succeeds logs its names, not its contents', async () => {
  setup.upstream.onToken = async () =>
    setup.upstream.tokens(claims(), {
      refresh_token: CANARIES.rotated,
      id_token: await setup.upstream.idToken({ email: CANARIES.claim }),
    })
  expect((await refresh()).status).toBe(200)
  expect(log.lines).toHaveLength(1)
  expectNoCanary(log.text)
  expect(Object.keys(log.last).sort()).toEqual(
    [
      ...[
        'access_token',
        'duration_ms',
        'flags',
        'jti',
        'kid',
        'level',
        'lookup_ms',
        'method',
        'mint_ms',
        'request_id',
      ],
      ...['route', 'src', 'status', 'upstream_ms', 'upstream_status', 'ver'],
    ].sort(),
  )
})

describe('a refresh that fails neither logs nor answers any of it', () => {
  test.each<[string, () => void | Promise<void>, RequestInit]>([
    ['upstream refuses', () => respond(new Response('{"error":"invalid_grant"}', { status: 400 })), {}],
    ['upstream throws what it was given', () => failWith(new Error(CANARIES.refreshToken)), {}],
    ['upstream is slow', () => stall(), {}],
    ['the token is of another issuer', () => answer({ iss: CANARIES.claim }), {}],
    ['the token is of another audience', () => answer({ aud: CANARIES.claim }), {}],
    ['the token is expired', () => answer({ exp: 1 }), {}],
    ['the token’s payload is odd', () => answer({ exp: CANARIES.claim }), {}],
    ['the token’s key is unknown', () => answerSigned({ kid: CANARIES.claim }), {}],
    ['the token’s type is odd', () => answerSigned({ typ: CANARIES.claim }), {}],
    ['the token’s signature is wrong', () => answerForged(), {}],
    [
      'a parameter is repeated',
      () => {},
      { body: `grant_type=x&a=${CANARIES.refreshToken}&a=${CANARIES.refreshToken}` },
    ],
    ['the grant is missing', () => {}, { body: `refresh_token=${CANARIES.refreshToken}` }],
    [
      'the type is wrong',
      () => {},
      { headers: { 'content-type': CANARIES.query }, body: CANARIES.refreshToken },
    ],
    [
      'the request’s name is a secret',
      () => {},
      { method: 'PUT', headers: { 'x-request-id': `"${CANARIES.authorization}` } },
    ],
  ])('%s', async (_, bend, init) => {
    await bend()
    const response = await refresh(init)
    expect(response.status).toBeGreaterThanOrEqual(400)
    expectNoCanary(`${log.text} ${await response.text()} ${JSON.stringify([...response.headers])}`)
    expect(log.lines).toHaveLength(1)
  })

  test('KV fails with what it was asked', async () => {
    setup.upstream.onToken = () => setup.upstream.tokens(claims())
    setup.kv.fault = () => Promise.reject(new Error(CANARIES.claim))
    expect((await refresh()).status).toBe(200)
    expectNoCanary(log.text)
  })
})

test('paths and queries of what is proxied are secrets too: magic links, password resets', async () => {
  const path = `/reset/${CANARIES.path}?token=${CANARIES.query}`
  await setup.request(path, { headers: { cookie: CANARIES.cookie } })
  setup.upstream.onOther = () => Promise.reject(new Error(CANARIES.path))
  const response = await setup.request(path)
  expectNoCanary(log.text + (await response.text()))
})

test('a question about a token', async () => {
  setup.upstream.onToken = () => setup.upstream.tokens(claims({ cnf: { jkt: 'x' } }))
  const { access_token: token } = (await (await refresh()).json()) as { access_token: string }
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ token })
  const response = await setup.request('/verify', { method: 'POST', headers, body })
  expect(await response.json()).toMatchObject({ reason: 'token_bound' })
  expectNoCanary(log.text)
  expect(log.text).not.toContain(token)
})

describe('the level of a line', () => {
  const line = { request_id: 'r', method: 'POST', route: 'token' } as const
  test.each([
    [{ status: 200 }, 'info'],
    [{ status: 400, reason: 'parameter_missing' }, 'info'],
    [{ status: 200, src: 'stale' }, 'warn'],
    [{ status: 200, src: 'degraded' }, 'warn'],
    [{ status: 200, warnings: ['x'] }, 'warn'],
    [{ status: 503 }, 'error'],
  ] as const)('%j is %s', (members, level) => {
    writeLog({ ...line, ...members } as LogLine)
    expect(log.last.level).toBe(level)
  })
})

function respond(response: Response) {
  setup.upstream.onToken = () => response
}

function stall() {
  setup.upstream.onToken = () => new Promise(() => {})
}

function failWith(error: Error) {
  setup.upstream.onToken = () => Promise.reject(error)
}

function answer(members: Record<string, unknown>) {
  setup.upstream.onToken = () => setup.upstream.tokens(claims(members), { refresh_token: CANARIES.rotated })
}

function answerSigned(header: Record<string, unknown>) {
  setup.upstream.onToken = async () => setup.upstream.answer(await setup.upstream.sign(claims(), header))
}

async function answerForged() {
  const other = await makeSigner()
  const { kid } = setup.upstream.signer.jwk
  setup.upstream.onToken = async () =>
    setup.upstream.answer(await setup.upstream.sign(claims(), { kid }, other))
}
