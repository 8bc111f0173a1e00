/** One refresh, many requests for it: through the gateway, with real objects, and upstream in the test's hands. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { describe, expect, test } from 'vitest'
import type { SessionCall, SessionOutcome } from '../../../src/gateway/sessions/call.ts'
import { grant, orgDocument, REFRESH_BODY, WORKOS } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { answerOf, type SessionSetup, setUpSessions } from '../support/sessions.ts'

const log = captureLog()
const slow = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

test.each([2, 10, 50])(
  '%i simultaneous refreshes ask upstream once, and each gets tokens of its own',
  async (count) => {
    const setup = await setUpSessions()
    setup.upstream.onToken = async () => {
      await slow(50)
      return setup.upstream.tokens()
    }
    const answers = await Promise.all(
      Array.from({ length: count }, async () => answerOf(await setup.refresh())),
    )
    expect(setup.asked()).toBe(1)
    expect(new Set(answers.map(({ refresh_token }) => refresh_token))).toEqual(new Set(['rotated']))
    expect(new Set(answers.map(({ access_token }) => access_token)).size).toBe(count)
    const sessions = log.lines.map(({ session }) => session)
    expect(sessions.filter((session) => session === 'asked')).toHaveLength(1)
    expect(sessions.filter((session) => session === 'joined')).toHaveLength(count - 1)
  },
)

describe('a refresh that is sent again within the interval', () => {
  test('gets the answer again, from what is true now and with what is left of it', async () => {
    const setup = await setUpSessions({ TOKEN_MAX_SECONDS: '3600' })
    const first = await answerOf(await setup.refresh())
    setup.kv.put('org:production:org_acme', orgDocument({ grants: [grant('reports', { effect: 'deny' })] }))
    setup.now += 9_000
    const response = await setup.refresh()
    expect(response.headers.get('server-timing')).toMatch(/, session;desc=replayed$/)
    const again = await answerOf(response)
    expect(setup.asked()).toBe(1)
    expect(log.last).toMatchObject({ session: 'replayed', level: 'info' })
    expect(again.refresh_token).toBe(first.refresh_token)
    expect(again.expires_in).toBe((first.expires_in as number) - 9)
    const claims = await setup.verified(again.access_token)
    expect(claims).toMatchObject({ iat: setup.now / 1000, feature_flags: [] })
    expect((await setup.verified(first.access_token)).feature_flags).toEqual(['reports'])
  })

  test('gets what is left of an opaque token', async () => {
    const setup = await setUpSessions()
    setup.upstream.onToken = () => setup.upstream.tokens(undefined, { access_token: 'opaque' })
    expect((await answerOf(await setup.refresh())).expires_in).toBe(3600)
    setup.now += 4_500
    expect((await answerOf(await setup.refresh())).expires_in).toBe(3596)
  })

  test('gets it also from an object that has restarted, because it was stored', async () => {
    const setup = await setUpSessions()
    const first = await answerOf(await setup.refresh())
    await evictDurableObject(setup.object())
    const again = await answerOf(await setup.refresh())
    expect(setup.asked()).toBe(1)
    expect(again.refresh_token).toBe(first.refresh_token)
    expect(log.last).toMatchObject({ session: 'replayed' })
  })

  test('gets it when the client left before the first answer came', async () => {
    const setup = await setUpSessions()
    setup.upstream.onToken = async () => {
      await slow(50)
      return setup.upstream.tokens()
    }
    await setup.requestAndLeave('/token', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `${REFRESH_BODY}${crypto.randomUUID()}`,
    })
    expect(log.last).toMatchObject({ session: 'asked', access_token: 'minted' })
  })

  test('asks upstream again when the interval is over', async () => {
    const setup = await setUpSessions()
    await setup.refresh()
    setup.now += 10_000
    await setup.refresh()
    expect(setup.asked()).toBe(2)
  })

  test.each<[string, (now: number, setup: SessionSetup) => Promise<Response>]>([
    ['by what stands beside it', (_, { upstream }) => upstream.tokens(undefined, { expires_in: 30 })],
    [
      'by what stands in it',
      (now, { upstream }) => upstream.tokens(upstream.claims({ exp: now / 1000 + 30 })),
    ],
  ])('an access token that has expired is not given again: %s', async (_, tokens) => {
    const setup = await setUpSessions({ REFRESH_REUSE_SECONDS: '60' })
    setup.upstream.onToken = () => tokens(setup.now, setup)
    await answerOf(await setup.refresh())
    setup.now += 29_000
    await answerOf(await setup.refresh())
    expect(setup.asked()).toBe(1)
    setup.now += 2_000
    await answerOf(await setup.refresh())
    expect(setup.asked()).toBe(2)
  })

  test.each([
    ['oidc', {}, 10],
    ['workos', WORKOS, 30],
    ['as configured', { REFRESH_REUSE_SECONDS: '45' }, 45],
  ])('the interval: %s', async (_, vars, seconds) => {
    const setup = await setUpSessions(vars)
    const path = 'UPSTREAM_PROFILE' in vars ? '/user_management/authenticate' : '/token'
    const body = `${REFRESH_BODY}${crypto.randomUUID()}`
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    await setup.request(path, { method: 'POST', headers, body })
    const alarm = await runInDurableObject(setup.object(), (_, state) => state.storage.getAlarm())
    expect(alarm).toBe(setup.now + seconds * 1000)
  })
})

describe('what is stored', () => {
  const contents = (object: DurableObjectStub) =>
    runInDurableObject(object, async (_, state) => {
      const entries = await state.storage.list()
      const bytes = [...entries.values()].flatMap((value) => [...(value as { sealed: Uint8Array }).sealed])
      return {
        keys: [...entries.keys()],
        text: String.fromCharCode(...bytes),
        alarm: await state.storage.getAlarm(),
      }
    })

  test('is sealed: no token, and nothing else of the answer, can be read', async () => {
    const setup = await setUpSessions()
    const { access_token } = await setup.upstream.tokens().then((response) => answerOf(response))
    await setup.refresh()
    const { keys, text } = await contents(setup.object())
    expect(keys).toEqual(['answer'])
    for (const readable of [
      'rotated',
      'access_token',
      'eyJ',
      access_token.slice(0, 20),
      'application/json',
    ]) {
      expect(text).not.toContain(readable)
    }
  })

  test('is gone after the interval, memory included', async () => {
    const setup = await setUpSessions()
    await setup.refresh()
    setup.now += 10_000
    expect(await runDurableObjectAlarm(setup.object())).toBe(true)
    expect(await contents(setup.object())).toEqual({ keys: [], text: '', alarm: null })
    await setup.refresh()
    expect(setup.asked()).toBe(2)
  })

  test('is nothing where reuse is off, and simultaneous refreshes still share one answer', async () => {
    const setup = await setUpSessions({ REFRESH_REUSE_SECONDS: '0' })
    const answers = await Promise.all([setup.refresh(), setup.refresh(), setup.refresh()])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(setup.asked()).toBe(1)
    expect(await contents(setup.object())).toEqual({ keys: [], text: '', alarm: null })
    await setup.refresh()
    expect(setup.asked()).toBe(2)
  })
})

describe('what upstream answers when it refuses', () => {
  const error =
    (status: number, error: string, headers = {}) =>
    () =>
      Response.json({ error }, { status, headers })

  test.each([400, 403])(
    'invalid_grant (%i) is remembered for the interval: a client in a loop does not reach upstream',
    async (status) => {
      const setup = await setUpSessions()
      setup.upstream.onToken = error(status, 'invalid_grant')
      for (let attempt = 0; attempt < 5; attempt++) {
        const response = await setup.refresh()
        expect([response.status, await response.json()]).toEqual([status, { error: 'invalid_grant' }])
      }
      await evictDurableObject(setup.object())
      await setup.refresh()
      expect(setup.asked()).toBe(1)
      setup.now += 10_000
      await setup.refresh()
      expect(setup.asked()).toBe(2)
    },
  )

  test.each([
    ['too many requests', 429, 'slow_down'],
    ['a fault', 503, 'temporarily_unavailable'],
    ['a nonce to be used', 400, 'use_dpop_nonce'],
    ['a client that is not authenticated', 401, 'invalid_client'],
    ['a parameter that is wrong', 400, 'invalid_scope'],
    ['an error that calls itself 200', 200, 'slow_down'],
    ['a fault that says invalid_grant', 500, 'invalid_grant'],
  ])('%s is passed on and never remembered', async (_, status, code) => {
    const setup = await setUpSessions()
    setup.upstream.onToken = error(status, code, { 'retry-after': '7', 'dpop-nonce': 'n1' })
    const refused = await setup.refresh()
    expect([refused.status, await refused.json()]).toEqual([status, { error: code }])
    expect(refused.headers.get('retry-after')).toBe('7')
    expect(refused.headers.get('dpop-nonce')).toBe('n1')
    setup.upstream.onToken = () => setup.upstream.tokens()
    expect((await setup.refresh()).status).toBe(200)
    expect(setup.asked()).toBe(2)
  })

  test.each<[string, () => Response]>([
    ['a page', () => new Response('<html>maintenance</html>', { headers: { 'content-type': 'text/html' } })],
    ['JSON without tokens', () => Response.json({ errors: ['busy'] })],
    ['JSON that is no object', () => Response.json([{ access_token: 'a' }])],
    ['null', () => Response.json(null)],
    ['nothing', () => new Response(null, { status: 204 })],
    ['a token that is no string', () => Response.json({ access_token: 1 })],
  ])('a 200 that is no yes is never remembered: %s', async (_, answer) => {
    const setup = await setUpSessions()
    setup.upstream.onToken = answer
    await setup.refresh()
    setup.upstream.onToken = () => setup.upstream.tokens()
    expect((await answerOf(await setup.refresh())).refresh_token).toBe('rotated')
    expect(setup.asked()).toBe(2)
  })

  test('a yes with an empty error is a yes', async () => {
    const setup = await setUpSessions()
    setup.upstream.onToken = () => setup.upstream.tokens(undefined, { error: null })
    await answerOf(await setup.refresh())
    await answerOf(await setup.refresh())
    expect(setup.asked()).toBe(1)
  })

  test('an answer that is not text passes through byte for byte', async () => {
    const setup = await setUpSessions()
    const bytes = Uint8Array.from({ length: 256 }, (_, value) => value)
    setup.upstream.onToken = () =>
      new Response(bytes, { status: 502, headers: { 'content-type': 'image/png' } })
    const response = await setup.refresh()
    expect(response.status).toBe(502)
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes)
  })
})

describe('an upstream that takes too long', () => {
  const brokenOff = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode('{"access_')),
        pull: (controller) => controller.error(new TypeError('connection reset')),
      }),
    )

  test.each<[string, () => Response | Promise<Response>]>([
    ['no answer comes', () => new Promise<never>(() => {})],
    ['the connection is lost', () => Promise.reject(new TypeError('connection reset'))],
    ['its answer breaks off', brokenOff],
  ])('is asked again where it replays (workos): %s', async (_, fault) => {
    const setup = await setUpSessions({ ...WORKOS, UPSTREAM_TIMEOUT_MS: '100' })
    setup.upstream.onToken = () => (setup.asked() === 1 ? fault() : setup.upstream.tokens())
    const response = await setup.request('/user_management/authenticate', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        grant_type: 'refresh_token',
        refresh_token: crypto.randomUUID(),
        client_id: 'client_1',
      }),
    })
    expect(response.status).toBe(200)
    expect(setup.asked()).toBe(2)
  })

  test('is not asked again elsewhere; its late answer waits for the client to come back', async () => {
    const setup = await setUpSessions({ UPSTREAM_TIMEOUT_MS: '100' })
    setup.upstream.onToken = async () => {
      await slow(400)
      return setup.upstream.tokens()
    }
    const late = await setup.refresh()
    expect([late.status, late.headers.get('retry-after')]).toEqual([503, '2'])
    expect(log.last).toMatchObject({ reason: 'upstream_timeout' })
    await slow(400)
    expect((await answerOf(await setup.refresh())).refresh_token).toBe('rotated')
    expect(setup.asked()).toBe(1)
  })
})

describe('an object that cannot be reached', () => {
  test('costs nothing but the sharing, and the log and Server-Timing say so', async () => {
    const exchange = () => Promise.reject(new Error('the object is overloaded'))
    const setup = await setUpSessions({}, { getByName: () => ({ exchange }) })
    const response = await setup.refresh()
    expect(response.status).toBe(200)
    expect(response.headers.get('server-timing')).toContain('session;desc=unreachable')
    expect(log.last).toMatchObject({
      level: 'warn',
      session: 'unreachable',
      warnings: ['session_unreachable'],
    })
    expect(setup.asked()).toBe(1)
  })

  test('is in Server-Timing of a refusal too', async () => {
    const exchange = () => Promise.reject(new Error('the object is overloaded'))
    const setup = await setUpSessions({}, { getByName: () => ({ exchange }) })
    setup.upstream.onToken = () =>
      Response.json({ error: 'invalid_grant' }, { status: 400, headers: { 'server-timing': 'theirs' } })
    const response = await setup.refresh()
    expect(response.status).toBe(400)
    expect(response.headers.get('server-timing')).toMatch(
      /^theirs, upstream;dur=\d+, session;desc=unreachable$/,
    )
  })

  test('is called once more, because the answer is where it broke off', async () => {
    const real = await setUpSessions()
    await real.refresh()
    let calls = 0
    const breaking = await setUpSessions(
      {},
      {
        getByName: () => ({
          async exchange(call) {
            calls += 1
            if (calls === 1) throw new Error('the object was moved')
            return real.object().exchange(call)
          },
        }),
      },
    )
    expect((await breaking.refresh()).status).toBe(200)
    expect(calls).toBe(2)
    expect(log.last).not.toHaveProperty('warnings')
  })

  test('and hangs sends the client away to come back, because upstream may have answered', async () => {
    const exchange = () => new Promise<never>(() => {})
    const setup = await setUpSessions({ UPSTREAM_TIMEOUT_MS: '100' }, { getByName: () => ({ exchange }) })
    const response = await setup.refresh()
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
    expect(log.last).toMatchObject({ reason: 'session_timeout' })
    expect(setup.asked()).toBe(0)
  })
})

test('an answer that could not be stored reaches the client, and the log says so', async () => {
  const real = await setUpSessions()
  const exchange = async (call: SessionCall): Promise<SessionOutcome> => {
    const outcome = await real.object().exchange(call)
    return outcome.ok ? { ok: true, value: { ...outcome.value, unstored: true } } : outcome
  }
  await real.refresh()
  const setup = await setUpSessions({}, { getByName: () => ({ exchange }) })
  expect((await setup.refresh()).status).toBe(200)
  expect(log.last).toMatchObject({ level: 'warn', warnings: ['answer_not_stored'] })
})

test('only refreshes are shared: any other grant goes to upstream each time', async () => {
  const setup = await setUpSessions()
  const body = 'grant_type=authorization_code&code=c1&client_id=app'
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  await setup.request('/token', { method: 'POST', headers, body })
  await setup.request('/token', { method: 'POST', headers, body })
  expect([setup.asked(), setup.names]).toEqual([2, []])
  expect(log.last).not.toHaveProperty('session')
})

// `deflate` is left to the client: the runtime unpacks gzip and brotli only.
test.each([
  ['deflate', 'deflate'],
  ['zstd', 'zstd'],
  ['gzip', null],
])('a refusal in the encoding %s keeps what says so: %s', async (encoding, kept) => {
  const setup = await setUpSessions()
  const bytes = new Uint8Array([1, 2, 3])
  setup.upstream.onToken = () =>
    new Response(bytes, { status: 400, headers: { 'content-encoding': encoding } })
  const response = await setup.refresh()
  expect([response.status, response.headers.get('content-encoding')]).toEqual([400, kept])
})

describe('replays of one answer are bounded', () => {
  test('to 20; then the client learns when it may try again, and nothing is minted', async () => {
    const setup = await setUpSessions({ REFRESH_REUSE_SECONDS: '30' })
    const statuses = []
    for (let i = 0; i < 21; i++) statuses.push((await setup.refresh()).status)
    expect(statuses).toEqual(new Array(21).fill(200))
    setup.now += 12_500
    const reads = setup.kv.reads.length
    const response = await setup.refresh()
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '18'])
    expect(await response.json()).toMatchObject({
      error: 'temporarily_unavailable',
      request_id: expect.any(String),
    })
    expect(log.last).toMatchObject({ level: 'info', status: 429, reason: 'replays_exhausted' })
    expect(log.last).not.toHaveProperty('jti')
    expect([setup.asked(), setup.kv.reads.length]).toEqual([1, reads])
  })

  test('and a page may read that', async () => {
    const setup = await setUpSessions()
    const headers = { origin: 'https://app.test' }
    for (let i = 0; i < 21; i++) await setup.refreshWith({}, headers)
    const response = await setup.refreshWith({}, headers)
    expect(response.status).toBe(429)
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.test')
    expect(response.headers.get('access-control-expose-headers')).toContain('retry-after')
  })

  test('not those who ask at the same time: they wait for one answer', async () => {
    const setup = await setUpSessions()
    let answer = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    setup.upstream.onToken = async () => {
      await held
      return setup.upstream.tokens()
    }
    const responses = Array.from({ length: 50 }, () => setup.refresh())
    await new Promise((resolve) => setTimeout(resolve, 500))
    answer()
    const statuses = (await Promise.all(responses)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(30)
    expect(setup.asked()).toBe(1)
  })

  test('after the interval upstream is asked again', async () => {
    const setup = await setUpSessions()
    for (let i = 0; i < 22; i++) await setup.refresh()
    setup.now += 10_000
    expect((await setup.refresh()).status).toBe(200)
    expect(setup.asked()).toBe(2)
  })
})
