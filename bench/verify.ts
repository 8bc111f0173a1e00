/**
 * Verifying a token: `POST /verify` cold (each token is new) and warm (the same 1,000 again and again, as a guard sees
 * them), against the floor, which parses the body and checks one signature, and against a route behind `hono/jwk`.
 *
 * Cold tokens are signed before the clock starts, as many as the last run used and half as many again; a run that
 * exhausts them ends early, and none repeats.
 */
import { mintedTokenClaims, signJwt } from './fixtures.ts'
import { cycle, httpRequest, type LoadResult, once, run } from './load.ts'
import { type Contender, interleave, type Series } from './rounds.ts'
import type { Stage } from './stage.ts'
import type { RunningWorker } from './workerd.ts'

const ORGANIZATIONS = 1000
const WARM_TOKENS = 1000
const CONNECTIONS = 32
/** Before the first run tells better. */
const ASSUMED_PER_SECOND = 6000
const HEADROOM = 1.5

/** A flag that every organization has: see fixtures.ts. */
const FEATURES = { all: ['feature-number-00'] }

const now = (): number => Math.floor(Date.now() / 1000)

const verifyRequest = (token: string): Buffer =>
  httpRequest(
    'POST',
    '/verify',
    { 'Content-Type': 'application/json' },
    JSON.stringify({ token, features: FEATURES }),
  )

/** Every answer was 200; the sampled ones must also allow. */
function checkAllowed({ samples }: LoadResult): void {
  for (const body of samples) {
    const answer = JSON.parse(body) as { active: boolean; allowed?: boolean }
    if (!answer.active || answer.allowed === false) throw new Error(`/verify refused a good token: ${body}`)
  }
}

export async function measureVerify(
  stage: Stage,
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<Record<string, Series>> {
  // Two gateways, so that the cold tokens do not drive the warm ones out of the isolate.
  const [coldGateway, warmGateway] = [await stage.start('gateway'), await stage.start('gateway')]
  const floor = await stage.start('floor')
  const hono = await stage.start('hono-jwk')
  const mint = (issuer: string, n: number) =>
    verifyRequest(signJwt(stage.key, 'at+jwt', mintedTokenClaims(issuer, n % ORGANIZATIONS, now())))

  const cold = (name: string, worker: RunningWorker): Contender => {
    let perSecond = ASSUMED_PER_SECOND
    return {
      name,
      process: worker,
      run: async (length) => {
        const count = Math.ceil(perSecond * length * HEADROOM)
        const next = once(Array.from({ length: count }, (_, n) => mint(coldGateway.issuer, n)))
        const result = await run({ port: worker.port, connections: CONNECTIONS, seconds: length, next })
        checkAllowed(result)
        perSecond = result.requests / result.seconds
        return result
      },
    }
  }

  const warmTokens = cycle(Array.from({ length: WARM_TOKENS }, (_, n) => mint(warmGateway.issuer, n)))
  const warm: Contender = {
    name: 'gateway warm',
    process: warmGateway,
    run: async (length) => {
      const load = { port: warmGateway.port, connections: CONNECTIONS, seconds: length, next: warmTokens }
      const result = await run(load)
      checkAllowed(result)
      return result
    },
  }

  const guardedRequests = cycle(
    Array.from({ length: WARM_TOKENS }, (_, n) => {
      const token = signJwt(stage.key, 'JWT', mintedTokenClaims(warmGateway.issuer, n, now()))
      return httpRequest('GET', '/guarded', { Authorization: `Bearer ${token}` })
    }),
  )
  const guarded: Contender = {
    name: 'hono/jwk',
    process: hono,
    run: (length) =>
      run({ port: hono.port, connections: CONNECTIONS, seconds: length, next: guardedRequests }),
  }

  const contenders = [cold('floor', floor), cold('gateway cold', coldGateway), warm, guarded]
  const series = await interleave(contenders, rounds, seconds, progress)
  for (const worker of [coldGateway, warmGateway, floor, hono]) await worker.stop()
  return series
}
