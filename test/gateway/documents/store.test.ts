import { beforeEach, describe, expect, test } from 'vitest'
import { DocumentStore, type LookupFault } from '../../../src/gateway/documents/store.ts'
import { catalog, orgDocument, TestKV, userDocument } from '../support/gateway.ts'

const IDS = { orgId: 'org_acme', userId: 'user_1' }
const CATALOG = 'catalog:production'
const ORG = 'org:production:org_acme'
const USER = 'user:production:user_1'
const START = Date.parse('2026-06-01T00:00:00Z')

let kv: TestKV
let now: number
let faults: [LookupFault, string][]
let store: DocumentStore

const open = (staleMaxSeconds = 3600) =>
  new DocumentStore({ kv, environment: 'production', staleMaxSeconds, clock: () => now })
const lookup = (ids: { orgId: string | undefined; userId: string | undefined } = IDS) =>
  store.lookup(ids, (fault, key) => faults.push([fault, key]))

beforeEach(() => {
  kv = new TestKV()
  kv.put(CATALOG, catalog({}))
  kv.put(ORG, orgDocument())
  kv.put(USER, userDocument())
  now = START
  faults = []
  store = open()
})

describe('documents are read', () => {
  test('all in one operation of KV, which may keep them for 30 s', async () => {
    expect(await lookup()).toMatchObject({
      catalog: { document: { version: 87 }, readAt: START, stale: false },
      org: { document: { version: 12 } },
      user: { document: { version: 3 } },
    })
    expect(kv.reads).toEqual([[CATALOG, ORG, USER]])
    expect(kv.options).toEqual([{ type: 'text', cacheTtl: 30 }])
    expect(faults).toEqual([])
  })

  test('only of those whom the token names', async () => {
    expect(await lookup({ orgId: undefined, userId: undefined })).toMatchObject({
      org: undefined,
      user: undefined,
    })
    await lookup({ orgId: undefined, userId: 'user_1' })
    expect(kv.reads).toEqual([[CATALOG], [USER]])
  })

  test('and are current for five seconds, without KV', async () => {
    await lookup()
    kv.put(ORG, orgDocument({ version: 13 }))
    now += 4_999
    expect((await lookup()).org?.document?.version).toBe(12)
    expect(kv.reads).toHaveLength(1)
    now += 1
    expect((await lookup()).org).toMatchObject({ document: { version: 13 }, readAt: now, stale: false })
    expect(kv.reads).toHaveLength(2)
  })

  test('that are not there are an answer, kept as long, and not a fault', async () => {
    kv.values.delete(ORG)
    kv.values.delete(USER)
    expect(await lookup()).toMatchObject({ org: { document: null, stale: false }, user: { document: null } })
    await lookup()
    expect(kv.reads).toHaveLength(1)
    expect(faults).toEqual([])
  })

  test('and a document that is taken away is gone with the next reading', async () => {
    await lookup()
    kv.values.delete(ORG)
    now += 5_000
    expect((await lookup()).org).toMatchObject({ document: null, stale: false })
  })

  test('only those that are due', async () => {
    await lookup()
    await lookup({ ...IDS, orgId: 'org_other' })
    expect(kv.reads[1]).toEqual(['org:production:org_other'])
  })
})

describe('a document that cannot be read', () => {
  test.each<[string, LookupFault, () => void]>([
    ['because KV fails', 'kv_failed', () => failWith(new Error('down'))],
    ['because it is not JSON', 'document_invalid', () => kv.put(ORG, '{')],
    ['because its format is newer', 'document_invalid', () => kv.put(ORG, orgDocument({ format: 2 }))],
    [
      'because it is older than the cached one',
      'document_older',
      () => kv.put(ORG, orgDocument({ version: 11 })),
    ],
    ['because it is another one’s', 'document_invalid', () => kv.put(ORG, orgDocument({}, 'org_other'))],
  ])('%s leaves the last good one, as stale, and is named', async (_, fault, fail) => {
    await lookup()
    fail()
    now += 5_000
    expect((await lookup()).org).toMatchObject({ document: { version: 12 }, readAt: START, stale: true })
    expect(faults).toContainEqual([fault, 'org'])
  })

  test('leaves it for as long as STALE_MAX_SECONDS, and not a millisecond more', async () => {
    store = open(60)
    await lookup()
    failWith(new Error('down'))
    now += 60_000
    expect((await lookup()).org).toMatchObject({ stale: true })
    now += 1
    expect(await lookup()).toEqual({ catalog: undefined, org: undefined, user: undefined })
  })

  test('is not older for ever: after STALE_MAX_SECONDS the older one counts', async () => {
    store = open(60)
    await lookup()
    kv.put(ORG, orgDocument({ version: 11 }))
    now += 5_000
    expect((await lookup()).org).toMatchObject({ document: { version: 12 }, stale: true })
    now += 60_000
    expect((await lookup()).org).toMatchObject({ document: { version: 11 }, stale: false })
  })

  test('and never was read is nothing', async () => {
    kv.put(ORG, 'null')
    expect(await lookup()).toMatchObject({ catalog: { stale: false }, org: undefined })
    expect(faults).toEqual([['document_invalid', 'org']])
  })

  test('is asked for again after five seconds, and is fresh as soon as it is good', async () => {
    await lookup()
    kv.put(ORG, '{')
    now += 5_000
    await lookup()
    await lookup()
    expect(kv.reads, 'a moment ago it was not good either').toHaveLength(2)
    kv.put(ORG, orgDocument({ version: 14 }))
    now += 5_000
    expect((await lookup()).org).toMatchObject({ document: { version: 14 }, stale: false })
  })

  test('and comes back as it was is fresh again', async () => {
    await lookup()
    failWith(new Error('down'))
    now += 5_000
    await lookup()
    kv.fault = undefined
    now += 5_000
    expect((await lookup()).org).toMatchObject({ document: { version: 12 }, readAt: now, stale: false })
  })
})

describe('the catalog', () => {
  test('that was never published is a fault', async () => {
    kv.values.delete(CATALOG)
    expect((await lookup()).catalog).toBeUndefined()
    expect(faults).toEqual([['catalog_missing', 'catalog']])
  })

  test('that disappears leaves the last good one, as stale', async () => {
    await lookup()
    kv.values.delete(CATALOG)
    now += 5_000
    expect((await lookup()).catalog).toMatchObject({ document: { version: 87 }, stale: true })
    expect(faults).toEqual([['catalog_missing', 'catalog']])
  })
})

test('a KV that does not answer is given up', async () => {
  kv.fault = () => new Promise(() => {})
  expect(await lookup()).toEqual({ catalog: undefined, org: undefined, user: undefined })
  expect(faults.map(([fault]) => fault)).toEqual(['kv_timeout', 'kv_timeout', 'kv_timeout'])
})

test('an isolate keeps at most 4,000 documents, and forgets those that nobody asks for', async () => {
  for (let i = 0; i < 4_010; i++) await lookup({ orgId: `org_${i}`, userId: undefined })
  const reads = kv.reads.length
  await lookup({ orgId: 'org_4009', userId: undefined })
  expect(kv.reads).toHaveLength(reads)
  await lookup({ orgId: 'org_0', userId: undefined })
  expect(kv.reads.at(-1)).toEqual(['org:production:org_0'])
})

function failWith(error: Error) {
  kv.fault = () => Promise.reject(error)
}
