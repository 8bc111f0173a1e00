/**
 * `npm run bench:mint-log`: what the mint log costs a refresh, and that it loses nothing.
 *
 * The same gateway with the queue and without it take turns in slices of refreshes, in one run: as fast as they can, where
 * two busy cores show what everything costs together, and at a pace that leaves the machine idle most of the time, where a
 * client's wait shows. Then everything that the queue was sent goes through a real queue to the control plane's consumer,
 * half of whose batches fail, and what D1 has is compared with the tokens that clients were given. Times are printed and
 * never judged; a token that is lost or stored twice is.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { decodeJwt } from 'jose'
import type { MintEvent } from '../src/core/mint_event.ts'
import { run } from './load.ts'
import { provenance } from './machine.ts'
import { store } from './mint_log_store.ts'
import { COST, COUNT, implausible, RATIO } from './plausible.ts'
import { PAGE } from './queue.ts'
import { checkMinted, refreshRequest } from './refresh.ts'
import { median } from './rounds.ts'
import { type Stage, setStage } from './stage.ts'
import type { RunningWorker } from './workerd.ts'

const ORGANIZATIONS = 1_000
const SLICE_MAX_SECONDS = 120
const WARM_UP = 500
const SHORT_MINTS = 1_000
/** Sends are given up on when nothing new has arrived for so long. */
const STALLED_MS = 30_000
const POLL_MS = 500

interface Pace {
  readonly connections: number
  /** Between an answer and the connection's next request. */
  readonly pauseMs: number
  /** Refreshes. */
  readonly slice: number
}

const PACES = {
  'as fast as they can': { connections: 32, pauseMs: 0, slice: 250 },
  'at an easy pace': { connections: 4, pauseMs: 25, slice: 100 },
} satisfies Record<string, Pace>
/** Of the refreshes, so many are at an easy pace. */
const EASY_SHARE = 0.1

const FIGURES = ['per_second', 'p50_ms', 'p99_ms', 'cpu_us'] as const
type Slice = Readonly<Record<(typeof FIGURES)[number], number>>

interface Contender {
  readonly worker: RunningWorker & { readonly issuer: string }
  /** Of every token that a client was given. */
  readonly jtis: string[]
}

async function contender(stage: Stage, name: 'mint-log' | 'gateway'): Promise<Contender> {
  const made = { worker: await stage.start(name), jtis: [] }
  await refresh(stage, made, PACES['as fast as they can'], WARM_UP)
  return made
}

async function refresh(stage: Stage, { worker, jtis }: Contender, pace: Pace, count: number): Promise<Slice> {
  let left = count
  const next = () => (left-- > 0 ? refreshRequest(left % ORGANIZATIONS) : undefined)
  const onBody = (body: string) => {
    jtis.push(String(decodeJwt(JSON.parse(body).access_token).jti))
  }
  const before = worker.cpuMicroseconds()
  const result = await run({ ...pace, port: worker.port, seconds: SLICE_MAX_SECONDS, next, onBody })
  const cpu = worker.cpuMicroseconds() - before
  if (result.requests !== count) throw new Error(`${worker.name}: ${result.requests} of ${count} refreshes`)
  for (const body of result.samples) await checkMinted(stage, worker.issuer, body)
  const at = (share: number) => percentile(result.milliseconds, share)
  return { per_second: count / result.seconds, p50_ms: at(0.5), p99_ms: at(0.99), cpu_us: cpu / count }
}

interface Compared {
  /** Medians of the slices. */
  readonly with: number
  readonly without: number
  /** The median of the ratios of two slices beside each other. */
  readonly ratio: number
  /** What the ratio is within with 95 % confidence, by the ranks of the slices' ratios: the noise of the run. */
  readonly at_least: number
  readonly at_most: number
}

