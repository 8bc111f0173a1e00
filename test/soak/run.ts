/**
 * `npm run soak`: endurance. First thousands of sessions on a bad network; then contract sync under load, and the control
 * plane killed in between: thousands of events at a steady rate, shuffled, some of them twice, sent again until they are
 * taken, as vendors do; to the real Worker with a real D1.
 *
 * No session may end. No event may be lost and the final state must be right, which a model of its own says. The last line
 * is `lost: N, wrong: N`, and only two zeros are a success.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { main, Running, signalled, UsageError } from '../../dev/cli.ts'
import { type LocalControl, startControl } from '../../dev/control.ts'
import { ControlClient } from '../../dev/control_client.ts'
import { freePorts, isFree } from '../../dev/network.ts'
import { compare, readInbox } from './compare.ts'
import { timeDowngrades } from './publication.ts'
import { type Report, sendAll } from './sender.ts'
import { soakSessions } from './sessions.ts'
import { FLAGS, makeStream, PLANS, type Stream } from './stream.ts'

interface Options {
  events: number
  rate: number
  kills: number
  seed: number
  sessions: number
}

/** Within this, what waited for others is applied and all is published. */
const DRAIN_MS = 120_000
const SHOWN = 10

/** The control plane, that can be killed and comes back on the same state and port. */
class Plane {
  readonly #port: number
  readonly #start: (migrate: boolean) => Promise<LocalControl>
  #control: LocalControl | undefined
  kills = 0
  /** For how long it was not there, in all. */
  away = 0

  constructor(port: number, start: (migrate: boolean) => Promise<LocalControl>) {
    this.#port = port
    this.#start = start
  }

