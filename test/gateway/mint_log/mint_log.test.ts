/** The producer on its own: what arrives with what, what is dropped, and that it is counted once. */
import { beforeEach, describe, expect, test } from 'vitest'
import { droppedSchema, type MintedEvent, mintEventSchema } from '../../../src/core/mint_event.ts'
import { MintLog, type MintLogLimits } from '../../../src/gateway/mint_log/mint_log.ts'
import { BROKEN, type Send, TestQueue } from '../support/queue.ts'

const EVENT: MintedEvent = {
  type: 'token.minted',
  format: 1,
  env: 'production',
  jti: 'j1',
  upstream_jti: 'u1',
  org: 'org_acme',
  sub: 'user_1',
  sid: 'session_1',
  client: 'app',
  flags: ['reports', 'sso'],
  ver: '87.12',
  src: 'fresh',
  at: 1_780_000_000_000,
  exp: 1_780_000_300,
  request_id: 'r1',
}

/** The batches of a test that hang are given up when its clock has come so far. */
const TIMEOUT_MS = 10_000
const ORPHANED_MS = 1_000
/** Real time: short, so that tests are fast. */
const COLLECT_MS = 5

let queue: TestQueue
let now: number
let log: MintLog
/** How many requests had something left to do after their answer. */
let deferred: number

const open = (limits: Partial<MintLogLimits> = {}) =>
  new MintLog(queue, 'production', () => now, {
    collectMs: COLLECT_MS,
    timeoutMs: TIMEOUT_MS,
    maxInFlight: 10,
    ...limits,
  })
const record = (event = EVENT) => log.record(event, () => deferred++)
const recordMany = (count: number) => Array.from({ length: count }, () => record())
/** Everything that can happen has happened; what hangs stays so. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 4 * COLLECT_MS))
const dropped = () => queue.events.filter((event) => event.type === 'token.dropped')
const counted = () => dropped().reduce((sum, event) => sum + event.count, 0)
const types = () => queue.batches.map((batch) => batch.map(({ type }) => type.replace('token.', '')).join())
const ids = () => queue.batches.map((batch) => batch.map((event) => 'jti' in event && event.jti).join())

beforeEach(() => {
  queue = new TestQueue()
  now = EVENT.at
  deferred = 0
  log = open()
})

test('a healthy queue gets exactly the event, once, as JSON', async () => {
  expect(record()).toBeUndefined()
  await settled()
  expect(queue.events).toEqual([EVENT])
  expect(queue.tried[0]).toEqual([{ body: EVENT, contentType: 'json' }])
  expect(mintEventSchema.parse(queue.events[0])).toEqual(EVENT)
})

describe('what is minted within a short time', () => {
  test('goes in one batch, for which one request waits', async () => {
    for (const jti of ['a', 'b', 'c']) record({ ...EVENT, jti })
    expect(queue.tried, 'nothing is sent while others may come').toEqual([])
    await settled()
    expect(ids()).toEqual(['a,b,c'])
    expect(deferred).toBe(1)

    record({ ...EVENT, jti: 'd' })
    await settled()
    expect(ids(), 'and what comes later in the next').toEqual(['a,b,c', 'd'])
  })

  test('is sent at once by the request that fills a batch', async () => {
    log = open({ maxInFlight: 1_000, collectMs: 1_000_000 })
    recordMany(99)
    expect(queue.tried).toEqual([])
    record()
    expect(queue.tried.map(({ length }) => length)).toEqual([100])
    recordMany(100)
    expect(queue.tried.map(({ length }) => length)).toEqual([100, 100])
    expect(deferred, 'each opener waits, and each that filled a batch sends').toBe(4)
  })

  test.each<[string, Partial<MintedEvent>, number]>([
    ['many flags', { flags: Array.from({ length: 700 }, (_, i) => String(i).padStart(63, 'f')) }, 5],
    ['ids that JSON makes six times as long', { sub: '\0'.repeat(440), org: '\ud800'.repeat(440) }, 30],
  ])('is within what a queue takes, also with %s', async (_, members, fewest) => {
    log = open({ maxInFlight: 1_000 })
    for (let i = 0; i < 100; i++) expect(record({ ...EVENT, ...members })).toBeUndefined()
    await settled()
    expect(queue.events).toHaveLength(100)
    for (const batch of queue.batches) {
      expect(new TextEncoder().encode(JSON.stringify(batch)).byteLength).toBeLessThan(250_000)
      expect(batch.length).toBeLessThanOrEqual(100)
    }
    expect(queue.batches[0]?.length).toBeGreaterThanOrEqual(fewest)
  })
})

describe('a batch whose opener was ended by the platform', () => {
  /** Its time to wait does not end. */
  const orphan = (count: number) => {
    log = open({ collectMs: 1_000_000 })
    for (let i = 0; i < count; i++) record({ ...EVENT, jti: `orphan-${i}` })
  }

  test('is sent by the next request, with its own event', async () => {
    orphan(2)
    now += ORPHANED_MS
    expect(record({ ...EVENT, jti: 'next' })).toBeUndefined()
    await settled()
    expect(ids()).toEqual(['orphan-0,orphan-1,next'])
    expect(deferred).toBe(2)
  })

  test('is not taken over before it must have been ended', async () => {
    orphan(2)
    now += ORPHANED_MS - 1
    record()
    await settled()
    expect(queue.tried).toEqual([])
  })

  test('is sent once, if the opener was only slow', async () => {
    record()
    now += ORPHANED_MS
    record()
    await settled()
    expect(types()).toEqual(['minted,minted'])
  })
})

