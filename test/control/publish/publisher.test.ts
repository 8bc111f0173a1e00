/** The publisher's own logic with real D1, and a KV that fails, lags and counts as the test wants. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { DocumentsKV } from '../../../src/control/config.ts'
import { connect } from '../../../src/control/db/client.ts'
import { EnvironmentPublisher, KEY_INTERVAL_MS } from '../../../src/control/publish/publisher.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

/** Another namespace beside the real one, so that only the publisher under test writes to it. */
class FaultyKV implements DocumentsKV {
  readonly values = new Map<string, string>()
  readonly puts: string[] = []
  fails: (key: string) => boolean = () => false

  async get(keys: string[]): Promise<Map<string, string | null>> {
    return new Map(keys.map((key) => [key, this.values.get(key) ?? null]))
  }

  async put(key: string, value: string): Promise<void> {
    this.puts.push(key)
    await Promise.resolve()
    if (this.fails(key)) throw new Error('KV PUT failed: 500')
    this.values.set(key, value)
  }
}

let control: ControlUnderTest
let kv: FaultyKV
let alarm: number | undefined
let warnings: string[]
const stored = new Map<string, unknown>()

beforeEach(async () => {
  control = await setUp()
  kv = new FaultyKV()
  alarm = undefined
  warnings = []
  stored.clear()
})

const makePublisher = () =>
  new EnvironmentPublisher({
    environment: 'production',
    db: connect(bindings.DB).db,
    kv,
    keyIntervalMs: KEY_INTERVAL_MS,
    clock: () => control.clock.now,
    memory: {
      get: async <T>(name: string) => structuredClone(stored.get(name)) as T | undefined,
      put: async (name, value) => void stored.set(name, structuredClone(value)),
      wakeAt: async (at) => {
        alarm = Math.min(alarm ?? at, at)
      },
    },
    warn: (event, documents) => warnings.push(`${event} ${documents}`),
  })

/** Lets time pass up to the alarm, and wakes the publisher as its Durable Object would. */
async function ring(publisher: EnvironmentPublisher): Promise<void> {
  expect(alarm).toEqual(expect.any(Number))
  control.clock.now = Math.max(control.clock.now, alarm ?? 0)
  alarm = undefined
  await publisher.wake()
}

const version = (key: string): number => JSON.parse(kv.values.get(key) ?? '{}').version

test('writes for one key are merged to one a second', async () => {
  const publisher = makePublisher()
  await control.liveFlag('reports')
  await publisher.publish()
  for (let i = 0; i < 6; i++) {
    await control.must('POST', `/flags/reports/rules/production/${i % 2 ? 'revive' : 'kill'}`, {})
    await publisher.publish()
  }
  expect(kv.puts.filter((key) => key === 'catalog:production')).toHaveLength(1)
  await ring(publisher)
  expect(kv.puts.filter((key) => key === 'catalog:production')).toHaveLength(2)
  expect(version('catalog:production')).toBe((await control.auditRows()).length)
})

test('a write that fails is tried again, each time later, until it succeeds', async () => {
  const publisher = makePublisher()
  await control.liveFlag('reports')
  kv.fails = () => true
  await publisher.publish()
  const pauses: number[] = []
  for (let i = 0; i < 4; i++) {
    pauses.push((alarm ?? 0) - control.clock.now)
    await ring(publisher)
  }
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000])
  expect(warnings).toHaveLength(5)

  const status = (await control.get('/publishing')).body.data[1]
  expect(status).toMatchObject({
    environment: 'production',
    out_of_step: 1,
    last_error: { key: 'catalog:production', error: 'kv_failed', attempts: 5 },
  })
  expect(status.lag_seconds).toBeGreaterThan(14)

  kv.fails = () => false
  await ring(publisher)
  expect(version('catalog:production')).toBe(3)
  expect((await control.get('/publishing')).body.data[1]).toMatchObject({
    ...{ out_of_step: 0, lag_seconds: 0, last_error: null },
  })
})

test('one document that fails does not hold up the others', async () => {
  const publisher = makePublisher()
  await control.organization('org_a')
  await control.organization('org_b')
  kv.fails = (key) => key.endsWith('org_a')
  await publisher.publish()
  expect([...kv.values.keys()]).toEqual(['org:production:org_b'])
})

