/** The mint log seen from a refresh: the events, and that it never waits. */
import { base64url, decodeJwt } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { mintEventSchema } from '../../../src/core/mint_event.ts'
import { eventually } from '../../support/eventually.ts'
import { catalog, FORM, orgDocument, REFRESH_BODY, type Setup, setUp, WORKOS } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { BROKEN, TestQueue } from '../support/queue.ts'
import { type SessionSetup, setUpSessions } from '../support/sessions.ts'

const log = captureLog()
let setup: Setup
let queue: TestQueue
beforeEach(async () => {
  queue = new TestQueue()
  setup = await setUp()
  setup.bindings.MINT_LOG = queue
})

/** Longer than a batch is collected. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 80))
const arrived = (count: number) =>
  eventually(() => queue.events.length === count || undefined, `${count} events`)

test('every minted token is one event, with what is in it', async () => {
  setup.kv.put('org:production:org_acme', orgDocument())
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ client_id: 'app' }))
  const { access_token: token } = await setup.refreshed()
  const claims = await setup.verified(token)
  await arrived(1)
  expect(queue.events).toEqual([
    {
      type: 'token.minted',
      format: 1,
      env: 'production',
      jti: claims.jti,
      upstream_jti: 'upstream-jti',
      org: 'org_acme',
      sub: 'user_1',
      sid: 'session_1',
      client: 'app',
      flags: claims.feature_flags,
      ver: '87.12',
      src: 'fresh',
      at: setup.now,
      exp: claims.exp,
      request_id: log.lines[0]?.request_id,
    },
  ])
  expect(mintEventSchema.parse(queue.events[0])).toEqual(queue.events[0])
  expect(log.lines[0]?.warnings).toBeUndefined()
})

test('the flags are those of the instant that the event names', async () => {
  const { access_token: token } = await setup.refreshed()
  const { iat } = decodeJwt(token)
  await arrived(1)
  const [event] = queue.events
  expect(event?.at).toBe(setup.now)
  expect(iat).toBe(Math.floor(setup.now / 1000))
})

test('by WorkOS too, where the client is not named', async () => {
  setup = await setUp(WORKOS)
  setup.bindings.MINT_LOG = queue
  const response = await setup.request('/user_management/authenticate', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"grant_type":"refresh_token","client_id":"client_1","refresh_token":"r"}',
  })
  expect(response.status).toBe(200)
  await arrived(1)
  expect(queue.events).toMatchObject([{ type: 'token.minted', client: null, org: 'org_acme' }])
})

describe('a replayed refresh', () => {
  /** Three tokens of one answer; `between` happens before the second. */
  async function replayed(between: (sessions: SessionSetup) => void = () => {}) {
    const sessions = await setUpSessions()
    sessions.bindings.MINT_LOG = queue
    const tokens = [await sessions.refreshed()]
    between(sessions)
    tokens.push(await sessions.refreshed(), await sessions.refreshed())
    expect(sessions.asked()).toBe(1)
    await arrived(3)
    const ids = tokens.map(({ access_token: token }) => decodeJwt(token).jti)
    expect(queue.events.map((event) => event.type === 'token.minted' && event.jti)).toEqual(ids)
    return ids
  }

  // The consumer takes an id once, so that replays add no rows.
  test('leads to the row of the first token while the documents are the same', async () => {
    expect(new Set(await replayed()).size).toBe(1)
  })

  test('has a row of its own once they have changed, and the next replay leads to that', async () => {
    const [first, second, third] = await replayed((sessions) => {
      sessions.kv.put('catalog:production', catalog({}, {}, 88))
      sessions.now += 6_000
    })
    expect(second).not.toBe(first)
    expect(third).toBe(second)
  })

  test('and while they could only not be read', async () => {
    const [first, second] = await replayed((sessions) => {
      sessions.kv.fault = () => Promise.reject(new Error('down'))
      sessions.now += 6_000
    })
    expect(second, 'the row says stale').not.toBe(first)
  })
})

describe('what is not minted is not told:', () => {
  test.each<[string, () => void]>([
    ['upstream refuses', () => respond(new Response('{"error":"invalid_grant"}', { status: 400 }))],
    ['an opaque token', () => respond(setup.upstream.answer('opaque'))],
    ['a token that does not verify', () => tokensOf({ aud: 'https://other.test' })],
  ])('%s', async (_, bend) => {
    bend()
    await setup.refresh()
    await settled()
    expect(queue.tried).toEqual([])
  })
})

test('without the binding nothing happens', async () => {
  setup.bindings.MINT_LOG = undefined as never
  expect((await setup.refresh()).status).toBe(200)
  expect(log.last.warnings).toBeUndefined()
})

