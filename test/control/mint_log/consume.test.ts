/** The consumer of the mint log's queue, with real D1 and a queue that delivers more than once. */
import { createExecutionContext, createMessageBatch, getQueueResult } from 'cloudflare:test'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../../../src/control/db/client.ts'
import { forgetReplays } from '../../../src/control/ledger/idempotency.ts'
import { consumeMints, type MintBatch } from '../../../src/control/mint_log/consume.ts'
import { forgetMints, MINT_LOG_DAYS } from '../../../src/control/mint_log/store.ts'
import { bindings, DAY_MS, setUp } from '../support/control.ts'
import worker from '../support/worker.ts'
import { batchOf, db, minted, store, type TestBatch } from './support.ts'

let lines: object[]
const NOW = Date.parse('2026-11-24T12:00:00.000Z')

beforeEach(async () => {
  await setUp()
  lines = []
})

const consume = (batch: MintBatch, database: Database = db(), now = NOW) =>
  consumeMints(batch, { db: database, now, log: (line) => lines.push(line) })

const rows = async () => (await bindings.DB.prepare('SELECT * FROM mints ORDER BY jti').all()).results
const losses = async () =>
  (await bindings.DB.prepare('SELECT * FROM mint_losses ORDER BY environment, reason').all()).results

/** A database that fails before the batch has happened, or after: its answer is lost. */
function failing(when: 'before' | 'after'): Database {
  const real = db()
  return new Proxy(real, {
    get(target, name) {
      if (name !== 'batch') return Reflect.get(target, name)
      return async (statements: Parameters<Database['batch']>[0]) => {
        if (when === 'after') await target.batch(statements)
        throw new Error('D1_ERROR: Network connection lost.')
      }
    },
  })
}

const dropped = (members: object = {}) => ({
  ...{ format: 1, type: 'token.dropped', env: 'production', count: 3, at: NOW - 1_000 },
  ...members,
})

test('a minted token is stored as its event says, without a token or secret', async () => {
  const event = minted({
    ...{ jti: 'j-1', upstream_jti: 'u-1', org: 'org_a', sub: 'user_1', sid: 's-1', client: 'app' },
    ...{ flags: ['reports', 'sso'], ver: '87.12.9', src: 'stale', at: NOW + 7, exp: NOW / 1000 + 300 },
  })
  await consume(batchOf([{ ...event, access_token: 'eyJhbGciOi' }]))
  expect(await rows()).toEqual([
    {
      ...{ jti: 'j-1', upstream_jti: 'u-1', environment: 'production', org: 'org_a', sub: 'user_1' },
      ...{ sid: 's-1', client: 'app', flags: '["reports","sso"]', ver: '87.12.9', src: 'stale' },
      minted_at: '2026-11-24T12:00:00.007Z',
      expires_at: '2026-11-24T12:05:00.000Z',
      request_id: 'req-1',
    },
  ])
})

test('the Worker takes a batch of the queue and acknowledges it as a whole', async () => {
  const batch = createMessageBatch<unknown>('remint-mint-log', [
    { id: 'one', timestamp: new Date(), attempts: 1, body: minted() },
    { id: 'two', timestamp: new Date(), attempts: 1, body: dropped() },
  ])
  const context = createExecutionContext()
  await worker.queue(batch, bindings as never)
  expect(await getQueueResult(batch, context)).toMatchObject({ ackAll: true, retryBatch: { retry: false } })
  expect(await rows()).toHaveLength(1)
  expect(await losses()).toMatchObject([{ count: 3 }])
})

describe('a batch', () => {
  const batch = () => batchOf([minted(), minted({ org: 'org_a' }), dropped(), 'nonsense'])
  const counted = [
    { environment: 'production', reason: 'dropped', count: 3, last_at: new Date(NOW - 1_000).toISOString() },
    { environment: 'unknown', reason: 'unreadable', count: 1, last_at: new Date(NOW).toISOString() },
  ]

  test('that is delivered twice is stored and counted once', async () => {
    const twice = batch()
    await consume(twice)
    const before = await rows()
    await consume(twice)
    expect(await rows()).toEqual(before)
    expect(before).toHaveLength(2)
    expect(await losses()).toEqual(counted)
  })

  test.each([
    ['fails', 'before', 0],
    ['is taken, but the answer gets lost', 'after', 2],
  ] as const)('that %s comes again, and is stored and counted once', async (_, when, stored) => {
    const again = batch()
    await consume(again, failing(when))
    expect(again.outcome).toBe('retried')
    expect(await rows()).toHaveLength(stored)
    const fault = 'D1_ERROR: Network connection lost.'
    expect(lines).toEqual([{ consumer: 'mint-log', event: 'store_failed', messages: 4, attempts: 1, fault }])
    await consume(again)
    expect(again.outcome).toBe('acked')
    expect(await rows()).toHaveLength(2)
    expect(await losses()).toEqual(counted)
  })

  test('that is counted adds to what was counted before', async () => {
    await consume(batchOf([dropped(), dropped({ count: 4, at: NOW })]))
    await consume(batchOf([dropped({ count: 5, at: NOW - 5_000 }), dropped({ env: 'staging' })]))
    expect(await losses()).toMatchObject([
      { environment: 'production', count: 12, last_at: new Date(NOW).toISOString() },
      { environment: 'staging', count: 3 },
    ])
  })

  test('that comes again within a day is recognized, and what is remembered for that is forgotten later', async () => {
    const twice = batch()
    await consume(twice)
    await forgetReplays(db(), NOW + DAY_MS - 1)
    await consume(twice)
    expect(await losses()).toEqual(counted)
    await forgetReplays(db(), NOW + DAY_MS + 1)
    expect((await bindings.DB.prepare('SELECT * FROM idempotency').all()).results).toEqual([])
  })

  test('waits longer each time, up to ten minutes', async () => {
    const delays: (number | undefined)[] = []
    for (const attempts of [1, 2, 3, 9, 10, 100]) {
      const one = batchOf([minted()], attempts)
      await consume(one, failing('before'))
      delays.push(one.delaySeconds)
    }
    expect(delays).toEqual([2, 4, 8, 512, 600, 600])
  })

  test('of more than one parameter of D1 can hold goes in all the same', async () => {
    const flags = Array.from(
      { length: 1_500 },
      (_, i) => `a-flag-with-quite-a-long-name-that-takes-some-room-${i}`,
    )
    const large = batchOf(Array.from({ length: 100 }, () => minted({ flags })))
    await consume(large)
    expect(large.outcome).toBe('acked')
    expect(await rows()).toHaveLength(100)
  })
})

