/**
 * The keys of a published set that can have signed a token of the gateway. Imports keys, does no other I/O.
 *
 * Only keys that are marked as the gateway's own count: with `preserve` the set also holds upstream's. Each is imported
 * separately, so that one that this runtime cannot use, or that is malformed, does not affect the others.
 */
import { type CryptoKey, importJWK, type JWK } from 'jose'
import { environmentsOf } from '../core/own_keys.ts'
import { err, ok, type Result } from '../core/result.ts'

/** A key and the one algorithm that it serves. */
export interface GatewayKey {
  readonly alg: string
  readonly key: CryptoKey
  /** The environments whose tokens it signs. */
  readonly environments: readonly string[]
}

export interface GatewayKeySet {
  /** By `kid`; `undefined` if the key is the gateway's but cannot be used here. */
  readonly keys: ReadonlyMap<string, GatewayKey | undefined>
  /** All environments that the keys name. */
  readonly environments: ReadonlySet<string>
}

/** Not a key set; none of its keys is marked as the gateway's own; this runtime can use none of those. */
export type KeySetFault = 'keys_unreachable' | 'keys_unmarked' | 'keys_unusable'

/** The algorithms that the gateway can sign with, and the type of key of each. */
const ALGORITHMS = new Map([
  ['ES256', { kty: 'EC', crv: 'P-256' }],
  ['RS256', { kty: 'RSA', crv: undefined }],
  ['EdDSA', { kty: 'OKP', crv: 'Ed25519' }],
])
/** jose refuses to verify with a shorter one. */
const MIN_RSA_BITS = 2048

export async function importKeySet(json: unknown): Promise<Result<GatewayKeySet, KeySetFault>> {
  const published: unknown = (json as { keys?: unknown } | null)?.keys
  if (!Array.isArray(published)) return err('keys_unreachable')
  const keys = new Map<string, GatewayKey | undefined>()
  const named = new Set<string>()
  for (const jwk of published) {
    if (typeof jwk !== 'object' || jwk === null) continue
    const environments = environmentsOf(jwk)
    const { kid } = jwk as JWK
    if (environments.length === 0 || typeof kid !== 'string') continue
    for (const environment of environments) named.add(environment)
    // A set may hold a key twice; the usable one counts.
    keys.set(kid, keys.get(kid) ?? (await importKey(jwk as JWK, environments)))
  }
  if (keys.size === 0) return err('keys_unmarked')
  const isUsable = [...keys.values()].some((key) => key !== undefined)
  return isUsable ? ok({ keys, environments: named }) : err('keys_unusable')
}

async function importKey(jwk: JWK, environments: readonly string[]): Promise<GatewayKey | undefined> {
  const { kty, crv, x, y, n, e, use = 'sig' } = jwk
  const alg = jwk.alg === 'Ed25519' ? 'EdDSA' : (jwk.alg ?? '')
  const type = ALGORITHMS.get(alg)
  if (!type || kty !== type.kty || crv !== type.crv || use !== 'sig') return undefined
  try {
    const key = (await importJWK({ kty, crv, x, y, n, e } as JWK, alg)) as CryptoKey
    const { modulusLength } = key.algorithm as { modulusLength?: number }
    return (modulusLength ?? MIN_RSA_BITS) < MIN_RSA_BITS ? undefined : { alg, key, environments }
  } catch {
    return undefined
  }
}
