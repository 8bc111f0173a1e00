/**
 * `npm run bench`: how fast and how small the gateway is, in one run. `--help` tells the options.
 *
 * Each group below yields some metrics; `--only` picks the groups that hold the named metrics. A Worker that answers
 * anything wrong ends the run: a fast wrong answer is not a result.
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { measureGuardLibrary } from './guard_library.ts'
import { expectPlausible } from './plausible.ts'
import { measureMemory, measureOperations, measureRefresh } from './refresh.ts'
import { boundsOf, type MetricName, type Metrics, type Settings, save, TARGETS, table } from './report.ts'
import { ratios, type Series } from './rounds.ts'
import { measureSessions } from './sessions.ts'
import { type Stage, setStage, type WorkerName } from './stage.ts'
import { measureVerification } from './verification.ts'
import { measureVerify } from './verify.ts'

const SHORT_SECONDS = 0.5
/** Refreshes, each of another organization, after which memory is looked at first. */
const MEMORY_ORGANIZATIONS = 10_000
const SHORT_ORGANIZATIONS = 500

interface Context extends Settings {
  readonly memoryOrganizations: number
  readonly stage: Stage
  readonly progress: (line: string) => void
}

interface Group {
  readonly name: string
  readonly workers: readonly WorkerName[]
  readonly metrics: readonly MetricName[]
  measure(context: Context): Promise<{ metrics: Metrics; series?: Record<string, Series> }>
}

const GROUPS: readonly Group[] = [
  {
    name: 'refresh',
    workers: ['gateway', 'gateway-id-token', 'passthrough', 'naive'],
    metrics: [
      'refresh_vs_passthrough',
      'refresh_vs_naive',
      'refresh_vs_without_id_token',
      'cpu_us_per_refresh',
      'cpu_us_per_refresh_passthrough',
      'cpu_us_per_refresh_naive',
    ],
    async measure({ stage, rounds, seconds, progress }) {
      const series = await measureRefresh(stage, rounds, seconds, progress)
      return {
        series,
        metrics: {
          refresh_vs_passthrough: ratios(series, 'gateway', 'passthrough'),
          refresh_vs_naive: ratios(series, 'gateway', 'naive'),
          refresh_vs_without_id_token: ratios(series, 'gateway-id-token', 'gateway'),
          cpu_us_per_refresh: series.gateway?.cpuMicroseconds ?? [],
          cpu_us_per_refresh_passthrough: series.passthrough?.cpuMicroseconds ?? [],
          cpu_us_per_refresh_naive: series.naive?.cpuMicroseconds ?? [],
        },
      }
    },
  },
  {
    name: 'sessions',
    workers: ['gateway', 'coalesced'],
    metrics: ['refresh_coalesced_vs_direct', 'added_ms_p50', 'added_ms_p99'],
    async measure({ stage, rounds, seconds, progress }) {
      const { series, added } = await measureSessions(stage, rounds, seconds, progress)
      return {
        series,
        metrics: {
          refresh_coalesced_vs_direct: ratios(series, 'coalesced', 'gateway'),
          added_ms_p50: added.map(({ p50 }) => p50),
          added_ms_p99: added.map(({ p99 }) => p99),
        },
      }
    },
  },
  {
    name: 'verify',
    workers: ['gateway', 'floor', 'hono-jwk'],
    metrics: ['verify_cold_vs_floor', 'verify_warm_vs_floor', 'verify_vs_hono_jwk'],
    async measure({ stage, rounds, seconds, progress }) {
      const series = await measureVerify(stage, rounds, seconds, progress)
      return {
        series,
        metrics: {
          verify_cold_vs_floor: ratios(series, 'gateway cold', 'floor'),
          verify_warm_vs_floor: ratios(series, 'gateway warm', 'floor'),
          verify_vs_hono_jwk: ratios(series, 'gateway warm', 'hono/jwk'),
        },
      }
    },
  },
  {
    name: 'verification',
    workers: ['gateway', 'gateway-100', 'hello'],
    metrics: ['guard_vs_verify', 'verify_live_vs_claim', 'ofrep_bulk_100_flags'],
    async measure({ stage, rounds, seconds, progress }) {
      const series = await measureVerification(stage, rounds, seconds, progress)
      return {
        series,
        metrics: {
          guard_vs_verify: ratios(series, 'guard', 'verify claim'),
          verify_live_vs_claim: ratios(series, 'verify live', 'verify claim'),
          ofrep_bulk_100_flags: ratios(series, 'ofrep bulk', 'hello'),
        },
      }
    },
  },
  {
    name: 'guard library',
    workers: [],
    metrics: ['guard_lib_vs_bare_jose'],
    async measure({ rounds, seconds, progress }) {
      const { library, bare } = await measureGuardLibrary(rounds, seconds, progress)
      const lib = library.map((value, round) => value / (bare[round] ?? Number.NaN))
      return { metrics: { guard_lib_vs_bare_jose: lib } }
    },
  },
  {
    name: 'operations',
    workers: ['gateway'],
    metrics: ['kv_operations_per_refresh', 'subrequests_per_refresh'],
    async measure({ stage }) {
      const { kvOperations, subrequests } = await measureOperations(stage)
      return {
        metrics: { kv_operations_per_refresh: [kvOperations], subrequests_per_refresh: [subrequests] },
      }
    },
  },
  {
    name: 'bundle',
    workers: ['gateway'],
    metrics: ['bundle_kib'],
    async measure({ stage }) {
      return { metrics: { bundle_kib: [(stage.bundles.get('gateway')?.gzipBytes ?? Number.NaN) / 1024] } }
    },
  },
  {
    name: 'memory',
    workers: ['gateway'],
    metrics: ['memory_heap_growth', 'memory_resident_growth'],
    async measure({ stage, memoryOrganizations, progress }) {
      const { first, last } = await measureMemory(stage, memoryOrganizations, progress)
      return {
        metrics: {
          memory_heap_growth: [last.heapBytes / first.heapBytes],
          memory_resident_growth: [last.rssBytes / first.rssBytes],
        },
      }
    },
  },
]

