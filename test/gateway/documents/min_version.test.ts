/** Waiting for a version: how long, how often KV is read, and that it always ends with a token. */
import { beforeEach, describe, expect, test } from 'vitest'
import { lookupAtLeast, newestVersion } from '../../../src/gateway/documents/min_version.ts'
import { DocumentStore, type LookupFault } from '../../../src/gateway/documents/store.ts'
import {
  catalog,
  FORM,
  orgDocument,
  REFRESH_BODY,
  type Setup,
  setUp,
  TestKV,
  userDocument,
} from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { setUpSessions } from '../support/sessions.ts'

const log = captureLog()
const IDS = { orgId: 'org_acme', userId: 'user_1' }
const CATALOG = 'catalog:production'
const ORG = 'org:production:org_acme'
const USER = 'user:production:user_1'
const START = Date.parse('2026-06-01T00:00:00Z')
/** One read, a second where the first was answered by the isolate, and one after each pause. */
const MOST_READS = 7

let kv: TestKV
let now: number
let pauses: number[]
let faults: [LookupFault, string][]
let store: DocumentStore
/** What happens when so much time has passed since the start. */
let at: Map<number, () => unknown>

async function pass(milliseconds: number): Promise<void> {
  now += milliseconds
  for (const [due, happen] of at) {
    if (now - START < due) continue
    at.delete(due)
    await happen()
  }
}

const atLeast = (minVersion: number, ids: { orgId?: string; userId?: string } = IDS) =>
  lookupAtLeast(
    minVersion,
    store,
    { orgId: undefined, userId: undefined, ...ids },
    (fault, key) => faults.push([fault, key]),
    {
      clock: () => now,
      pause: (milliseconds) => {
        pauses.push(milliseconds)
        return pass(milliseconds)
      },
    },
  )

beforeEach(() => {
  kv = new TestKV()
  kv.put(CATALOG, catalog({}, {}, 87))
  kv.put(ORG, orgDocument({ version: 100 }))
  kv.put(USER, userDocument({ version: 90 }))
  now = START
  pauses = []
  faults = []
  at = new Map()
  store = new DocumentStore({ kv, environment: 'production', staleMaxSeconds: 3600, clock: () => now })
})

describe('a version is there', () => {
  test.each([
    ['the catalog', CATALOG, catalog({}, {}, 120)],
    ['the organization’s document', ORG, orgDocument({ version: 120 })],
    ['the user’s document', USER, userDocument({ version: 120 })],
  ])('when %s has it', async (_, key, document) => {
    kv.put(key, document)
    expect(newestVersion(await atLeast(120))).toBe(120)
    expect([pauses, kv.reads.length]).toEqual([[], 1])
  })

  test.each([0, 1, 99, 100])('at once when it is older: %i', async (minVersion) => {
    expect(newestVersion(await atLeast(minVersion))).toBe(100)
    expect([pauses, kv.reads.length]).toEqual([[], 1])
  })

  test('in the isolate, without KV', async () => {
    await atLeast(100)
    now += 1_000
    await atLeast(100)
    expect([pauses, kv.reads.length]).toEqual([[], 1])
  })

  test.each([
    [1, 100],
    [150, 300],
    [700, 700],
    [1_600, 2_700],
  ])('after %i ms, and is seen after %i', async (after, seen) => {
    at.set(after, () => kv.put(ORG, orgDocument({ version: 101 })))
    expect((await atLeast(101)).org).toMatchObject({ document: { version: 101 }, stale: false })
    expect(now - START).toBe(seen)
  })
})

describe('what the isolate has kept', () => {
  test('is not waited on: KV is asked at once', async () => {
    await atLeast(0)
    now += 1_000
    kv.put(ORG, orgDocument({ version: 101 }))
    expect(newestVersion(await atLeast(101))).toBe(101)
    expect(pauses).toEqual([])
    expect(kv.reads).toHaveLength(2)
    expect(kv.options.at(-1), 'the lowest that KV allows').toEqual({ type: 'text', cacheTtl: 30 })
  })

  test('is new for those who do not ask for a version, too', async () => {
    await atLeast(0)
    kv.put(ORG, orgDocument({ version: 101 }))
    await atLeast(101)
    const found = await store.lookup(IDS, () => {})
    expect(found.org?.document?.version).toBe(101)
  })
})

describe('a version that does not come', () => {
  test.each([101, 1e15, Number.MAX_SAFE_INTEGER, Number('9'.repeat(400))])(
    '%d ends within three seconds, with what there is, and few reads',
    async (minVersion) => {
      const found = await atLeast(minVersion)
      expect(found).toMatchObject({
        catalog: { stale: false },
        org: { document: { version: 100 }, stale: false },
      })
      expect(pauses).toEqual([100, 200, 400, 800, 1_200])
      expect(now - START).toBeLessThanOrEqual(3_000)
      expect(kv.reads.length).toBeLessThan(MOST_READS)
      expect(faults).toEqual([])
    },
  )

  test('nor does the slowness of KV make it longer: reads take from the same three seconds', async () => {
    const get = kv.get.bind(kv)
    kv.get = async (keys, options) => {
      await pass(900)
      return get(keys, options)
    }
    await atLeast(101)
    expect(now - START).toBeLessThanOrEqual(3_900)
    expect(kv.reads.length).toBeLessThanOrEqual(4)
  })

  test('costs seven reads at most, also for an isolate that has everything cached', async () => {
    await atLeast(0)
    now += 1_000
    const before = kv.reads.length
    await atLeast(101)
    expect(kv.reads.length - before).toBeLessThan(MOST_READS)
  })

  test('and nobody in particular, of whom there is the catalog only', async () => {
    expect(newestVersion(await atLeast(101, {}))).toBe(87)
    expect(kv.reads.every((keys) => keys.length === 1)).toBe(true)
  })
})