/** Slices by turns, and the turns by turns. */
async function compare(
  stage: Stage,
  told: Contender,
  silent: Contender,
  pace: Pace,
  refreshes: number,
): Promise<Record<string, Compared>> {
  const slices = new Map<Contender, Slice[]>([
    [told, []],
    [silent, []],
  ])
  for (let done = 0, slice = 0; done < refreshes; done += pace.slice, slice++) {
    const count = Math.min(pace.slice, refreshes - done)
    for (const one of slice % 2 === 0 ? [told, silent] : [silent, told])
      slices.get(one)?.push(await refresh(stage, one, pace, count))
  }
  const compared = FIGURES.map((figure) => {
    const [ours = [], theirs = []] = [told, silent].map((one) => slices.get(one)?.map((s) => s[figure]))
    const ratios = ours.map((value, i) => value / (theirs[i] ?? Number.NaN)).toSorted((a, b) => a - b)
    // Ranks of a binomial's middle 95 %: 1.96 standard deviations of sqrt(n) / 2.
    const outside = Math.max(0, Math.floor(ratios.length / 2 - 0.98 * Math.sqrt(ratios.length)))
    const [at_least = Number.NaN, at_most = Number.NaN] = [ratios[outside], ratios.at(-1 - outside)]
    const medians = { with: median(ours), without: median(theirs), ratio: median(ratios) }
    return [figure, { ...medians, at_least, at_most }] as const
  })
  return Object.fromEntries(compared)
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

/** Batches stay under way for a moment after the last answer. */
async function settledEvents(stage: Stage, expected: number): Promise<MintEvent[]> {
  const deadline = Date.now() + STALLED_MS
  for (;;) {
    const events = await sentEvents(stage)
    if (events.length >= expected || Date.now() > deadline) return events
    await sleep(POLL_MS)
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
}

function print(name: string, compared: Record<string, Compared>): void {
  const cell = (value: number | string) =>
    (typeof value === 'string' ? value : value.toFixed(value < 100 ? 3 : 0)).padStart(12)
  const line = (label: string, ...cells: (number | string)[]) =>
    console.log(`  ${label.padEnd(22)}${cells.map(cell).join('')}`)
  console.log('')
  line(name, 'with queue', 'without', 'ratio', 'at least', 'at most')
  for (const [figure, { with: told, without, ratio, at_least, at_most }] of Object.entries(compared))
    line(figure, told, without, ratio, at_least, at_most)
}

async function bench(mints: number, isShort: boolean): Promise<boolean> {
  const started = performance.now()
  const progress = (line: string) =>
    console.log(`${`${((performance.now() - started) / 1000).toFixed(0)} s`.padStart(6)}  ${line}`)
  progress('bundling')
  const stage = await setStage(['mint-log', 'gateway'])
  const told = await contender(stage, 'mint-log')
  const silent = await contender(stage, 'gateway')
  const easy = Math.ceil(mints * EASY_SHARE)
  const times: Record<string, Record<string, Compared>> = {}
  for (const [name, pace] of Object.entries(PACES)) {
    const refreshes = pace.pauseMs > 0 ? easy : mints - easy
    progress(`${refreshes} refreshes each, ${name}`)
    times[name] = await compare(stage, told, silent, pace, refreshes)
  }
  const events = await settledEvents(stage, told.jtis.length)
  for (const { worker } of [told, silent]) await worker.stop()
  for (const [name, compared] of Object.entries(times)) print(name, compared)

  console.log('')
  progress(`${events.length} events to a consumer that fails half of its batches`)
  const dropped = events.reduce((sum, event) => sum + (event.type === 'token.dropped' ? event.count : 0), 0)
  const { jtis: stored, losses, batches } = await store(events, told.jtis.length)
  const distinct = new Set(stored)
  const lost = told.jtis.filter((jti) => !distinct.has(jti)).length
  const twice = stored.length - distinct.size
  const counted = losses.reduce((sum, { count }) => sum + count, 0)
  console.log(`\n  minted: ${told.jtis.length}, sent: ${events.length}, told as dropped: ${dropped}`)
  console.log(
    `  stored: ${stored.length}, counted as lost: ${counted}, ${batches} batches, half of which failed`,
  )
  console.log(`  lost: ${lost}, twice: ${twice}`)
  const log = { minted: told.jtis.length, sent: events.length, dropped, stored: stored.length, batches }
  const results = { ...provenance(), times, log: { ...log, lost, twice } }
  const problems = Object.entries(times).flatMap(([name, compared]) =>
    FIGURES.flatMap((figure) => {
      const { with: told = Number.NaN, without = Number.NaN, ratio = Number.NaN } = compared[figure] ?? {}
      const of = (what: string) => `${figure} ${what}, ${name}`
      const within = figure === 'per_second' ? COUNT : COST
      return implausible(
        { [of('with')]: told, [of('without')]: without, [of('ratio')]: ratio },
        { [of('with')]: within, [of('without')]: within, [of('ratio')]: RATIO },
      )
    }),
  )
  for (const problem of problems) console.log(`  ${problem}`)
  const isRight =
    lost === 0 && twice === 0 && counted === dropped && stored.length > 0 && problems.length === 0
  if (isShort) return isRight
  const round = (_: string, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(5)) : value
  await writeFile(join(import.meta.dirname, 'mint_log.json'), `${JSON.stringify(results, round, 2)}\n`)
  return isRight
}

const HELP = `Usage: npm run bench:mint-log -- [options]

  --mints N   refreshes with the queue, and as many without (default 50000)
  --short     ${SHORT_MINTS}, to see that the bench itself works; mint_log.json is left alone
  --help      this text`

const { values } = parseArgs({
  options: {
    mints: { type: 'string', default: '50000' },
    short: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const mints = values.short ? SHORT_MINTS : Number(values.mints)
if (values.help || !(Number.isInteger(mints) && mints > 0)) {
  console.log(HELP)
  process.exit(values.help ? 0 : 2)
}
process.exit((await bench(mints, values.short)) ? 0 : 1)
