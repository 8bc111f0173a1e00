/**
 * Entitlement documents as they come and go: KV fails, is slow, or holds what nobody can read, and the session survives
 * every time, with the named fall-back in its token. The gateway's clock is in the test's hands.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { PROJECT } from '../../dev/wrangler.ts'
import { type MockIdp, refreshRequest, startMockIdp } from './support/mock_idp.ts'
import { ACME_FLAGS, claimsOf, EVERYBODY_FLAGS, type TestGateway } from './support/stage.ts'
import { openGateway, startKv, type TestKv } from './support/workerd.ts'

const running = new Running()
/** How long the gateway keeps a document without asking KV again. */
const CURRENT_MS = 5_000
const CATALOG = 'catalog:production'
const ORG = 'org:production:org_acme'

let bundle: string
let upstream: MockIdp

beforeAll(async () => {
  bundle = await mkdtemp(join(tmpdir(), 'remint-bundle-'))
  running.add({ close: () => rm(bundle, { recursive: true, force: true }) })
  await build({
    entryPoints: [join(PROJECT, 'test/gateway/support/moving_clock.ts')],
    ...{ bundle: true, format: 'esm', outfile: join(bundle, 'gateway.js') },
  })
  upstream = running.add(await startMockIdp())
})
afterAll(() => running.close())

/** A gateway that has read nothing yet, with a KV of its own. */
async function open(vars: Record<string, string> = {}): Promise<{ kv: TestKv; gateway: TestGateway }> {
  const kv = await startKv(running)
  const gateway = await openGateway(
    running,
    { bundle, kv },
    {
      vars: { UPSTREAM_ORIGIN: upstream.url, UPSTREAM_ISSUER: upstream.url, ...vars },
    },
  )
  return { kv, gateway }
}

/** Lets enough time pass for a gateway that its documents are no longer current. */
const age = ({ url }: TestGateway) => fetch(`${url}/__clock`, { method: 'PUT', body: String(CURRENT_MS) })

/** Refreshes and returns the flags in the token; the refresh itself always works. */
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
      /(kv_failed|kv_timeout|document_invalid|catalog_missing) (catalog|org)/,
    )
  })

  test('takes an organization without a document for one without grants', async () => {
    const { kv, gateway } = await open()
    kv.documents.delete(ORG)
    expect(await refresh(gateway)).toMatchObject({ src: 'fresh', flags: EVERYBODY_FLAGS, ver: '1.0' })
  })
})

describe.concurrent('a gateway that has read good documents', () => {
  test.each(Object.entries(faults))(
    'goes on with them when %s, and is fresh again after it',
    async (_, spoil) => {
      const { kv, gateway } = await open()
      const published = new Map(kv.documents)
      const good = { flags: ACME_FLAGS, ver: '1.1' }
      expect(await refresh(gateway)).toMatchObject({ ...good, src: 'fresh' })
      spoil(kv)
      await age(gateway)
      expect(await refresh(gateway)).toMatchObject({ ...good, src: 'stale' })
      kv.fault = undefined
      for (const [key, document] of published) kv.documents.set(key, document)
      await age(gateway)
      expect(await refresh(gateway)).toMatchObject({ ...good, src: 'fresh' })
    },
  )

  test('uses them no longer than STALE_MAX_SECONDS when KV fails', async () => {
    const { kv, gateway } = await open({ STALE_MAX_SECONDS: '1' })
    expect(await refresh(gateway)).toMatchObject({ src: 'fresh', flags: ACME_FLAGS })
    kv.fault = (response) => response.writeHead(500).end()
    await age(gateway)
    expect(await refresh(gateway)).toMatchObject({ src: 'degraded', flags: [] })
  })

  test('shows a change within five seconds, and reads once in that time', async () => {
    const { kv, gateway } = await open()
    for (let turn = 0; turn < 10; turn++) await refresh(gateway)
    expect(kv.reads).toBe(1)
    const catalog = JSON.parse(kv.documents.get(CATALOG) as string)
    catalog.flags.sso.killed = true
    kv.documents.set(CATALOG, JSON.stringify({ ...catalog, version: 2 }))
    await age(gateway)
    expect(await refresh(gateway)).toMatchObject({
      src: 'fresh',
      ver: '2.1',
      flags: ACME_FLAGS.filter((flag) => flag !== 'sso'),
    })
    expect(kv.reads).toBe(2)
  })
})
