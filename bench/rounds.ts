/**
 * Interleaved rounds: in each round every contender runs once, and the order turns from round to round, so that a
 * noisy neighbour or a clock that throttles meets all of them. Ratios are taken within a round, then their median.
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
    for (let turn = 0; turn < contenders.length; turn++) {
      const contender = contenders[(round + turn) % contenders.length]
      if (contender === undefined) continue
      const before = contender.process.cpuMicroseconds()
      const { requests, perSecond } = await contender.run(seconds)
      const cpu = contender.process.cpuMicroseconds() - before
      series[contender.name]?.perSecond.push(perSecond)
      series[contender.name]?.cpuMicroseconds.push(cpu / requests)
    }
    const rates = contenders.map(({ name }) => `${name} ${series[name]?.perSecond.at(-1)?.toFixed(0)}/s`)
    progress(`round ${round + 1}/${rounds}  ${rates.join('  ')}`)
  }
  return series
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
