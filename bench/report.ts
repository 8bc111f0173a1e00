/**
 * The targets, the table and `bench/results.json`. Pure but for the file that `save` writes.
 *
 * A short of a target is a finding, not a failure of the bench: the table says so and the exit status stays 0.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { provenance } from './machine.ts'
import { type Bounds, COST, COUNT, DIFFERENCE, RATIO } from './plausible.ts'
import { median, type Series } from './rounds.ts'

export interface Target {
  readonly atLeast?: number
  readonly atMost?: number
  readonly what: string
}

/** Every metric by its name in the results. Those without a bound are there to explain the others. */
export const TARGETS = {
  refresh_vs_passthrough: { atLeast: 0.8, what: 'refreshes a second, against a Worker that only proxies' },
  refresh_vs_naive: { atLeast: 1.8, what: 'refreshes a second, against the forty lines of workers/naive.ts' },
  refresh_vs_without_id_token: {
    what: 'refreshes a second with an RS256 ID token in the answer, against without one',
  },
  cpu_us_per_refresh: { what: 'µs of CPU per refresh, gateway' },
  cpu_us_per_refresh_passthrough: { what: 'µs of CPU per refresh, only proxying' },
  cpu_us_per_refresh_naive: { what: 'µs of CPU per refresh, naive' },
  verify_cold_vs_floor: { atLeast: 0.85, what: 'new tokens a second, against one bare signature check' },
  verify_warm_vs_floor: { atLeast: 1.3, what: 'the same 1,000 tokens, against one bare signature check' },
  verify_vs_hono_jwk: { atLeast: 3, what: 'the same 1,000 tokens, against a route behind hono/jwk' },
  guard_vs_verify: { atLeast: 1, what: 'forward-auth a second, against POST /verify' },
  verify_live_vs_claim: {
    atLeast: 0.75,
    what: 'POST /verify with what is true now, against the claim alone',
  },
  guard_lib_vs_bare_jose: { atLeast: 0.9, what: 'remint/guard, against jwtVerify with a warm key set' },
  ofrep_bulk_100_flags: { what: 'OFREP requests a second for 100 flags, against a Worker that says hello' },
  refresh_coalesced_vs_direct: {
    atLeast: 0.6,
    what: 'refreshes a second with a Durable Object each, against without; SQLite on a tmpfs',
  },
  added_ms_p50: { what: 'ms that the object adds to a refresh, one at a time, median' },
  added_ms_p99: { what: 'ms that the object adds to a refresh, one at a time, 99th percentile' },
  kv_operations_per_refresh: { atMost: 1, what: 'worst of 50, each of a new organization' },
  subrequests_per_refresh: { atMost: 2, what: 'KV included, worst of the same 50' },
  bundle_kib: { atMost: 400, what: 'KiB, unminified, gzip' },
  memory_heap_growth: { atMost: 1.1, what: 'live heap after 100,000 refreshes against after 10,000' },
  memory_resident_growth: { what: 'resident memory, which grows with the allocator; proxying alone, too' },
} as const satisfies Record<string, Target>

export type MetricName = keyof typeof TARGETS

/** A metric's rounds; a metric that is measured once has one. */
export type Metrics = Partial<Record<MetricName, readonly number[]>>

const isRatio = (name: string): boolean => name.includes('_vs_') || name === 'ofrep_bulk_100_flags'

/** Within what a result of the metric must be to be one. */
export function boundsOf(name: MetricName): Bounds {
  if (isRatio(name) || name.endsWith('_growth')) return RATIO
  if (name.startsWith('added_ms')) return DIFFERENCE
  return name.startsWith('cpu_us') ? COST : COUNT
}

const rounded = (value: number): number => Number(value.toPrecision(4))

function outcome(target: Target, value: number): 'pass' | 'short' | '' {
  if (target.atLeast !== undefined) return value >= target.atLeast ? 'pass' : 'short'
  if (target.atMost !== undefined) return value <= target.atMost ? 'pass' : 'short'
  return ''
}

function bound({ atLeast, atMost }: Target): string {
  if (atLeast !== undefined) return `≥ ${atLeast}`
  return atMost === undefined ? '' : `≤ ${atMost}`
}

export function table(metrics: Metrics): string {
  const rows = entries(metrics).map(([name, rounds]) => {
    const target: Target = TARGETS[name]
    const value = median(rounds)
    const spread = rounds.length > 1 ? `${show(Math.min(...rounds))}–${show(Math.max(...rounds))}` : ''
    return [name, show(value), spread, bound(target), outcome(target, value), target.what]
  })
  const all = [['metric', 'median', 'rounds', 'target', '', 'what'], ...rows]
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? []
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const show = (value: number): string =>
  Number.isInteger(value) ? String(value) : value.toFixed(value < 100 ? 2 : 0)

const entries = (metrics: Metrics): [MetricName, readonly number[]][] =>
  (Object.keys(TARGETS) as MetricName[]).flatMap((name) => {
    const rounds = metrics[name]
    return rounds === undefined ? [] : [[name, rounds]]
  })

export interface Settings {
  /** Of the last minute, before the run: above the number of cores, others were at work and ratios are rough. */
  readonly loadAverage: number
  readonly rounds: number
  readonly seconds: number
}

const summary = (rounds: readonly number[]) => ({
  median: rounded(median(rounds)),
  rounds: rounds.map(rounded),
})

/** Writes `bench/results.json` and returns its path. */
export function save(metrics: Metrics, contenders: Record<string, Series>, settings: Settings): string {
  const path = resolve(import.meta.dirname, 'results.json')
  const results = {
    ...provenance(),
    settings,
    ratios: Object.fromEntries(
      entries(metrics)
        .filter(([name]) => isRatio(name))
        .map(([name, rounds]) => [name, rounded(median(rounds))]),
    ),
    metrics: Object.fromEntries(
      entries(metrics).map(([name, rounds]) => {
        const { what, ...target }: Target = TARGETS[name]
        const value = median(rounds)
        const result = outcome(target as Target, value)
        const judged = result === '' ? {} : { target, result }
        return [name, { ...summary(rounds), ...judged, what }]
      }),
    ),
    contenders: Object.fromEntries(
      Object.entries(contenders).map(([name, { perSecond, cpuMicroseconds }]) => [
        name,
        { per_second: summary(perSecond), cpu_us_per_request: summary(cpuMicroseconds) },
      ]),
    ),
  }
  writeFileSync(path, JSON.stringify(results, null, 2))
  const biome = join(import.meta.dirname, '..', 'node_modules', '.bin', 'biome')
  execFileSync(process.execPath, [biome, 'format', '--write', path], { stdio: 'ignore' })
  return path
}
