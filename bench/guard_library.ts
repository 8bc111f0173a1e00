/**
 * `remint/guard` against bare `jwtVerify` with a warm key set, in this process, on the same tokens: what the library costs on
 * top of the signature check that nobody can leave out.
 */
import { createLocalJWKSet, jwtVerify } from 'jose'
import { createGuard } from '../src/guard/index.ts'
import { AUDIENCE, mintedTokenClaims, newSigningKey, signJwt } from './fixtures.ts'

const ISSUER = 'https://auth.example.com'
const TOKENS = 500
const CONCURRENCY = 8
const FLAG = 'feature-number-00'

/** Checks a second, round by round. */
export async function measureGuardLibrary(
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<{ library: number[]; bare: number[] }> {
  const key = await newSigningKey()
  const jwks = { keys: [key.publicJwk] }
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
  for (const check of [library, bare]) await perSecond(check, 1)
  for (let round = 0; round < rounds; round++) {
    const turns = round % 2 === 0 ? (['library', 'bare'] as const) : (['bare', 'library'] as const)
    for (const name of turns) {
      measured[name].push(await perSecond(name === 'library' ? library : bare, seconds))
    }
    const rates = turns.map((name) => `${name} ${measured[name].at(-1)?.toFixed(0)}/s`)
    progress(`round ${round + 1}/${rounds}  ${rates.join('  ')}`)
  }
  return measured
}

async function perSecond(check: (n: number) => Promise<void>, seconds: number): Promise<number> {
  const startedAt = performance.now()
  const deadline = startedAt + seconds * 1000
  let done = 0
  const work = async (): Promise<void> => {
    while (performance.now() < deadline) await check(done++ % TOKENS)
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
  return done / ((performance.now() - startedAt) / 1000)
}
