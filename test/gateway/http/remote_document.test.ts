import { describe, expect, test } from 'vitest'
import { err, ok } from '../../../src/core/result.ts'
import { fetchJson, RemoteDocument } from '../../../src/gateway/http/remote_document.ts'

const MINUTE = 60_000
const START = Date.parse('2026-06-01T00:00:00Z')

/** A document whose next answers the test decides; `undefined` is a fetch that failed. */
function documentOf(...answers: (string | undefined)[]) {
  const state = { now: START, fetches: 0 }
  const document = new RemoteDocument<string, 'unreachable'>(
    async () => {
      state.fetches++
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      return answer === undefined ? err('unreachable') : ok(answer)
    },
    () => state.now,
  )
  return { state, document }
}

describe('a document is cached', () => {
  test('it is fetched once and used for ten minutes', async () => {
    const { state, document } = documentOf('first', 'second')
    expect(await document.current()).toEqual({ ok: true, value: 'first' })
    state.now += 10 * MINUTE - 1
    expect(await document.current()).toEqual({ ok: true, value: 'first' })
    expect(state.fetches).toBe(1)
    state.now += 1
    expect(await document.current()).toEqual({ ok: true, value: 'second' })
    expect(state.fetches).toBe(2)
  })

  test('without one, it is tried again soon, and said that it cannot be had', async () => {
    const { state, document } = documentOf(undefined, undefined, 'first')
    expect(await document.current()).toEqual({ ok: false, reason: 'unreachable' })
    state.now += 1_000
    expect(await document.current()).toEqual({ ok: false, reason: 'unreachable' })
    state.now += 1_000
    expect(await document.current()).toEqual({ ok: true, value: 'first' })
    expect(state.fetches).toBe(3)
  })

  test('a failed fetch never replaces it, and is tried again only after the cool-down', async () => {
    const { state, document } = documentOf('first', undefined)
    await document.current()
    state.now += 10 * MINUTE
    for (let i = 0; i < 5; i++) expect(await document.current()).toEqual({ ok: true, value: 'first' })
    expect(state.fetches).toBe(2)
    state.now += 30_000
    expect(await document.current()).toEqual({ ok: true, value: 'first' })
    expect(state.fetches).toBe(3)
  })
})

describe('a document is fetched again on demand', () => {
  test('at most once per cool-down', async () => {
    const { state, document } = documentOf('first', 'second', 'third')
    await document.current()
    expect(await document.refresh()).toBe(true)
    expect(await document.current()).toEqual({ ok: true, value: 'second' })
    for (let i = 0; i < 5; i++) expect(await document.refresh()).toBe(true)
    expect(state.fetches).toBe(2)
    state.now += 30_000
    expect(await document.refresh()).toBe(true)
    expect(await document.current()).toEqual({ ok: true, value: 'third' })
  })

  test('at once, also when it was fetched a moment ago because it had grown old', async () => {
    const { state, document } = documentOf('first', 'second', 'third')
    await document.current()
    state.now += 10 * MINUTE
    expect(await document.current()).toEqual({ ok: true, value: 'second' })
    expect(await document.refresh()).toBe(true)
    expect(await document.current()).toEqual({ ok: true, value: 'third' })
  })

  test('and says when upstream did not give it, so that nobody takes an old one for the latest', async () => {
    const { state, document } = documentOf('first', undefined)
    await document.current()
    state.now += 30_000
    expect(await document.refresh()).toBe(false)
    expect(await document.refresh(), 'still within the cool-down').toBe(false)
    expect(await document.current()).toEqual({ ok: true, value: 'first' })
  })
})

describe('requests that come while a fetch is under way', () => {
  /** A document whose second fetch takes until the test says so. */
  function slowOf(second: string | undefined) {
    const state = { now: START, fetches: 0, answer: () => {} }
    const document = new RemoteDocument<string, 'unreachable'>(
      async () => {
        if (state.fetches++ === 0) return ok('first')
        await new Promise<void>((resolve) => {
          state.answer = resolve
        })
        return second === undefined ? err('unreachable') : ok(second)
      },
      () => state.now,
    )
    return { state, document }
  }

  test.each([
    ['second', true],
    [undefined, false],
  ])('wait for it (%s), and fetch nothing themselves', async (second, fresh) => {
    const { state, document } = slowOf(second)
    await document.current()
    state.now += 30_000
    const refreshing = [document.refresh(), document.refresh(), document.refresh()]
    setTimeout(() => state.answer(), 30)
    expect(await Promise.all(refreshing)).toEqual([fresh, fresh, fresh])
    expect(state.fetches).toBe(2)
    expect(await document.current()).toEqual({ ok: true, value: second ?? 'first' })
  })
})