describe('a queue that', () => {
  test.each(Object.entries(BROKEN))(
    '%s has its drops counted, and hears of them when it is well again',
    async (_, fault) => {
      queue.fault = fault
      expect(recordMany(2)).toEqual([undefined, undefined])
      await settled()
      expect(queue.events).toEqual([])

      queue.fault = undefined
      now += TIMEOUT_MS
      expect(record(), 'somebody should look').toBe('mint_log_untold')
      await settled()
      const told = { type: 'token.dropped', format: 1, env: 'production', count: 2, at: now }
      expect(queue.events).toEqual([EVENT, told])
      expect(droppedSchema.parse(queue.events[1])).toEqual(told)

      expect(record(), 'and reported once only').toBeUndefined()
      await settled()
      expect(dropped()).toHaveLength(1)
    },
  )

  test.each(Object.entries(BROKEN))(
    '%s when it receives the number of drops gets it later',
    async (_, fault) => {
      queue.fault = BROKEN.refuses
      record()
      await settled()
      queue.fault = (events) => (events[0]?.type === 'token.dropped' ? fault(events) : queue.take(events))
      record()
      await settled()
      expect(dropped()).toEqual([])
      queue.fault = undefined
      now += TIMEOUT_MS
      record()
      await settled()
      expect(dropped()).toMatchObject([{ count: 1 }])
    },
  )

  /** The queue takes a batch when the promise is settled, and the next ones as a healthy one. */
  const takeLate = () => {
    const late = Promise.withResolvers<void>()
    const once: Send = async (events) => {
      queue.fault = undefined
      await late.promise
      await queue.take(events)
    }
    queue.fault = once
    return late
  }

  test('answers too late has taken the events, which are counted all the same', async () => {
    const late = takeLate()
    recordMany(2)
    await settled()
    now += TIMEOUT_MS
    record()
    await settled()
    expect(counted()).toBe(2)
    late.resolve()
    await settled()
    expect(types()).toEqual(['minted', 'dropped', 'minted,minted'])
  })

  test('answers within the time limit has dropped nothing', async () => {
    const slow = takeLate()
    record()
    await settled()
    now += TIMEOUT_MS - 1
    slow.resolve()
    expect(record()).toBeUndefined()
    await settled()
    expect(types()).toEqual(['minted', 'minted'])
  })

  test('refuses after it was given up has dropped the events once', async () => {
    const late = takeLate()
    record()
    await settled()
    now += TIMEOUT_MS
    record()
    late.reject(new Error('down'))
    await settled()
    record()
    await settled()
    expect(counted()).toBe(1)
  })
})

describe('the events that are collected or under way', () => {
  test.each(['collected', 'under way'])(
    'are bounded: what is beyond is dropped at once, %s',
    async (where) => {
      log = open({ maxInFlight: 3 })
      queue.fault = BROKEN['never answers']
      const warnings = recordMany(2)
      if (where === 'under way') await settled()
      warnings.push(...recordMany(3))
      expect(warnings).toEqual([undefined, undefined, undefined, 'mint_log_dropped', 'mint_log_dropped'])
      await settled()
      expect(queue.triedEvents).toHaveLength(3)
      queue.fault = undefined
      now += TIMEOUT_MS
      record()
      await settled()
      expect(counted(), 'three that hung, two that were too many').toBe(5)
    },
  )

  test.each<[string, Send | undefined]>([['arrive', undefined], ...Object.entries(BROKEN)])(
    'leave their places when they are done: a queue %s',
    async (_, fault) => {
      log = open({ maxInFlight: 2 })
      queue.fault = fault
      for (let i = 0; i < 5; i++) {
        expect(recordMany(2)).not.toContain('mint_log_dropped')
        await settled()
        now += TIMEOUT_MS
      }
      expect(queue.triedEvents.filter(({ type }) => type === 'token.minted')).toHaveLength(10)
    },
  )
})

test('drops are reported once, however many batches are under way', async () => {
  log = open({ maxInFlight: 1_000 })
  queue.fault = BROKEN.refuses
  record()
  await settled()
  queue.fault = undefined
  recordMany(500)
  await settled()
  expect(counted()).toBe(1)
  expect(queue.batches).toHaveLength(6)
})

describe('an event', () => {
  const flags = (count: number) => Array.from({ length: count }, (_, i) => String(i).padStart(63, 'f'))
  test.each([
    ['with as many flags as fit', 1_700, undefined],
    ['with more flags than a message can hold', 1_900, 'mint_log_dropped'],
  ])('%s: %i', async (_, count, warning) => {
    expect(record({ ...EVENT, flags: flags(count) })).toBe(warning)
    await settled()
    expect(queue.tried).toHaveLength(warning ? 0 : 1)
    for (const event of queue.triedEvents) expect(JSON.stringify(event).length).toBeLessThan(128_000)
  })
})