describe('KV that fails while somebody waits', () => {
  test('from the start: degraded, as without a version, and told once', async () => {
    kv.fault = () => Promise.reject(new Error('down'))
    expect(await atLeast(101)).toEqual({ catalog: undefined, org: undefined, user: undefined })
    expect(faults).toEqual(['catalog', 'org', 'user'].map((kind) => ['kv_failed', kind]))
  })

  test('during the wait: cached documents are as good as before', async () => {
    at.set(50, () => {
      kv.fault = () => Promise.reject(new Error('down'))
    })
    expect((await atLeast(101)).org).toMatchObject({ document: { version: 100 }, stale: false })
    expect(faults).toEqual([])
  })

  test('with an invalid document: the fault is reported once', async () => {
    at.set(50, () => kv.put(ORG, '{'))
    expect((await atLeast(101)).org).toMatchObject({ document: { version: 100 }, stale: true })
    expect(faults).toEqual([['document_invalid', 'org']])
  })
})

describe('a refresh with Remint-Min-Version', () => {
  let setup: Setup
  beforeEach(async () => {
    setup = await setUp()
    setup.kv.put(ORG, orgDocument({ version: 100 }))
  })
  const refresh = (minVersion: string, headers: Record<string, string> = {}) =>
    setup.refresh({ headers: { ...FORM, 'remint-min-version': minVersion, ...headers } })

  test('waits for the document, and says what it has', async () => {
    const reports = { kind: 'entitlement', access: 'some' }
    setup.kv.put(CATALOG, catalog({ reports }))
    setTimeout(() => {
      const grants = [
        { id: 'g', flag: 'reports', effect: 'allow', source: 'beta', from: '2026-01-01T00:00:00Z', to: null },
      ]
      setup.kv.put(ORG, orgDocument({ version: 1234, grants }))
    }, 50)
    const response = await refresh('1234')
    expect(response.status).toBe(200)
    expect(response.headers.get('remint-version')).toBe('1234')
    const { access_token: token } = (await response.json()) as { access_token: string }
    expect((await setup.verified(token)).feature_flags).toEqual(['reports'])
    expect(log.lines[0]?.warnings).toBeUndefined()
  })

  test('that is not reached is served with what there is, after three seconds, and says so', async () => {
    const startedAt = performance.now()
    const response = await refresh('99999999999999999999999999')
    expect(performance.now() - startedAt).toBeGreaterThan(2_000)
    expect(response.status).toBe(200)
    expect(response.headers.get('remint-version')).toBe('100')
    expect(await response.json()).toMatchObject({ refresh_token: 'rotated' })
    expect(log.last).toMatchObject({
      status: 200,
      src: 'fresh',
      level: 'warn',
      warnings: ['min_version_not_reached'],
    })
    expect(setup.kv.reads.length).toBeLessThan(MOST_READS)
  })

  test.each(['', 'latest', '-1', '1.5', '1e3', '0x10', '1, 2', '１２', '12 34'])(
    'that is malformed is refused before the refresh token is spent: %j',
    async (value) => {
      const headers = new Headers({ ...FORM, 'remint-min-version': encodeURI(value).replaceAll('%20', ' ') })
      const response = await setup.refresh({ headers })
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({
        error: 'invalid_request',
        error_description: 'Remint-Min-Version must be one whole number, in digits.',
      })
      expect(log.last).toMatchObject({ reason: 'min_version_malformed' })
      expect(setup.upstream.count('/token')).toBe(0)
      expect(setup.kv.reads).toEqual([])
    },
  )

  test('does not wait where upstream refused', async () => {
    setup.upstream.onToken = () => new Response('{"error":"invalid_grant"}', { status: 400 })
    const response = await refresh('1234')
    expect(response.status).toBe(400)
    expect(response.headers.has('remint-version')).toBe(false)
    expect(setup.kv.reads).toEqual([])
  })

  test('and an answer without it names no version', async () => {
    expect((await setup.refresh()).headers.has('remint-version')).toBe(false)
  })

  test.each(['remint-min-version', 'remint_min_version', 'Remint-Min-Version'])(
    'never reaches upstream, at the token endpoint or elsewhere: %s',
    async (name) => {
      await setup.refresh({ headers: { ...FORM, [name]: '1' } })
      await setup.request('/userinfo', { headers: { [name]: '1' } })
      await setup.request('/revoke', {
        method: 'POST',
        headers: { ...FORM, [name]: '1' },
        body: REFRESH_BODY,
      })
      const seen = setup.upstream.requests.flatMap(({ headers }) => [...headers.keys()])
      expect(seen.filter((header) => header.startsWith('remint'))).toEqual([])
      expect(setup.upstream.count('/token') + setup.upstream.count('/userinfo')).toBe(2)
    },
  )

  test('is no part of the refresh’s name: with and without it, one answer', async () => {
    const sessions = await setUpSessions()
    await sessions.refreshWith()
    await sessions.refreshWith({}, { 'remint-min-version': '1' })
    await sessions.refreshWith({}, { 'remint-min-version': '2' })
    expect(new Set(sessions.names).size).toBe(1)
    expect(sessions.asked()).toBe(1)
  })
})