test('a binding that is no queue is a problem of the configuration', async () => {
  setup.bindings.MINT_LOG = {} as never
  const response = await setup.request('/healthz')
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ problems: ['MINT_LOG: must be a Queue binding'] })
})

describe('a refresh neither waits for a queue nor fails with one that', () => {
  test.each(Object.entries(BROKEN))('%s', async (_, fault) => {
    const healthy = await setup.refresh()
    await arrived(1)
    queue.fault = fault
    // With a queue that never answers, waiting for it would never end.
    const response = await setup.refresh()
    expect(response.status).toBe(200)
    expect([...response.headers.keys()]).toEqual([...healthy.headers.keys()])
    const answer = (await response.json()) as Record<string, string>
    expect(Object.keys(answer)).toEqual(Object.keys((await healthy.json()) as object))
    expect(answer.refresh_token).toBe('rotated')
    expect((await setup.verified(answer.access_token as string)).feature_flags).toEqual(['reports'])
    await settled()
    expect(queue.tried).toHaveLength(2)
    expect(log.lines[1]?.warnings).toBeUndefined()
    await setup.refresh()
    const known = fault === BROKEN['never answers'] ? undefined : ['mint_log_untold']
    expect(log.last.warnings).toEqual(known)
  })

  test('is full of batches that hang; what comes then is dropped, and says so', async () => {
    queue.fault = BROKEN['never answers']
    const mintMany = async (count: number) => {
      for (let i = 0; i < count; i += 50) await Promise.all(Array.from({ length: 50 }, () => setup.refresh()))
    }
    await mintMany(500)
    expect(log.last.warnings).toBeUndefined()
    expect((await setup.refresh()).status).toBe(200)
    expect(log.last).toMatchObject({ level: 'warn', warnings: ['mint_log_dropped'] })
    expect(queue.triedEvents).toHaveLength(500)
  })
})

test('the event arrives though the client has left', async () => {
  queue.fault = async (events) => {
    await new Promise((resolve) => setTimeout(resolve, 50))
    await queue.take(events)
  }
  await setup.requestAndLeave('/token', { method: 'POST', headers: FORM, body: REFRESH_BODY })
  expect(queue.events, 'the request lived as long').toHaveLength(1)
})

test('refreshes at the same time are reported in one batch', async () => {
  await Promise.all(Array.from({ length: 20 }, () => setup.refresh()))
  await arrived(20)
  expect(queue.batches.length).toBeLessThan(10)
})

test('drops are reported with the next event that arrives', async () => {
  queue.fault = BROKEN.refuses
  for (let i = 0; i < 3; i++) await setup.refresh()
  await settled()
  queue.fault = undefined
  await setup.refresh()
  await settled()
  expect(log.last.warnings).toEqual(['mint_log_untold'])
  expect(queue.events.map(({ type }) => type)).toEqual(['token.minted', 'token.dropped'])
  expect(queue.events[1]).toMatchObject({ count: 3, env: 'production', at: setup.now })
})

test('no token and no secret is in what the queue is sent, whole or as a part', async () => {
  setup.upstream.onToken = async () =>
    setup.upstream.tokens(
      setup.upstream.claims({
        email: 'CANARY-claim',
        act: { sub: 'CANARY-claim' },
        cnf: { jkt: 'CANARY-key' },
      }),
      {
        refresh_token: 'CANARY-rotated',
        id_token: await setup.upstream.idToken({ email: 'CANARY-claim' }),
      },
    )
  const response = await setup.request('/token?hint=CANARY-query', {
    method: 'POST',
    headers: {
      ...FORM,
      authorization: 'Basic CANARY-authorization',
      cookie: 'CANARY-cookie',
      dpop: 'CANARY-dpop',
      'x-request-id': '"CANARY',
    },
    body: 'grant_type=refresh_token&refresh_token=CANARY-refresh-token&client_secret=CANARY-client-secret',
  })
  expect(response.status).toBe(200)
  const answer = (await response.json()) as { access_token: string; id_token: string }
  await settled()
  const text = JSON.stringify(queue.tried)
  expect(queue.tried).toHaveLength(1)
  expect(text).not.toMatch(/CANARY/i)
  for (const part of ['CANARY', 'NAR', 'ANARY-']) expect(text).not.toContain(base64url.encode(part))
  for (const part of [...answer.access_token.split('.'), ...answer.id_token.split('.')])
    expect(text).not.toContain(part)
  expect(text).not.toContain(setup.signingKey.d)
})

function respond(response: Response) {
  setup.upstream.onToken = () => response
}

function tokensOf(members: Record<string, unknown>) {
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims(members))
}