const HELP = `Usage: npm run bench -- [options]

  --only NAME,…   measure only these metrics or groups; results.json is left alone
  --rounds N      interleaved rounds (default 7)
  --seconds S     seconds per Worker and round (default 3)
  --short         a round of everything, to see that the bench itself works; results.json is left alone
  --help          this text

Groups and metrics:
${GROUPS.map(({ name, metrics }) => `  ${name.padEnd(12)}${metrics.join('\n'.padEnd(15))}`).join('\n')}
`

function choose(only: string | undefined): readonly Group[] {
  if (only === undefined) return GROUPS
  const wanted = only.split(',').map((name) => name.trim())
  const known = new Set<string>([...GROUPS.map(({ name }) => name), ...Object.keys(TARGETS)])
  const unknown = wanted.filter((name) => !known.has(name))
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; see --help`)
  return GROUPS.filter(({ name, metrics }) => [name, ...metrics].some((it) => wanted.includes(it)))
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} must be a positive number`)
  return value
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '3' },
      short: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  return {
    loadAverage: Number(loadavg()[0]?.toFixed(2)),
    groups: choose(values.only),
    isWhole: values.only === undefined && !values.short,
    rounds: values.short ? 1 : Math.ceil(positive('rounds', values.rounds)),
    seconds: values.short ? SHORT_SECONDS : positive('seconds', values.seconds),
    memoryOrganizations: values.short ? SHORT_ORGANIZATIONS : MEMORY_ORGANIZATIONS,
  }
}

function readOptionsOrExit() {
  try {
    const options = readOptions()
    if (options) return options
    console.log(HELP)
    process.exit(0)
  } catch (problem) {
    console.error((problem as Error).message)
    process.exit(2)
  }
}

const { groups, isWhole, memoryOrganizations, ...settings } = readOptionsOrExit()
const started = performance.now()
const progress = (line: string) =>
  console.log(`${`${((performance.now() - started) / 1000).toFixed(0)} s`.padStart(6)}  ${line}`)

if (settings.loadAverage > cpus().length) {
  progress(`the machine is busy (load average ${settings.loadAverage}): ratios will be rough`)
}
progress('bundling')
const stage = await setStage([...new Set(groups.flatMap(({ workers }) => workers))])
const metrics: Metrics = {}
const contenders: Record<string, Series> = {}
for (const group of groups) {
  progress(group.name)
  const measured = await group.measure({ stage, progress, memoryOrganizations, ...settings })
  Object.assign(metrics, measured.metrics)
  for (const [name, series] of Object.entries(measured.series ?? {}))
    contenders[`${group.name} ${name}`] = series
}
console.log(`\n${table(metrics)}\n`)
const measured = groups.flatMap((group) => group.metrics)
expectPlausible(metrics, Object.fromEntries(measured.map((name) => [name, boundsOf(name)])))
if (isWhole) console.log(`Written to ${save(metrics, contenders, settings)}`)
process.exit(0)