test('none is lost and none is there twice, when every second delivery fails, before or after its commit', async () => {
  const MINTS = 50_000
  const events = Array.from({ length: MINTS }, (_, i) =>
    minted({ jti: `jti-${i}`, org: `org_${i % 7}`, flags: ['a'] }),
  )
  const queue: TestBatch[] = []
  for (let start = 0; start < MINTS; start += 100) {
    const bodies: unknown[] = events.slice(start, start + 100)
    if (start % 1_000 === 0) bodies.push(dropped({ count: 1 }))
    queue.push(batchOf(bodies))
  }
  const broken = [failing('before'), failing('after')]
  let deliveries = 0
  for (let batch = queue.shift(); batch; batch = queue.shift()) {
    const fails = deliveries++ % 2 === 0
    await consume(batch, fails ? broken[(deliveries >> 1) % 2] : db())
    if (batch.outcome === 'retried') queue.push(batch)
  }
  expect(deliveries).toBeGreaterThan(900)
  const found = await bindings.DB.prepare(
    'SELECT count(*) AS n, count(DISTINCT jti) AS jtis FROM mints',
  ).first()
  expect(found).toEqual({ n: MINTS, jtis: MINTS })
  expect(await losses()).toMatchObject([{ reason: 'dropped', count: 50 }])
}, 120_000)

describe('what cannot be read', () => {
  test.each<[string, unknown, string]>([
    ['text', 'token.minted', 'unknown'],
    ['nothing', null, 'unknown'],
    ['another format', minted({ format: 2 as never }), 'production'],
    ['another type', { ...minted(), type: 'token.shredded' }, 'production'],
    ['an environment that is none', minted({ env: 'Production!' }), 'unknown'],
    ['no jti', minted({ jti: '' }), 'production'],
    ['a jti that the gateway never mints', minted({ jti: 'ä'.repeat(300) }), 'production'],
    ['versions that are none', minted({ ver: 'latest' }), 'production'],
    ['a time that no calendar knows', minted({ at: Number.MAX_SAFE_INTEGER }), 'production'],
    ['an end that no calendar knows', minted({ exp: Number.MAX_SAFE_INTEGER }), 'production'],
    ['a loss of nothing', dropped({ count: 0 }), 'production'],
  ])('such as %s, is counted, let go, and holds up nothing', async (_, body, environment) => {
    const batch = batchOf([body, minted({ jti: 'good' })])
    await consume(batch)
    expect(batch.outcome).toBe('acked')
    expect(await rows()).toMatchObject([{ jti: 'good' }])
    expect(await losses()).toMatchObject([{ environment, reason: 'unreadable', count: 1 }])
    expect(lines).toEqual([{ consumer: 'mint-log', event: 'unreadable', messages: 1 }])
  })

  test('is distinguished from what is only new: unknown members are ignored', async () => {
    await consume(batchOf([{ ...minted({ jti: 'good' }), region: 'weur' }]))
    expect(await rows()).toMatchObject([{ jti: 'good' }])
  })
})

test.each([
  ['too long', 'x'.repeat(600), `${'x'.repeat(511)}…`],
  ['half a character', 'a\ud800b', 'a\ufffdb'],
  ['a NUL', 'a\0b', 'a\ufffdb'],
  ['everything that JSON escapes', '"\\\n{}[],\u2028 $.x', '"\\\n{}[],\u2028 $.x'],
])('an id with %s is kept within bounds', async (_, given, kept) => {
  await store(minted({ sub: given, client: given, request_id: given }))
  expect(await rows()).toMatchObject([{ sub: kept, client: kept, request_id: kept }])
})

describe('after 90 days', () => {
  test('a mint is forgotten, and not before', async () => {
    const oldest = NOW - MINT_LOG_DAYS * DAY_MS
    await store(minted({ jti: 'old', at: oldest - 1 }), minted({ jti: 'kept', at: oldest }))
    await forgetMints(db(), NOW)
    expect(await rows()).toMatchObject([{ jti: 'kept' }])
  })

  test('many are forgotten in bounded statements, and a rest by the next run', async () => {
    await bindings.DB.prepare(
      `INSERT INTO mints (jti, environment, flags, ver, src, minted_at, expires_at, request_id)
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 22500)
       SELECT 'j' || i, 'production', '[]', '1.0', 'fresh', '2026-01-01T00:00:00.000Z', '', '' FROM n`,
    ).run()
    await forgetMints(db(), NOW)
    expect(await rows()).toHaveLength(2_500)
    await forgetMints(db(), NOW)
    expect(await rows()).toEqual([])
  })

  test('the cron does it', async () => {
    await store(minted({ at: Date.now() - 91 * DAY_MS }), minted({ jti: 'kept' }))
    await worker.scheduled({} as never, bindings as never, createExecutionContext())
    expect(await rows()).toMatchObject([{ jti: 'kept' }])
  })
})
