/**
 * The second half of `npm run bench:mint-log`: events -> a real queue -> a consumer that fails half of its batches -> D1.
 * Says what is stored when the queue is empty, or when nothing new has been stored for too long.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrate } from '../dev/local_d1.ts'
import { freePorts } from '../dev/network.ts'
import { runWorker, type WorkerProcess } from '../dev/wrangler.ts'
import type { MintEvent } from '../src/core/mint_event.ts'

/** As many messages as a queue takes at once. */
const SEND_BATCH = 100
/** The consumer is given up on when it has stored nothing new for so long. */
const STALLED_MS = 30_000
const READY_MS = 60_000
const POLL_MS = 500

export interface Stored {
  /** Of every row of `mints`. */
  readonly jtis: readonly string[]
  /** What the control plane counts as lost. */
  readonly losses: readonly { readonly reason: string; readonly count: number }[]
  readonly batches: number
}

/** @param expected - how many rows there must be */
export async function store(events: readonly MintEvent[], expected: number): Promise<Stored> {
  const persistTo = await mkdtemp(join(tmpdir(), 'remint-bench-mint-log-'))
  const [port = 0] = await freePorts(1)
  await migrate(persistTo)
  const worker = await runWorker({ config: 'bench/mint_log.wrangler.toml', port, persistTo })
  const url = `http://127.0.0.1:${port}`
  const get = async (path: string) => (await fetch(`${url}${path}`)).json()
  try {
    await ready(url, worker)
    for (let from = 0; from < events.length; from += SEND_BATCH) {
      const body = JSON.stringify(events.slice(from, from + SEND_BATCH))
      const sent = await fetch(`${url}/send`, { method: 'POST', body })
      if (!sent.ok) throw new Error(`the queue refused a batch: ${sent.status}`)
    }
    const batches = await drained(get, expected)
    const losses = (await get('/losses')) as Stored['losses']
    return { jtis: await storedJtis(get), losses, batches }
  } finally {
    await worker.close()
    await rm(persistTo, { recursive: true, force: true })
  }
}

type Get = (path: string) => Promise<unknown>

async function ready(url: string, worker: WorkerProcess): Promise<void> {
  const deadline = Date.now() + READY_MS
  while (Date.now() < deadline && worker.running()) {
    if ((await fetch(`${url}/count`).catch(() => null))?.ok) return
    await sleep(POLL_MS)
  }
  throw new Error(`the consumer did not start:\n${worker.output()}`)
}

/** @returns how many batches were delivered */
async function drained(get: Get, expected: number): Promise<number> {
  let last = { rows: -1, batches: 0 }
  let changedAt = Date.now()
  for (;;) {
    const count = (await get('/count')) as typeof last
    if (count.rows !== last.rows) changedAt = Date.now()
    // A batch may have been stored and be on its way again: what is stored twice shows a little later.
    const isQuiet = count.batches === last.batches && count.rows >= expected
    last = count
    if (isQuiet || Date.now() - changedAt > STALLED_MS) return count.batches
    await sleep(2 * POLL_MS + 1_000)
  }
}

async function storedJtis(get: Get): Promise<string[]> {
  const jtis: string[] = []
  for (;;) {
    const page = (await get(`/stored?after=${encodeURIComponent(jtis.at(-1) ?? '')}`)) as string[]
    if (page.length === 0) return jtis
    jtis.push(...page)
  }
}
