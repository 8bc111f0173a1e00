/**
 * What it costs that a refresh cannot lose its session: the gateway with a Durable Object a refresh against the same
 * gateway without, each refresh with a token of its own, so that none is answered from the store.
 *
 * The objects store in SQLite, as when deployed, on a tmpfs: what a disk takes to sync belongs to the machine, and on
 * Cloudflare to its storage.
 * The latency that is added is measured one refresh at a time, as a queue in front of a busy process would hide it.
 */
import { randomBytes } from 'node:crypto'
import { type LoadResult, run } from './load.ts'
import { checkMinted, refreshRequest } from './refresh.ts'
import { interleave, type Series } from './rounds.ts'
import type { Stage } from './stage.ts'
import type { RunningWorker } from './workerd.ts'

const ORGANIZATIONS = 1000
const CONNECTIONS = 32

interface Added {
  readonly p50: number
  readonly p99: number
}

export async function measureSessions(
  stage: Stage,
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<{ series: Record<string, Series>; added: Added[] }> {
  const direct = await stage.start('gateway')
  const coalesced = await stage.start('coalesced')
  const contenders = [direct, coalesced].map((worker) => ({
    name: worker.name,
    process: worker,
    run: async (slice: number) => {
      const result = await refreshes(worker, CONNECTIONS, slice)
      for (const body of result.samples) await checkMinted(stage, worker.issuer, body)
      return result
    },
  }))
  const series = await interleave(contenders, rounds, seconds, progress)
  const added: Added[] = []
  for (let round = 0; round < rounds; round++) {
    const without = (await refreshes(direct, 1, seconds / 2)).milliseconds
    const shared = (await refreshes(coalesced, 1, seconds / 2)).milliseconds
    const at = (share: number) => percentile(shared, share) - percentile(without, share)
    added.push({ p50: at(0.5), p99: at(0.99) })
  }
  for (const worker of [direct, coalesced]) await worker.stop()
  return { series, added }
}

function refreshes(worker: RunningWorker, connections: number, seconds: number): Promise<LoadResult> {
  const prefix = randomBytes(12).toString('base64url').replaceAll('_', '-')
  let count = 0
  const next = () => refreshRequest(count % ORGANIZATIONS, `${prefix}${count++}`)
  return run({ port: worker.port, connections, seconds, next })
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
}