  async open(): Promise<ControlClient> {
    this.#control = await this.#start(true)
    return new ControlClient(this.#control.url, this.#control.key)
  }

  async killAndRestart(): Promise<void> {
    const from = Date.now()
    await this.#control?.kill()
    this.kills++
    // What has been killed holds its port for a moment more.
    while (!(await isFree(this.#port))) await sleep(50)
    this.#control = await this.#start(false)
    this.away += Date.now() - from
    console.log(`  killed, and back after ${seconds(Date.now() - from)}`)
  }

  async close(): Promise<void> {
    await this.#control?.close()
  }
}

async function soak(options: Options): Promise<void> {
  const running = new Running()
  const stopped = signalled().then((signal) => {
    throw new UsageError(`Stopped by ${signal}.`)
  })
  try {
    await Promise.race([run(options, running), stopped])
  } finally {
    await running.close()
  }
}

async function run({ events, rate, kills, seed, sessions }: Options, running: Running): Promise<void> {
  if (sessions > 0 && (await soakSessions(running, sessions)) > 0) process.exitCode = 1
  if (events === 0) return
  const persistTo = await mkdtemp(join(tmpdir(), 'remint-soak-'))
  running.add({ close: () => rm(persistTo, { recursive: true, force: true, maxRetries: 5 }) })
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const secrets = join(persistTo, 'secrets.env')
  await writeFile(secrets, `STANDARD_WEBHOOK_SECRETS=${secret}\n`, { mode: 0o600 })
  const [port = 0] = await freePorts(1)
  const plane = running.add(
    new Plane(port, (migrate) => startControl({ port, persistTo, envFiles: [secrets], migrate })),
  )
  const client = await plane.open()
  const stream = makeStream({ events, seed, now: Date.now() })
  await seedRows(client, stream)
  const { length } = stream.deliveries
  console.log(
    `${stream.events} events of ${stream.expected.length} contracts, ${length - stream.events} of them twice, ` +
      `${rate} deliveries a second, seed ${seed}`,
  )

  const stop = new AbortController()
  running.add({ close: async () => stop.abort() })
  const [report] = await Promise.all([
    sendAll(stream.deliveries, { url: client.url, secret, rate, onProgress: show, signal: stop.signal }),
    killAt(plane, kills, (length * 1000) / rate),
  ])
  await drained(client)
  const { lost, wrong, states } = await compare(client, stream)
  tell(report, plane, states)
  const downgrades = await timeDowngrades(client, { url: client.url, secret })
  console.log(`downgrade to document: p50 ${at(downgrades, 0.5)}, p99 ${at(downgrades, 0.99)}`)
  for (const line of [...lost.slice(0, SHOWN), ...wrong.slice(0, SHOWN)]) console.log(`  ${line}`)
  console.log(`lost: ${lost.length}, wrong: ${wrong.length}`)
  if (lost.length > 0 || wrong.length > 0) process.exitCode = 1
}

/** Evenly over the time in which events are sent: two kills are after one and two thirds of it. */
async function killAt(plane: Plane, kills: number, duration: number): Promise<void> {
  const from = Date.now()
  for (let count = 1; count <= kills; count++) {
    await sleep(Math.max(0, from + (count * duration) / (kills + 1) - Date.now()))
    await plane.killAndRestart()
  }
}

async function seedRows(client: ControlClient, { organizations }: Stream): Promise<void> {
  const reason = 'A soak test'
  for (const key of FLAGS) {
    const flag = { key, name: key, kind: 'entitlement', owner: 'team-a', no_plan_reason: 'A soak test' }
    await client.write('POST', '/flags', { ...flag, reason })
  }
  for (const [key, flags] of Object.entries(PLANS)) {
    await client.write('POST', '/plans', { key, name: key, flags, reason })
  }
  for (const key of FLAGS) {
    await client.write('POST', `/flags/${key}/state`, { state: 'live', reason }, 1)
    await client.write('PUT', `/flags/${key}/rules/production`, { access: 'some', reason }, 0)
  }
  for (const id of organizations) await client.write('POST', '/orgs', { id, name: id, reason })
}

/** Waits until no event waits for another, and everything is published. */
async function drained(client: ControlClient): Promise<void> {
  const deadline = Date.now() + DRAIN_MS
  while (Date.now() < deadline) {
    const open = await readInbox(client, '&state=open')
    const { data } = await client.get<{ data: { out_of_step: number }[] }>('/publishing')
    if (open.length === 0 && data.every(({ out_of_step }) => out_of_step === 0)) return
    await sleep(500)
  }
  console.log(`  not drained after ${seconds(DRAIN_MS)}`)
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const list = (counts: ReadonlyMap<string, number>): string =>
  [...counts].map(([name, count]) => `${name} ${count}`).join(', ') || 'none'

/** What that share of them is at most. */
function at(all: readonly number[], share: number): string {
  const sorted = all.toSorted((a, b) => a - b)
  return `${Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)} ms`
}

function show({ sent, accepted, retries, startedAt, refused }: Report): void {
  const done = `${sent} sent, ${accepted} taken, ${retries} retries (${list(refused)})`
  console.log(`  ${seconds(Date.now() - startedAt)}: ${done}`)
}

function tell(report: Report, { kills, away }: Plane, states: ReadonlyMap<string, number>): void {
  const { ids, startedAt, lastAcceptedAt, latencies, totals, retries, duplicates, refused, givenUp } = report
  const took = lastAcceptedAt - startedAt
  const up = took - away
  const rate = (ms: number) => ((ids.size * 1000) / ms).toFixed(1)
  console.log(
    `rate: ${rate(took)} events a second taken over ${seconds(took)}; ${rate(up)} while it was there`,
  )
  console.log(`latency of what was taken: p50 ${at(latencies, 0.5)}, p99 ${at(latencies, 0.99)}`)
  console.log(`from the first attempt: p50 ${at(totals, 0.5)}, p99 ${at(totals, 0.99)}`)
  console.log(`kills: ${kills}, retries: ${retries} (${list(refused)}), given up: ${givenUp.length}`)
  console.log(`duplicates: ${duplicates}; in the inbox: ${list(states)}`)
}

const number = (value: string): number => {
  const parsed = Number(value)
  if (!Number.isSafeInteger(parsed) || parsed < 0) throw new UsageError(`${value} is not a number of things.`)
  return parsed
}

if (import.meta.main) {
  await new Command('npm run soak --')
    .description(
      'Refreshes sessions and sends contract events, and breaks things meanwhile; none may be lost.',
    )
    .option('--events <count>', 'different events', number, 10_000)
    .option('--rate <count>', 'deliveries a second', number, 120)
    .option('--kills <count>', 'how often the control plane is killed', number, 2)
    .option('--sessions <count>', 'sessions that refresh before that', number, 10_000)
    .option('--seed <number>', 'makes the same stream again', number, 1)
    .action((options: Options) => main(() => soak(options)))
    .parseAsync()
}
