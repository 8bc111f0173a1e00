/**
 * `remint/guard` against bare `jwtVerify` with a warm key set, in this process, on the same tokens: what the library costs on
 * top of the signature check that nobody can leave out.
 */
import { createLocalJWKSet, jwtVerify } from 'jose'
import { markOwnKey } from '../src/core/own_keys.ts'
import { createGuard } from '../src/guard/index.ts'
import { AUDIENCE, ENVIRONMENT, mintedTokenClaims, newSigningKey, signJwt } from './fixtures.ts'

const ISSUER = 'https://auth.example.com'
const TOKENS = 500
const CONCURRENCY = 8
/** Both take turns this often, so that what else the machine does meets both. */
const SLICE_MS = 100
const FLAG = 'feature-number-00'
const WARM_UP_SECONDS = 1

/** Checks a second, round by round. */
export async function measureGuardLibrary(
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<{ library: number[]; bare: number[] }> {
  const key = await newSigningKey()
  const jwks = { keys: [markOwnKey(key.publicJwk, ENVIRONMENT)] }
  const now = Math.floor(Date.now() / 1000)
  const tokens = Array.from({ length: TOKENS }, (_, n) =>
    signJwt(key, 'at+jwt', mintedTokenClaims(ISSUER, n, now)),
  )
  const requests = tokens.map(
    (token) => new Request('https://api.example.com/', { headers: { authorization: `Bearer ${token}` } }),
  )
  const guard = createGuard({ issuer: ISSUER, audience: AUDIENCE, fetch: async () => Response.json(jwks) })
  const keys = createLocalJWKSet(jwks)

  const library = async (n: number) => {
    const checked = await guard.check(requests[n] as Request, FLAG)
    if (!checked.ok) throw new Error(`refused: ${checked.reason}`)
  }
  const bare = async (n: number) => {
    const token = requests[n]?.headers.get('authorization')?.slice('Bearer '.length) ?? ''
    await jwtVerify(token, keys, { issuer: ISSUER, audience: AUDIENCE })
  }

  const measured = { library: [] as number[], bare: [] as number[] }
  await alternate(library, bare, WARM_UP_SECONDS)
  for (let round = 0; round < rounds; round++) {
    const [ours, theirs] = await alternate(library, bare, seconds)
    measured.library.push(ours)
    measured.bare.push(theirs)
    progress(`round ${round + 1}/${rounds}  library ${ours.toFixed(0)}/s  bare ${theirs.toFixed(0)}/s`)
  }
  return measured
}

type Check = (n: number) => Promise<void>

/** Both for the given time each, in slices; checks a second. */
async function alternate(a: Check, b: Check, seconds: number): Promise<[number, number]> {
  const totals = [0, 0]
  const times = [0, 0]
  for (let slice = 0; slice < (2 * seconds * 1000) / SLICE_MS; slice++) {
    // a b b a, so that neither always follows the other.
    const which = [0, 1, 1, 0][slice % 4] as 0 | 1
    const startedAt = performance.now()
    totals[which] = (totals[which] ?? 0) + (await checksUntil(which === 0 ? a : b, startedAt + SLICE_MS))
    times[which] = (times[which] ?? 0) + performance.now() - startedAt
  }
  const perSecond = (which: number): number => ((totals[which] ?? 0) / (times[which] ?? 0)) * 1000
  return [perSecond(0), perSecond(1)]
}

/** How many checks are done until the deadline. */
async function checksUntil(check: Check, deadline: number): Promise<number> {
  let done = 0
  const work = async (): Promise<void> => {
    while (performance.now() < deadline) await check(done++ % TOKENS)
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
  return done
}
