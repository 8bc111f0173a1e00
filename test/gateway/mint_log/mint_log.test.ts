/** The producer on its own: what arrives, what is dropped, and that it is counted once. */
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

/** The sends of a test that hang are given up when its clock has come so far. */
const TIMEOUT_MS = 10_000

let queue: TestQueue
let now: number
let log: MintLog

const open = (limits: Partial<MintLogLimits> = {}) =>
  new MintLog(queue, 'production', () => now, { timeoutMs: TIMEOUT_MS, maxInFlight: 10, ...limits })
const record = (event = EVENT) => log.record(event, () => {})
/** Everything that can happen has happened; what hangs stays so. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 5))
const dropped = () => queue.events.filter((event) => event.type === 'token.dropped')
const counted = () => dropped().reduce((sum, event) => sum + event.count, 0)

beforeEach(() => {
  queue = new TestQueue()
  now = EVENT.at
  log = open()
})

test('a healthy queue gets exactly the event, once, as JSON', async () => {
  expect(record()).toBeUndefined()
  await settled()
  expect(queue.events).toEqual([EVENT])
  expect(queue.options).toEqual([{ contentType: 'json' }])
  expect(mintEventSchema.parse(queue.events[0])).toEqual(EVENT)
})

describe('a queue that', () => {
  test.each<[string, Send, string | undefined]>([
    ['refuses', BROKEN.refuses as Send, undefined],
    ['throws at once', BROKEN['throws at once'] as Send, 'mint_log_dropped'],
    ['never answers', BROKEN['never answers'] as Send, undefined],
  ])('%s has its drops counted, and hears of them when it is well again', async (_, fault, warning) => {
    queue.fault = fault
    expect(record()).toBe(warning)
    expect(record()).toBe(warning)
    await settled()
    expect(queue.events).toEqual([])

    queue.fault = undefined
    now += TIMEOUT_MS
    expect(record(), 'somebody should look').toBe('mint_log_untold')
    await settled()
    const told = { type: 'token.dropped', format: 1, env: 'production', count: 2, at: now }
    expect(queue.events).toEqual([EVENT, told])
    expect(droppedSchema.parse(queue.events[1])).toEqual(told)

    expect(record(), 'and told is told').toBeUndefined()
    await settled()
    expect(dropped()).toHaveLength(1)
  })

  test.each(Object.entries(BROKEN))('%s when it is told of drops is told later', async (_, fault) => {
    queue.fault = BROKEN.refuses
    record()
    await settled()
    queue.fault = (event) => (event.type === 'token.dropped' ? fault(event) : queue.take(event))
    record()
    await settled()
    expect(dropped()).toEqual([])
    queue.fault = undefined
    now += TIMEOUT_MS
    record()
    await settled()
    expect(dropped()).toMatchObject([{ count: 1 }])
  })

  test('answers too late has taken the event, which is counted all the same', async () => {
    const late = Promise.withResolvers<void>()
    queue.fault = async (event) => {
      await late.promise
      await queue.take(event)
    }
    record()
    queue.fault = undefined
    now += TIMEOUT_MS
    record()
    await settled()
    expect(counted()).toBe(1)
    late.resolve()
    await settled()
    expect(queue.events.map(({ type }) => type)).toEqual(['token.minted', 'token.dropped', 'token.minted'])
  })

  test('answers within the time limit has dropped nothing', async () => {
    const slow = Promise.withResolvers<void>()
    queue.fault = async (event) => {
      await slow.promise
      await queue.take(event)
    }
    record()
    queue.fault = undefined
    now += TIMEOUT_MS - 1
    slow.resolve()
    expect(record()).toBeUndefined()
    await settled()
    expect(queue.events.map(({ type }) => type)).toEqual(['token.minted', 'token.minted'])
  })
})

describe('the sends under way', () => {
  test('are bounded: what is beyond is dropped at once, and not tried', async () => {
    log = open({ maxInFlight: 2 })
    queue.fault = BROKEN['never answers']
    expect([record(), record(), record(), record()]).toEqual([
      undefined,
      undefined,
      'mint_log_dropped',
      'mint_log_dropped',
    ])
    expect(queue.tried).toHaveLength(2)
    queue.fault = undefined
    now += TIMEOUT_MS
    record()
    await settled()
    expect(counted(), 'two that hung, two that were too many').toBe(4)
  })

  test('leave their place when they are done', async () => {
    log = open({ maxInFlight: 2 })
    for (let i = 0; i < 10; i++) {
      expect(record()).toBeUndefined()
      await settled()
    }
    expect(queue.events).toHaveLength(10)
  })

  test('that fail after they were given up are dropped once', async () => {
    const late = Promise.withResolvers<void>()
    queue.fault = () => late.promise
    record()
    queue.fault = undefined
    now += TIMEOUT_MS
    record()
    late.reject(new Error('down'))
    await settled()
    record()
    await settled()
    expect(counted()).toBe(1)
  })
})

test('drops are told by one request, however many are under way', async () => {
  queue.fault = BROKEN.refuses
  record()
  await settled()
  queue.fault = undefined
  for (let i = 0; i < 5; i++) record()
  await settled()
  expect(counted()).toBe(1)
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
    for (const event of queue.tried) expect(JSON.stringify(event).length).toBeLessThan(128_000)
  })
})
