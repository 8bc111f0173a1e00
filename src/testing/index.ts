/**
 * `remint/testing`: tokens for the tests of a service, and the options of a guard that accepts them.
 *
 * The key is made in the test's process and never leaves it: no other guard can be brought to accept such a token, and a
 * guard of the tests accepts no real one.
 */
import { calculateJwkThumbprint, decodeJwt, exportJWK, generateKeyPair, type JWK } from 'jose'
import { featureFlags } from '../core/claims.ts'
import { markOwnKey } from '../core/own_keys.ts'
import { missingFlags, NOTHING, type Requirement } from '../core/requirement.ts'
import { DEFAULTS, signTestToken, type TestKey, type TestTokenOptions } from './token.ts'

export type { TestTokenOptions } from './token.ts'

/** What `createGuard` and `createNodeGuard` take. */
export interface TestGuardOptions {
  readonly issuer: string
  readonly audience: string
  readonly environment: string
  /** Stands in for the gateway: its key set, and live checks. */
  readonly fetch: typeof fetch
}

const ALG = 'ES256'

async function makeKey(): Promise<TestKey & { readonly jwk: JWK }> {
  const { privateKey, publicKey } = await generateKeyPair(ALG)
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  return { kid, alg: ALG, key: privateKey, jwk: { ...jwk, kid, alg: ALG, use: 'sig' } }
}

/** One per process, made when it is first needed. */
let made: ReturnType<typeof makeKey> | undefined
const testKey = () => {
  made ??= makeKey()
  return made
}

/** By `jti`: tokens that `live` refuses. */
const revoked = new Set<unknown>()

/**
 * An access token as the gateway mints it, with these features.
 *
 * @throws TypeError when an option is unknown, or a feature no flag key
 */
export async function mintTestToken(options: TestTokenOptions): Promise<string> {
  return signTestToken(options, await testKey(), Date.now())
}

/** From now on `live` checks find the session of this token revoked. */
export function revokeTestToken(token: string): void {
  revoked.add(decodeJwt(token).jti)
}

/** The key set that `mintTestToken` signs for, to be served to a service in another process. */
export async function testKeySet(environment = DEFAULTS.environment): Promise<{ keys: JWK[] }> {
  return { keys: [markOwnKey((await testKey()).jwk, environment)] }
}

/** Options of a guard that accepts what `mintTestToken` makes. */
export function testGuardOptions(): TestGuardOptions {
  const answer: typeof fetch = async (_, init) =>
    Response.json(init?.method === 'POST' ? verdictOn(String(init.body)) : await testKeySet())
  return { ...DEFAULTS, fetch: answer }
}

/** The gateway's answer to a live check of a guard that has verified the token itself. */
function verdictOn(body: string): object {
  const { token, features = {} } = JSON.parse(body) as { token: string; features?: Partial<Requirement> }
  const claims = decodeJwt(token)
  if (revoked.has(claims.jti)) return { active: false, allowed: false, reason: 'session_revoked' }
  const missing = missingFlags(featureFlags(claims), { ...NOTHING, ...features })
  const allowed = missing.length === 0
  return { active: true, allowed, reason: allowed ? 'allowed' : 'feature_missing', missing }
}