describe('a fetch that never comes back, because the client that caused it left', () => {
  function stuck(...before: string[]) {
    const state = { now: START, fetches: 0 }
    const document = new RemoteDocument<string, 'unreachable'>(
      async () => {
        const answer = before[state.fetches++]
        return answer === undefined ? new Promise<never>(() => {}) : ok(answer)
      },
      () => state.now,
    )
    return { state, document }
  }

  test('does not make others wait for a document that has grown old', async () => {
    const { state, document } = stuck('first')
    await document.current()
    state.now += 10 * MINUTE
    void document.current()
    expect(await document.current()).toEqual({ ok: true, value: 'first' })
    expect(state.fetches, 'the one that is stuck').toBe(2)
    state.now += 30_000
    void document.current()
    expect(state.fetches, 'another one after the cool-down').toBe(3)
  })

  test('does not keep others from the first one', async () => {
    const { state, document } = stuck()
    void document.current()
    void document.current()
    expect(state.fetches).toBe(2)
  })
})

test('while there is none, a crowd of clients causes one fetch a second', async () => {
  const { state, document } = documentOf(undefined)
  for (let i = 0; i < 20; i++) {
    expect(await document.current()).toEqual({ ok: false, reason: 'unreachable' })
    state.now += 100
  }
  expect(state.fetches).toBe(2)
})

test('a loader with a bug in it does not lock the document', async () => {
  let loads = 0
  const document = new RemoteDocument<string, 'unreachable'>(
    async () => {
      if (loads++ === 0) throw new Error('bug')
      return ok('first')
    },
    () => START + loads * 2_000,
  )
  await expect(document.current()).rejects.toThrow('bug')
  expect(await document.current()).toEqual({ ok: true, value: 'first' })
})

describe('a JSON document is fetched', () => {
  const answering = (answer: () => Response | Promise<Response>) => {
    const calls: RequestInit[] = []
    const fetcher = (async (_: string, init: RequestInit) => {
      calls.push(init)
      return answer()
    }) as unknown as typeof fetch
    return { calls, fetcher }
  }
  const URL = 'https://idp.test/jwks'

  test('asking for JSON, without following redirects, with a time-out', async () => {
    const { calls, fetcher } = answering(() => Response.json({ a: 1 }))
    expect(await fetchJson(URL, fetcher)).toEqual({ ok: true, value: { a: 1 } })
    expect(calls).toEqual([
      {
        headers: { accept: 'application/json, application/jwk-set+json' },
        redirect: 'manual',
        signal: expect.any(AbortSignal),
      },
    ])
  })

  test.each<[string, () => Response | Promise<Response>]>([
    ['a redirect', () => new Response(null, { status: 302, headers: { location: 'https://evil.test' } })],
    ['not found', () => new Response('{}', { status: 404 })],
    ['a fault', () => new Response('{}', { status: 500 })],
    ['HTML', () => new Response('<html>')],
    ['a number', () => Response.json(7)],
    ['null', () => Response.json(null)],
    ['more than 256 KiB', () => Response.json({ a: 'a'.repeat(256 * 1024) })],
    ['more than 256 KiB without saying so', () => new Response(endless())],
    ['nobody', () => Promise.reject(new TypeError('refused'))],
    ['an answer that breaks off', () => new Response(brokenOff())],
  ])('and %s is no document', async (_, answer) => {
    const { calls, fetcher } = answering(answer)
    expect(await fetchJson(URL, fetcher)).toEqual({ ok: false, reason: 'unreachable' })
    expect(calls).toHaveLength(1)
  })
})

const endless = () =>
  new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024).fill(32)),
  })

function brokenOff() {
  let given = false
  return new ReadableStream({
    pull(controller) {
      if (given) controller.error(new Error('cut off'))
      else controller.enqueue(new TextEncoder().encode('{"keys":'))
      given = true
    },
  })
}
