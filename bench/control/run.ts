/**
 * `npm run bench:control`: how the control plane carries 1,000 flags, 100,000 organizations and 300,000 grants in local
 * D1. Prints a table, writes `bench/control.json`, and fails where a page is slower, or a rebuild writes less, than
 * promised.
 *
 * Times are seen from outside, over HTTP. The raw rate of `KV.put` is measured by the same Worker in the same run, before
 * and after the rebuild, with documents of the size that a rebuild writes.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { main, Running, signalled, UsageError } from '../../dev/cli.ts'
import { startControl } from '../../dev/control.ts'
import { migrate } from '../../dev/local_d1.ts'
import { freePorts } from '../../dev/network.ts'
import { provenance } from '../machine.ts'
import { type Bounds, COST, COUNT, expectPlausible, RATIO } from '../plausible.ts'
import { type Size, seedDatabase } from './seed.ts'

const FULL: Size = { flags: 1_000, organizations: 100_000, grants: 300_000, auditRows: 10_000 }
const SHORT: Size = { flags: 400, organizations: 2_000, grants: 6_000, auditRows: 5_000 }
const PAGE_P95_MS = 200
const REBUILD_VS_RAW = 0.8
const WARM_UP = 5
const PAGES = 60
const DIFFS = 8
const RAW_PUTS = 4_000
/** Raw puts of one request, as the platform allows an invocation 1,000 operations. */
const RAW_CALL = 800

interface Measured {
  readonly p50_ms: number
  readonly p95_ms: number
  readonly d1_statements: readonly number[]
}

async function bench(size: Size, isShort: boolean): Promise<void> {
  const running = new Running()
  const stop = signalled().then((signal) => {
    throw new UsageError(`Stopped by ${signal}.`)
  })
  try {
    await Promise.race([measureAll(running, size, isShort), stop])
  } finally {
    await running.close()
  }
}

async function measureAll(running: Running, size: Size, isShort: boolean): Promise<void> {
  const persistTo = await mkdtemp(join(tmpdir(), 'remint-bench-control-'))
  running.add({ close: () => rm(persistTo, { recursive: true, force: true }) })
  console.log(`Seeding ${size.organizations} organizations and ${size.grants} grants …`)
  await migrate(persistTo)
  const key = await seedDatabase(persistTo, size)
  const [port = 0] = await freePorts(1)
  const control = running.add(
    await startControl({ port, persistTo, config: 'bench/control/wrangler.toml', bootstrap: false }),
  )
  const call = caller(control.url, key)

  const org = (i: number) => `org_${String((i * 7919) % size.organizations).padStart(6, '0')}`
  const cursor = (id: string) => Buffer.from(id).toString('base64url')
  const pages: Record<string, Measured> = {}
  const page = async (name: string, path: (i: number) => string) => {
    pages[name] = await repeat(PAGES, (i) => call('GET', path(i)))
    print(name, pages[name])
  }
  console.log('')
  for (const limit of [50, 200]) {
    const flag = (i: number) => cursor(`flag-${String((i * 97) % 800).padStart(4, '0')}`)
    await page(`inventory of ${limit}`, (i) => `/flags?limit=${limit}&cursor=${flag(i)}`)
    await page(`organizations of ${limit}`, (i) => `/orgs?limit=${limit}&cursor=${cursor(org(i))}`)
    await page(`audit of ${limit}`, (i) => `/audit?limit=${limit}&cursor=${cursor(String(1_000 + i * 100))}`)
    await page(`audit of a flag, ${limit}`, (i) => `/audit?limit=${limit}&flag=flag-0${100 + i}`)
    await page(
      `grants of ${limit}`,
      (i) => `/grants?limit=${limit}&cursor=${cursor(`grant_00${10_000 + i}`)}`,
    )
  }
  await page('organization', (i) => `/orgs/${org(i)}`)
  await page('organization explained', (i) => `/orgs/${org(i)}/entitlements?environment=production`)

  const diffs: Record<string, Measured & { organizations: number }> = {}
  for (const [name, access, percentage] of [
    ['to everybody', 'all', null],
    ['to half', 'some', 50],
    ['to nobody', 'none', null],
  ] as const) {
    let organizations = 0
    const measured = await repeat(DIFFS, async (i) => {
      const path = `/flags/flag-0${151 + i}/rules/production?dry_run=true`
      const answer = await call('PUT', path, { access, percentage, reason: 'bench' }, '"1"')
      const [change] = answer.body.effect.changes
      organizations = change.gained.organizations.count + change.lost.organizations.count
      return answer
    })
    diffs[name] = { ...measured, organizations }
    print(`effective diff, ${name} (${organizations} organizations)`, measured)
  }

  const rebuild = await measureRebuild(control.url, call, isShort ? RAW_CALL : RAW_PUTS)
  console.log(
    `\nrebuild of ${rebuild.documents} documents: ${rebuild.seconds} s, ${rebuild.documents_per_second}/s; ` +
      `raw KV.put ${rebuild.raw_puts_per_second}/s; ratio ${rebuild.ratio}`,
  )
  const slow = Object.entries(pages).filter(([, { p95_ms }]) => p95_ms > PAGE_P95_MS)
  const varying = Object.entries(pages).filter(([, { d1_statements }]) => d1_statements.length > 1)
  const result = { ...provenance(), size, pages, diffs, rebuild }
  expectPlausible(...figuresOf(pages, diffs, rebuild))
  // What varies with the size, or is too short to be a rate, is looked at in full runs only.
  if (isShort) {
    if (varying.length > 0) throw new UsageError('The number of D1 statements of a page varies.')
    return
  }
  await writeFile(join(import.meta.dirname, '../control.json'), `${JSON.stringify(result, null, 2)}\n`)
  const broken = [
    ...slow.map(([name]) => `${name}: p95 over ${PAGE_P95_MS} ms`),
    ...varying.map(([name]) => `${name}: the number of D1 statements varies`),
    ...(rebuild.ratio < REBUILD_VS_RAW ? [`rebuild: under ${REBUILD_VS_RAW} of the raw rate`] : []),
  ]
  if (broken.length > 0) throw new UsageError(broken.join('\n'))
}

