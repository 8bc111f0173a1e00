/**
 * `npm run bench:mint-log`: what the mint log costs a refresh, and that it loses nothing.
 *
 * The same gateway with the queue and without it take turns in slices of refreshes, in one run. Then everything that the
 * queue was sent goes through a real queue to a consumer that fails half of its batches, and what it has stored is compared
 * with the tokens that clients were given. Times are printed and never judged; a token that is lost or stored twice is.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { decodeJwt } from 'jose'
import { runWorker, type WorkerProcess } from '../dev/wrangler.ts'
import type { MintEvent } from '../src/core/mint_event.ts'
import { type LoadResult, run } from './load.ts'
import { PAGE } from './queue.ts'
import { checkMinted, refreshRequest } from './refresh.ts'
import { median } from './rounds.ts'
import { type Stage, setStage } from './stage.ts'
import { freePorts, type RunningWorker } from './workerd.ts'

const ORGANIZATIONS = 1_000
const CONNECTIONS = 32
const SLICE = 1_000
const SLICE_MAX_SECONDS = 120
const WARM_UP = 500
/** As many messages as a queue takes at once. */
const SEND_BATCH = 100
/** The consumer is given up on when it has stored nothing new for so long. */
const STALLED_MS = 30_000
const READY_MS = 60_000
const POLL_MS = 500

interface Contender {
  readonly worker: RunningWorker & { readonly issuer: string }
  readonly perSecond: number[]
  readonly milliseconds: number[]
  cpuMicroseconds: number
  refreshes: number
  /** Of every token that a client was given. */
  readonly jtis: string[]
}

async function contender(stage: Stage, name: 'mint-log' | 'gateway'): Promise<Contender> {
  const worker = await stage.start(name)
  const made = { worker, perSecond: [], milliseconds: [], cpuMicroseconds: 0, refreshes: 0, jtis: [] }
  await refresh(stage, made, WARM_UP)
  return made
}

async function refresh(stage: Stage, { worker, jtis }: Contender, count: number): Promise<LoadResult> {
  let left = count
  const next = () => (left-- > 0 ? refreshRequest(left % ORGANIZATIONS) : undefined)
  const onBody = (body: string) => {
    jtis.push(String(decodeJwt(JSON.parse(body).access_token).jti))
  }
  const load = { port: worker.port, connections: CONNECTIONS, seconds: SLICE_MAX_SECONDS, next, onBody }
  const result = await run(load)
  if (result.requests !== count) throw new Error(`${worker.name}: ${result.requests} of ${count} refreshes`)
  for (const body of result.samples) await checkMinted(stage, worker.issuer, body)
  return result
}

async function measure(stage: Stage, contender: Contender, count: number): Promise<void> {
  const before = contender.worker.cpuMicroseconds()
  const { seconds, milliseconds } = await refresh(stage, contender, count)
  contender.cpuMicroseconds += contender.worker.cpuMicroseconds() - before
  contender.refreshes += count
  contender.perSecond.push(count / seconds)
  contender.milliseconds.push(...milliseconds)
}

/** Everything that the queue was sent. */
async function sentEvents(stage: Stage): Promise<MintEvent[]> {
  const events: MintEvent[] = []
  for (;;) {
    const page = (await (await fetch(`${stage.queueUrl}/events?from=${events.length}`)).json()) as MintEvent[]
    events.push(...page)
    if (page.length < PAGE) return events
  }
}

/** Sends stay under way for a moment after the last answer. */
async function settledEvents(stage: Stage, expected: number): Promise<MintEvent[]> {
  const deadline = Date.now() + STALLED_MS
  for (;;) {
    const events = await sentEvents(stage)
    if (events.length >= expected || Date.now() > deadline) return events
    await sleep(POLL_MS)
  }
}

interface Consumed {
  readonly stored: readonly string[]
  readonly batches: number
}

/** Puts the events into a real queue and waits until its consumer has stored them, or gives up. */
async function consume(events: readonly MintEvent[], expected: number): Promise<Consumed> {
  const persistTo = await mkdtemp(join(tmpdir(), 'remint-bench-mint-log-'))
  const [port = 0] = await freePorts(1)
  const worker = await runWorker({ config: 'bench/mint_log.wrangler.toml', port, persistTo })
  const url = `http://127.0.0.1:${port}`
  try {
    await ready(url, worker)
    for (let from = 0; from < events.length; from += SEND_BATCH) {
      const body = JSON.stringify(events.slice(from, from + SEND_BATCH))
      const sent = await fetch(`${url}/send`, { method: 'POST', body })
      if (!sent.ok) throw new Error(`the queue refused a batch: ${sent.status}`)
    }
    const { batches } = await drained(url, expected)
    return { stored: (await (await fetch(`${url}/stored`)).json()) as string[], batches }
  } finally {
    await worker.close()
    await rm(persistTo, { recursive: true, force: true })
  }
}

