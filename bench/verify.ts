/**
 * Verifying a token: `POST /verify` cold (each token is new) and warm (the same 1,000 again and again, as a guard sees
 * them), against the floor, which parses the body and checks one signature, and against a route behind `hono/jwk`.
 *
 * Cold tokens are signed before the clock starts, as many as the last run used and half as many again; a run that
 * exhausts them ends early, and none repeats.
 */
import { accessTokenClaims, mintedTokenClaims, signJwt } from './fixtures.ts'
import { cycle, httpRequest, type LoadResult, once, run } from './load.ts'
import { type Contender, interleave, type Series } from './rounds.ts'
import type { Stage } from './stage.ts'

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

/** Every answer has been 200; the sampled ones must also say yes. */
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
  const gateway = await stage.start('gateway')
  const floor = await stage.start('floor')
  const hono = await stage.start('hono-jwk')
  const mint = (n: number) =>
    signJwt(stage.key, 'at+jwt', mintedTokenClaims(gateway.issuer, n % ORGANIZATIONS, now()))

  const cold = (name: string, worker: typeof gateway): Contender => {
    let perSecond = ASSUMED_PER_SECOND
    return {
      name,
      process: worker,
      run: async (length) => {
        const count = Math.ceil(perSecond * length * HEADROOM)
        const tokens = Array.from({ length: count }, (_, n) => verifyRequest(mint(n)))
        const result = await run({
          port: worker.port,
          connections: CONNECTIONS,
          seconds: length,
          next: once(tokens),
        })
        checkAllowed(result)
        perSecond = result.perSecond
        return result
      },
    }
  }

  const warm: Contender = {
    name: 'gateway warm',
    process: gateway,
    run: async (length) => {
      const tokens = Array.from({ length: WARM_TOKENS }, (_, n) => verifyRequest(mint(n)))
      const load = { port: gateway.port, connections: CONNECTIONS, next: cycle(tokens) }
      await run({ ...load, seconds: length, next: once(tokens) })
      const result = await run({ ...load, seconds: length })
      checkAllowed(result)
      return result
    },
  }

  const guarded: Contender = {
    name: 'hono/jwk',
    process: hono,
    run: (length) => {
      const requests = Array.from({ length: WARM_TOKENS }, (_, n) => {
        const token = signJwt(stage.key, 'JWT', accessTokenClaims(gateway.issuer, n, now()))
        return httpRequest('GET', '/guarded', { Authorization: `Bearer ${token}` })
      })
      return run({ port: hono.port, connections: CONNECTIONS, seconds: length, next: cycle(requests) })
    },
  }

  const contenders = [cold('floor', floor), cold('gateway cold', gateway), warm, guarded]
  const series = await interleave(contenders, rounds, seconds, progress)
  for (const worker of [gateway, floor, hono]) await worker.stop()
  return series
}