/** Every figure there must be, and within what. */
function figuresOf(
  pages: Record<string, Measured>,
  diffs: Record<string, Measured & { organizations: number }>,
  rebuild: Awaited<ReturnType<typeof measureRebuild>>,
): [Record<string, number>, Record<string, Bounds>] {
  const figures: Record<string, number> = {}
  const bounds: Record<string, Bounds> = {}
  const add = (name: string, value: number, within: Bounds) => {
    figures[name] = value
    bounds[name] = within
  }
  for (const [name, { p50_ms, p95_ms, d1_statements }] of Object.entries({ ...pages, ...diffs })) {
    add(`${name}, p50`, p50_ms, COST)
    add(`${name}, p95`, p95_ms, COST)
    for (const statements of d1_statements)
      add(`${name}, statements`, statements, { atLeast: 1, atMost: 1_000 })
  }
  for (const [name, { organizations }] of Object.entries(diffs))
    add(`${name}, organizations`, organizations, COUNT)
  add('documents', rebuild.documents, COUNT)
  add('documents a second', rebuild.documents_per_second, COUNT)
  add('rebuild against raw puts', rebuild.ratio, RATIO)
  return [figures, bounds]
}

type Call = ReturnType<typeof caller>

function caller(url: string, key: string) {
  return async (method: string, path: string, body?: object, ifMatch?: string) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body && { 'content-type': 'application/json' }),
        ...(ifMatch && { 'if-match': ifMatch }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`)
    const statements = /(\d+) statements/.exec(response.headers.get('server-timing') ?? '')?.[1]
    return { body: JSON.parse(text), statements: Number(statements) }
  }
}

async function repeat(count: number, one: (i: number) => Promise<{ statements: number }>): Promise<Measured> {
  const times: number[] = []
  const statements = new Set<number>()
  for (let i = 0; i < count + WARM_UP; i++) {
    const startedAt = performance.now()
    const answer = await one(i)
    if (i < WARM_UP) continue
    times.push(performance.now() - startedAt)
    statements.add(answer.statements)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => Math.round((times[Math.ceil(share * times.length) - 1] ?? 0) * 10) / 10
  return { p50_ms: at(0.5), p95_ms: at(0.95), d1_statements: [...statements] }
}

function print(name: string, { p50_ms, p95_ms, d1_statements }: Measured): void {
  console.log(
    `${name.padEnd(56)} p50 ${p50_ms.toFixed(1).padStart(7)} ms   p95 ${p95_ms.toFixed(1).padStart(7)} ms   ${d1_statements.join('/')} D1 statements`,
  )
}

async function measureRebuild(url: string, call: Call, puts: number) {
  const org = { format: 1, version: 1, contracts: ['x'.repeat(130)], grants: ['x'.repeat(480)] }
  const text = JSON.stringify(org)
  const rawBefore = await rawRate(url, text, 0, puts)
  await call('POST', '/publishing/production/rebuild', {})
  let last = 0
  for (;;) {
    await sleep(1_000)
    const { body } = await call('GET', '/publishing')
    const { rebuild } = body.data[1]
    if (rebuild.written - last > 20_000) {
      last = rebuild.written
      console.log(`  ${rebuild.written} of ${rebuild.total}`)
    }
    if (rebuild.finished_at === null) continue
    const seconds = (Date.parse(rebuild.finished_at) - Date.parse(rebuild.started_at)) / 1000
    const rate = rebuild.total / seconds
    const raw = (rawBefore + (await rawRate(url, text, puts, puts))) / 2
    return {
      documents: rebuild.total,
      seconds,
      documents_per_second: Math.round(rate),
      raw_puts_per_second: Math.round(raw),
      ratio: Math.round((rate / raw) * 100) / 100,
    }
  }
}

/** Puts a second of keys that are new, over several calls as a rebuild takes several invocations. */
async function rawRate(url: string, text: string, first: number, puts: number): Promise<number> {
  const startedAt = performance.now()
  for (let done = 0; done < puts; done += RAW_CALL) {
    const response = await fetch(`${url}/bench/put?first=${first + done}&count=${RAW_CALL}`, {
      method: 'POST',
      body: text,
    })
    if (!response.ok) throw new Error(`raw puts answered ${response.status}`)
  }
  return puts / ((performance.now() - startedAt) / 1000)
}

const { values } = parseArgs({
  options: { help: { type: 'boolean', short: 'h' }, short: { type: 'boolean', default: false } },
})
if (values.help) {
  console.log(
    'npm run bench:control\n\n  --short  a fiftieth of everything, to see that the bench itself works; control.json is left alone\n',
  )
} else {
  await main(() => bench(values.short ? SHORT : FULL, values.short))
}