async function ready(url: string, worker: WorkerProcess): Promise<void> {
  const deadline = Date.now() + READY_MS
  while (Date.now() < deadline && worker.running()) {
    if ((await fetch(`${url}/count`).catch(() => null))?.ok) return
    await sleep(POLL_MS)
  }
  throw new Error(`the consumer did not start:\n${worker.output()}`)
}

async function drained(url: string, expected: number): Promise<{ rows: number; batches: number }> {
  let last = { rows: -1, batches: 0 }
  let changedAt = Date.now()
  for (;;) {
    const count = (await (await fetch(`${url}/count`)).json()) as typeof last
    if (count.rows !== last.rows) changedAt = Date.now()
    // A batch may have been stored and be on its way again: what is stored twice shows a little later.
    const isQuiet = count.batches === last.batches && count.rows >= expected
    last = count
    if (isQuiet || Date.now() - changedAt > STALLED_MS) return count
    await sleep(2 * POLL_MS + 1_000)
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
}

function printTimes(told: Contender, silent: Contender): void {
  const row = (name: string, figure: (one: Contender) => number, ratio: number, digits = 2) =>
    console.log(
      `  ${name.padEnd(26)}${[figure(told), figure(silent)].map((n) => n.toFixed(digits).padStart(12)).join('')}` +
        ratio.toFixed(3).padStart(10),
    )
  const divided = (figure: (one: Contender) => number) => figure(told) / figure(silent)
  const perSecond = ({ perSecond }: Contender) => median(perSecond)
  const paired = told.perSecond.map((value, slice) => value / (silent.perSecond[slice] ?? Number.NaN))
  const at = (share: number) => (one: Contender) => percentile(one.milliseconds, share)
  const cpu = ({ cpuMicroseconds, refreshes }: Contender) => cpuMicroseconds / refreshes
  console.log(
    `\n  ${''.padEnd(26)}${'with queue'.padStart(12)}${'without'.padStart(12)}${'ratio'.padStart(10)}`,
  )
  row('refreshes a second', perSecond, median(paired), 0)
  row('p50, ms', at(0.5), divided(at(0.5)))
  row('p99, ms', at(0.99), divided(at(0.99)))
  row('CPU of the gateway, µs', cpu, divided(cpu), 0)
}

async function bench(mints: number): Promise<boolean> {
  const started = performance.now()
  const progress = (line: string) =>
    console.log(`${`${((performance.now() - started) / 1000).toFixed(0)} s`.padStart(6)}  ${line}`)
  progress('bundling')
  const stage = await setStage(['mint-log', 'gateway'])
  const told = await contender(stage, 'mint-log')
  const silent = await contender(stage, 'gateway')
  const slices = Math.ceil(mints / SLICE)
  for (let slice = 0; slice < slices; slice++) {
    const count = Math.min(SLICE, mints - slice * SLICE)
    for (const one of slice % 2 === 0 ? [told, silent] : [silent, told]) await measure(stage, one, count)
    if (slice % 10 === 9 || slice === slices - 1)
      progress(`${Math.min(mints, (slice + 1) * SLICE)} mints each`)
  }
  const events = await settledEvents(stage, told.jtis.length)
  for (const { worker } of [told, silent]) await worker.stop()
  printTimes(told, silent)

  progress(`${events.length} events to a consumer that fails half of its batches`)
  const dropped = events.reduce((sum, event) => sum + (event.type === 'token.dropped' ? event.count : 0), 0)
  const { stored, batches } = await consume(events, told.jtis.length)
  const distinct = new Set(stored)
  const lost = told.jtis.filter((jti) => !distinct.has(jti)).length
  const twice = stored.length - distinct.size
  console.log(`\n  minted: ${told.jtis.length}, sent: ${events.length}, told as dropped: ${dropped}`)
  console.log(`  stored: ${stored.length}, in ${batches} batches, half of which failed`)
  console.log(`  lost: ${lost}, twice: ${twice}\n`)
  return lost === 0 && twice === 0
}

const HELP = `Usage: npm run bench:mint-log -- [options]

  --mints N   refreshes with the queue, and as many without (default 50000)
  --help      this text`

const { values } = parseArgs({
  options: { mints: { type: 'string', default: '50000' }, help: { type: 'boolean', default: false } },
})
const mints = Number(values.mints)
if (values.help || !(Number.isInteger(mints) && mints > 0)) {
  console.log(HELP)
  process.exit(values.help ? 0 : 2)
}
process.exit((await bench(mints)) ? 0 : 1)