test('a version never goes back, whatever comes at the same time', async () => {
  const publisher = makePublisher()
  await control.liveFlag('reports')
  const seen: number[] = []
  const put = kv.put.bind(kv)
  kv.put = async (key, value) => {
    await put(key, value)
    if (key === 'catalog:production') seen.push(JSON.parse(value).version)
  }
  const work: Promise<unknown>[] = [publisher.rebuild()]
  for (let i = 0; i < 8; i++) {
    work.push(
      control.must('POST', `/flags/reports/rules/production/${i % 2 ? 'revive' : 'kill'}`, {}),
      publisher.publish(),
      publisher.wake(),
      publisher.repair(),
    )
    control.clock.now += 700
  }
  await Promise.all(work)
  for (let i = 0; i < 5; i++) {
    control.clock.now += 2_000
    await publisher.wake()
  }
  expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  const [{ version: last = 0 } = {}] = (
    await bindings.DB.prepare("SELECT version FROM documents WHERE key = 'catalog:production'").all<{
      version: number
    }>()
  ).results
  expect(seen.at(-1)).toBe(last)
})

describe('reading back', () => {
  beforeEach(async () => {
    await control.liveFlag('reports')
    await control.organization('org_a')
  })

  test.each([
    ['lost', (key: string) => kv.values.delete(key)],
    ['overwritten', (key: string) => kv.values.set(key, '{}')],
  ])('repairs a document that KV has %s', async (_, spoil) => {
    const publisher = makePublisher()
    await publisher.publish()
    const good = new Map(kv.values)
    for (const key of good.keys()) spoil(key)
    await publisher.repair()
    expect(kv.values).not.toEqual(good)
    control.clock.now += 61_000
    await publisher.repair()
    expect(kv.values).toEqual(good)
    expect(warnings).toEqual(['repaired 2'])
  })

  test('leaves alone what is as it should be', async () => {
    const publisher = makePublisher()
    await publisher.publish()
    control.clock.now += 61_000
    const puts = kv.puts.length
    await publisher.repair()
    expect(kv.puts.length).toBe(puts)
  })
})

describe('a rebuild', () => {
  const ORGANIZATIONS = 1_700

  beforeEach(async () => {
    await control.liveFlag('reports')
    const ids = JSON.stringify(Array.from({ length: ORGANIZATIONS }, (_, i) => `org_${i}`))
    await bindings.DB.prepare(
      `INSERT INTO organizations (id, name, not_before, created_at, updated_at, revision)
       SELECT value, value, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 1 FROM json_each(?)`,
    )
      .bind(ids)
      .run()
  })

  test('writes every document, those of rows that came in by SQL included, in chunks', async () => {
    const publisher = makePublisher()
    await publisher.rebuild()
    let largest = 0
    for (let i = 0; i < 10 && (await publisher.progress())?.finished_at === null; i++) {
      const before = kv.puts.length
      await ring(publisher)
      largest = Math.max(largest, kv.puts.length - before)
    }
    expect(await publisher.progress()).toMatchObject({ total: ORGANIZATIONS + 1, written: ORGANIZATIONS + 1 })
    expect(kv.values.size).toBe(ORGANIZATIONS + 1)
    expect(largest).toBeLessThan(1_000)
  })

  test('goes on where it stopped, in an object that remembers nothing', async () => {
    await makePublisher().rebuild()
    await ring(makePublisher())
    const first = new Set(kv.puts)
    kv.puts.length = 0
    for (let i = 0; i < 10 && alarm !== undefined; i++) await ring(makePublisher())
    expect(kv.values.size).toBe(ORGANIZATIONS + 1)
    const again = kv.puts.filter((key) => first.has(key))
    expect(again.length).toBeLessThan(1_000)
  })

  test('goes on by the cron where its alarm was given up', async () => {
    const publisher = makePublisher()
    await publisher.rebuild()
    alarm = undefined
    await publisher.repair()
    for (let i = 0; i < 10 && alarm !== undefined; i++) await ring(publisher)
    expect(await publisher.progress()).toMatchObject({ written: ORGANIZATIONS + 1 })
    expect((await publisher.progress())?.finished_at).not.toBeNull()
    await publisher.repair()
    expect(alarm, 'and then there is nothing to wake for').toBeUndefined()
  })

  test('gives way to a fresh change', async () => {
    const publisher = makePublisher()
    await publisher.rebuild()
    const put = kv.put.bind(kv)
    let changed: Promise<unknown> | undefined
    kv.put = async (key, value) => {
      if (kv.puts.length === 300) {
        control.clock.now += 1_500
        changed = control
          .must('POST', '/flags/reports/rules/production/kill', {})
          .then(() => publisher.publish())
      }
      await put(key, value)
    }
    await ring(publisher)
    await changed
    expect(kv.puts.lastIndexOf('catalog:production')).toBeLessThan(ORGANIZATIONS)
    expect(JSON.parse(kv.values.get('catalog:production') ?? '{}').flags.reports.killed).toBe(true)
  })
})
