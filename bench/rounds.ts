/**
 * Interleaved rounds: within a round the contenders take turns in short slices, and the order turns too, so that a
 * noisy neighbour or a clock that throttles meets all of them alike. Ratios are taken within a round, then their median.
 */
import type { LoadResult } from './load.ts'
import type { RunningProcess } from './workerd.ts'

export interface Contender {
  readonly name: string
  readonly process: RunningProcess
  /** One run of the load. Prepares what it needs before it starts the clock; checks the answers after. */
  run(seconds: number): Promise<LoadResult>
}

/** One contender's rounds, in order. */
export interface Series {
  readonly perSecond: number[]
  readonly cpuMicroseconds: number[]
}

const WARM_UP_SECONDS = 1
const SLICE_SECONDS = 0.5

/** @param seconds - for each contender in each round */
export async function interleave(
  contenders: readonly Contender[],
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<Record<string, Series>> {
  const series: Record<string, Series> = {}
  for (const contender of contenders) {
    series[contender.name] = { perSecond: [], cpuMicroseconds: [] }
    await contender.run(WARM_UP_SECONDS)
  }
  for (let round = 0; round < rounds; round++) {
    const totals = await takeTurns(contenders, round, Math.ceil(seconds / SLICE_SECONDS))
    for (const [name, total] of totals) {
      series[name]?.perSecond.push(total.requests / total.seconds)
      series[name]?.cpuMicroseconds.push(total.cpuMicroseconds / total.requests)
    }
    const rates = contenders.map(({ name }) => `${name} ${series[name]?.perSecond.at(-1)?.toFixed(0)}/s`)
    progress(`round ${round + 1}/${rounds}  ${rates.join('  ')}`)
  }
  return series
}

async function takeTurns(contenders: readonly Contender[], round: number, slices: number) {
  const totals = new Map(
    contenders.map(({ name }) => [name, { requests: 0, seconds: 0, cpuMicroseconds: 0 }]),
  )
  for (let turn = 0; turn < slices * contenders.length; turn++) {
    // The order shifts by one after each time that everybody had a turn.
    const lap = round + Math.floor(turn / contenders.length)
    const contender = contenders[(turn + lap) % contenders.length]
    const total = contender && totals.get(contender.name)
    if (!total) continue
    const cpuBefore = contender.process.cpuMicroseconds()
    const { requests, seconds } = await contender.run(SLICE_SECONDS)
    total.requests += requests
    total.seconds += seconds
    total.cpuMicroseconds += contender.process.cpuMicroseconds() - cpuBefore
  }
  return totals
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2
}

/** The ratio of two contenders' throughput, round by round. */
export function ratios(series: Record<string, Series>, name: string, baseline: string): number[] {
  const base = series[baseline]?.perSecond ?? []
  return (series[name]?.perSecond ?? []).map((value, round) => value / (base[round] ?? Number.NaN))
}
