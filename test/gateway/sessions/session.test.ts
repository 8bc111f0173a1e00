/** The object's logic on its own, with a store that fails, and the seal. */
import { describe, expect, test } from 'vitest'
import type { RawAnswer, SessionCall } from '../../../src/gateway/sessions/call.ts'
import { seal, sealingKey, unseal } from '../../../src/gateway/sessions/seal.ts'
import { Session, type SessionStore } from '../../../src/gateway/sessions/session.ts'

const CALL: SessionCall = {
  url: 'https://idp.test/token',
  headers: new Headers(),
  body: 'grant_type=refresh_token&refresh_token=r1',
  refreshToken: 'r1',
  name: 'name',
  timeoutMs: 1000,
  patienceMs: 5000,
  reuseSeconds: 10,
  replays: false,
}
const ANSWER: RawAnswer = {
  status: 200,
  statusText: 'OK',
  headers: new Headers({ 'content-type': 'application/json' }),
  body: Uint8Array.from(new TextEncoder().encode('{"access_token":"a"}')),
  receivedAt: 1_000,
}

const memoryStore = (): SessionStore & { values: Map<string, unknown> } => {
  const values = new Map<string, unknown>()
  return {
    values,
    get: (key) => values.get(key),
    put: async (key, value) => void values.set(key, value),
    setAlarm: async () => {},
    deleteAll: async () => values.clear(),
  }
}

const upstream = () => {
  let asked = 0
  return {
    count: () => asked,
    fetch: (async () => {
      asked += 1
      return new Response('{"access_token":"a"}')
    }) as typeof fetch,
  }
}

describe('a store that fails costs nothing but a later replay', () => {
  const fail = async () => {
    throw new Error('the disk is full')
  }
  const get = () => {
    throw new Error('the disk is full')
  }
  // The client waits no longer for a store that hangs than for one that fails.
  const hang = () => new Promise<never>(() => {})
  test.concurrent.each<[string, Partial<SessionStore>]>([
    ['on reading, by hanging', { get: hang }],
    ['on writing, by hanging', { put: hang }],
    ['on setting the alarm, by hanging', { setAlarm: hang }],
    ['on reading', { get }],
    ['on writing', { put: fail }],
    ['on setting the alarm', { setAlarm: fail }],
    ['on everything', { get, put: fail, setAlarm: fail }],
  ])('%s', async (_, faults) => {
    const { fetch, count } = upstream()
    const session = new Session({ ...memoryStore(), ...faults }, fetch, () => 1_000)
    const outcome = await session.exchange(CALL)
    expect(outcome).toMatchObject({
      ok: true,
      value: { origin: 'asked', unstored: !('get' in faults && !('put' in faults)) },
    })
    // The object itself still has it.
    expect(await session.exchange(CALL)).toMatchObject({ ok: true, value: { origin: 'replayed' } })
    expect(count()).toBe(1)
  })
})

describe('nothing is stored for longer than the interval', () => {
  const YES = { ok: true, value: { origin: 'asked' } }

  test('an answer for which no alarm could be set is deleted at once', async () => {
    const store = memoryStore()
    store.setAlarm = () => Promise.reject(new Error('no alarm today'))
    expect(await new Session(store, upstream().fetch, () => 1_000).exchange(CALL)).toMatchObject(YES)
    expect(store.values.size).toBe(0)
  })

  test('an answer that could not be deleted has its alarm set again', async () => {
    const alarms: number[] = []
    const store = { ...memoryStore(), setAlarm: async (at: number) => void alarms.push(at) }
    store.deleteAll = () => Promise.reject(new Error('not now'))
    let now = 1_000
    const session = new Session(store, upstream().fetch, () => now)
    await session.exchange(CALL)
    now = 11_000
    await session.forget()
    expect(alarms).toEqual([11_000, 71_000])
  })

  test.each(['the same object', 'an object that has restarted'])(
    'an alarm that comes too early deletes nothing and is set again: %s',
    async (which) => {
      const alarms: number[] = []
      const store = { ...memoryStore(), setAlarm: async (at: number) => void alarms.push(at) }
      const { fetch, count } = upstream()
      const make = () => new Session(store, fetch, () => 1_000)
      const session = make()
      await session.exchange(CALL)
      const woken = which === 'the same object' ? session : make()
      await woken.forget()
      expect(await woken.exchange(CALL)).toMatchObject({ value: { origin: 'replayed' } })
      expect([count(), alarms]).toEqual([1, [11_000, 11_000]])
    },
  )
})

test('a stored answer that does not open is one that is not there', async () => {
  const store = memoryStore()
  const { fetch, count } = upstream()
  await new Session(store, fetch, () => 1_000).exchange(CALL)
  const restarted = new Session(store, fetch, () => 2_000)
  expect(await restarted.exchange({ ...CALL, refreshToken: 'r2' })).toMatchObject({
    value: { origin: 'asked' },
  })
  expect(count()).toBe(2)
})

describe('the seal', () => {
  test('opens with the refresh token and the name, to exactly what was put in', async () => {
    const sealed = await seal(ANSWER, await sealingKey('r1', 'name'))
    const opened = (await unseal(sealed, await sealingKey('r1', 'name'))) as RawAnswer
    expect({ ...opened, headers: [...opened.headers] }).toEqual({ ...ANSWER, headers: [...ANSWER.headers] })
  })

  test.each([
    ['another refresh token', 'r2', 'name'],
    ['another name, as by another pepper', 'r1', 'other'],
  ])('stays closed to %s', async (_, refreshToken, name) => {
    const sealed = await seal(ANSWER, await sealingKey('r1', 'name'))
    expect(await unseal(sealed, await sealingKey(refreshToken, name))).toBeUndefined()
  })

  test('notices a change of any byte', async () => {
    const key = await sealingKey('r1', 'name')
    const sealed = await seal(ANSWER, key)
    for (const at of [0, 12, sealed.length - 1]) {
      const changed = sealed.slice()
      changed[at] = (changed[at] as number) ^ 1
      expect(await unseal(changed, key)).toBeUndefined()
    }
    expect(await unseal(new Uint8Array(3), key)).toBeUndefined()
  })

  test('never looks the same twice', async () => {
    const key = await sealingKey('r1', 'name')
    expect(await seal(ANSWER, key)).not.toEqual(await seal(ANSWER, key))
  })
})
