/**
 * Entitlement documents as they come and go: KV fails, is slow, or holds what nobody can read, and the session survives
 * every time, with the named fall-back in its token.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { type MockIdp, refreshRequest, startMockIdp } from './support/mock_idp.ts'
import { ACME_FLAGS, claimsOf, EVERYBODY_FLAGS, type TestGateway } from './support/stage.ts'
import { openGateway, openStage, type Stage, startKv, type TestKv } from './support/workerd.ts'

const running = new Running()
/** How long the gateway keeps a document without asking KV again, and a little. */
const CURRENT_MS = 5_200
const CATALOG = 'catalog:production'
const ORG = 'org:production:org_acme'

let stage: Stage
let upstream: MockIdp

beforeAll(async () => {
  stage = await openStage(running, inject('bundles').gateway)
  upstream = running.add(await startMockIdp())
  stories = {
    faults: new Map(Object.entries(faults).map(([name, spoil]) => [name, begin(faultAndRecovery(spoil))])),
    expiry: begin(expiry()),
    change: begin(change()),
  }
})
afterAll(() => running.close())

/** What takes as long as a document is kept is begun at once and looked at later; only the test hears of its failure. */
let stories: {
  faults: Map<string, ReturnType<typeof faultAndRecovery>>
  expiry: ReturnType<typeof expiry>
  change: ReturnType<typeof change>
}

function begin<T>(story: Promise<T>): Promise<T> {
  story.catch(() => {})
  return story
}

async function faultAndRecovery(spoil: Fault) {
  const { kv, gateway } = await open()
  const good = new Map(kv.documents)
  const before = await refresh(gateway)
  spoil(kv)
  await sleep(CURRENT_MS)
  const during = await refresh(gateway)
  kv.fault = undefined
  for (const [key, document] of good) kv.documents.set(key, document)
  await sleep(CURRENT_MS)
  return [before, during, await refresh(gateway)]
}

async function expiry() {
  const { kv, gateway } = await open({ STALE_MAX_SECONDS: '1' })
  const before = await refresh(gateway)
  kv.fault = (response) => response.writeHead(500).end()
  await sleep(CURRENT_MS)
  return [before, await refresh(gateway)]
}

async function change() {
  const { kv, gateway } = await open()
  const startedAt = Date.now()
  for (let turn = 0; turn < 10; turn++) await refresh(gateway)
  const readsBefore = kv.reads
  const keptSets = 1 + Math.floor((Date.now() - startedAt) / 5_000)
  const catalog = JSON.parse(kv.documents.get(CATALOG) as string)
  catalog.flags.sso.killed = true
  kv.documents.set(CATALOG, JSON.stringify({ ...catalog, version: 2 }))
  await sleep(CURRENT_MS)
  const changed = await refresh(gateway)
  return { keptSets, readsBefore, changed, readsAfter: kv.reads }
}

/** A gateway that has read nothing yet, with a KV of its own. */
async function open(vars: Record<string, string> = {}): Promise<{ kv: TestKv; gateway: TestGateway }> {
  const kv = await startKv(running)
  const gateway = await openGateway(
    running,
    { ...stage, kv },
    {
      vars: { UPSTREAM_ORIGIN: upstream.url, UPSTREAM_ISSUER: upstream.url, ...vars },
    },
  )
  return { kv, gateway }
}

/** Refreshes and gives what the token says about flags; the refresh itself always works. */
async function refresh({ url }: TestGateway) {
  const response = await fetch(`${url}/token`, refreshRequest())
  expect(response.status).toBe(200)
  const body = (await response.json()) as { access_token: string; refresh_token: string }
  expect(body.refresh_token).toMatch(/./)
  const { feature_flags: flags, feature_flags_meta: meta, jti } = claimsOf(body.access_token)
  return { flags, src: meta.src, ver: meta.ver, jti }
}

type Fault = (kv: TestKv) => void
const cut =
  (key: string): Fault =>
  ({ documents }) =>
    documents.set(key, (documents.get(key) as string).slice(0, -10))
const faults: Record<string, Fault> = {
  'KV answers 500': (kv) => {
    kv.fault = (response) => response.writeHead(500).end()
  },
  'KV hangs': (kv) => {
    kv.fault = () => {}
  },
  'KV drops the connection': (kv) => {
    kv.fault = (response) => response.socket?.destroy()
  },
  'the organization’s document is cut off': cut(ORG),
  'the organization’s document is of a format to come': ({ documents }) =>
    documents.set(ORG, JSON.stringify({ ...JSON.parse(documents.get(ORG) as string), format: 2 })),
  'the organization’s document is another one’s': ({ documents }) =>
    documents.set(ORG, documents.get('org:production:org_globex') as string),
  'the catalog is cut off': cut(CATALOG),
  'there is no catalog': ({ documents }) => documents.delete(CATALOG),
}

/** What is left without any document: what is on for everybody, if the catalog says so. */
const DEGRADED: Record<keyof typeof faults, string[]> = {
  'the organization’s document is cut off': EVERYBODY_FLAGS,
  'the organization’s document is of a format to come': EVERYBODY_FLAGS,
  'the organization’s document is another one’s': EVERYBODY_FLAGS,
}

describe.concurrent('a gateway that has just started', () => {
  test.each(Object.keys(faults))('keeps the session with the least of flags when %s', async (name) => {
    const { kv, gateway } = await open()
    faults[name]?.(kv)
    const { flags, src, jti } = await refresh(gateway)
    expect([src, flags]).toEqual(['degraded', DEGRADED[name] ?? []])
    const line = await gateway.logged((one) => one.jti === jti)
    expect(line).toMatchObject({ level: 'warn', src: 'degraded', status: 200 })
    expect(line.warnings?.join()).toMatch(
      /(kv_failed|kv_timeout|document_invalid|catalog_missing) \w+:production/,
    )
  })

  test('takes an organization without a document for one without grants', async () => {
    const { kv, gateway } = await open()
    kv.documents.delete(ORG)
    expect(await refresh(gateway)).toMatchObject({ src: 'fresh', flags: EVERYBODY_FLAGS, ver: '1.0' })
  })
})

describe('a gateway that has read good documents', () => {
  test.each(Object.keys(faults))('goes on with them when %s, and is fresh again after it', async (name) => {
    const good = { flags: ACME_FLAGS, ver: '1.1' }
    expect(await stories.faults.get(name)).toMatchObject([
      { ...good, src: 'fresh' },
      { ...good, src: 'stale' },
      { ...good, src: 'fresh' },
    ])
  })

  test('uses them no longer than STALE_MAX_SECONDS when KV fails', async () => {
    expect(await stories.expiry).toMatchObject([
      { src: 'fresh', flags: ACME_FLAGS },
      { src: 'degraded', flags: [] },
    ])
  })

  test('shows a change within five seconds, and reads once in that time', async () => {
    const { keptSets, readsBefore, changed, readsAfter } = await stories.change
    expect(readsBefore).toBeLessThanOrEqual(keptSets)
    expect(changed).toMatchObject({
      src: 'fresh',
      ver: '2.1',
      flags: ACME_FLAGS.filter((flag) => flag !== 'sso'),
    })
    expect(readsAfter).toBe(readsBefore + 1)
  })
})
