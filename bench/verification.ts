/**
 * The dialects of verification against each other, with the same 1,000 tokens again and again: forward-auth against
 * `POST /verify`, `live` against `claim`, and OFREP's bulk evaluation of 100 flags beside a Worker that only says hello.
 */
import { mintedTokenClaims, signJwt, VERIFIER } from './fixtures.ts'
import { cycle, httpRequest, type LoadResult, once, run } from './load.ts'
import { type Contender, interleave, type Series } from './rounds.ts'
import type { Stage } from './stage.ts'

const ORGANIZATIONS = 1000
const CONNECTIONS = 32
/** A flag that every organization has: see fixtures.ts. */
const FLAG = 'feature-number-00'
const FLAGS_IN_BULK = 100

type Running = Awaited<ReturnType<Stage['start']>>

const json = { 'Content-Type': 'application/json' }

const numbers = Array.from({ length: ORGANIZATIONS }, (_, n) => n)

function contender(
  name: string,
  worker: Running,
  makeRequests: () => readonly Buffer[],
  check: (sample: string) => void,
): Contender {
  return {
    name,
    process: worker,
    async run(seconds) {
      const requests = makeRequests()
      const load = { port: worker.port, connections: CONNECTIONS }
      await run({ ...load, seconds, next: once(requests) })
      const result: LoadResult = await run({ ...load, seconds, next: cycle(requests) })
      result.samples.forEach(check)
      return result
    },
  }
}

export async function measureVerification(
  stage: Stage,
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<Record<string, Series>> {
  const gateway = await stage.start('gateway')
  const bulk = await stage.start('gateway-100')
  const hello = await stage.start('hello')

  const mint = (n: number): string =>
    signJwt(stage.key, 'at+jwt', mintedTokenClaims(gateway.issuer, n, Math.floor(Date.now() / 1000)))
  const verify = (freshness: string) => () =>
    numbers.map((n) =>
      httpRequest(
        'POST',
        '/verify',
        json,
        JSON.stringify({ token: mint(n), features: { all: [FLAG] }, freshness }),
      ),
    )
  const guard = () =>
    numbers.map((n) => httpRequest('GET', `/guard/${FLAG}`, { Authorization: `Bearer ${mint(n)}` }))
  const evaluate = () =>
    numbers.map((n) =>
      httpRequest(
        'POST',
        '/ofrep/v1/evaluate/flags',
        { ...json, Authorization: `Bearer ${VERIFIER.secret}` },
        JSON.stringify({ context: { targetingKey: `org_${n}` } }),
      ),
    )

  const mustAllow = (sample: string) => {
    if (!(JSON.parse(sample) as { allowed: boolean }).allowed) throw new Error(`refused: ${sample}`)
  }
  const mustBeAll = (sample: string) => {
    const { flags } = JSON.parse(sample) as { flags: { key: string; value: boolean }[] }
    if (flags.length !== FLAGS_IN_BULK || !flags[0]?.value) throw new Error(`not all flags: ${sample}`)
  }
  const series = await interleave(
    [
      contender('verify claim', gateway, verify('claim'), mustAllow),
      contender('verify live', gateway, verify('live'), mustAllow),
      contender('guard', gateway, guard, (sample) => {
        if (sample !== '') throw new Error(`refused: ${sample}`)
      }),
      contender('ofrep bulk', bulk, evaluate, mustBeAll),
      contender(
        'hello',
        hello,
        () => [httpRequest('GET', '/', {})],
        () => {},
      ),
    ],
    rounds,
    seconds,
    progress,
  )
  for (const worker of [gateway, bulk, hello]) await worker.stop()
  return series
}
