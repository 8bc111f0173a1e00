/**
 * Upstream's public keys, fetched before a refresh token is spent.
 *
 * Every key gets its one algorithm when the set arrives, so that a token's header can choose among keys but never among
 * rules. The set is limited, and the gateway's own keys never count as upstream's, even if upstream publishes them.
 */
import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from 'jose'
import type { Claims } from '../../core/claims.ts'
import { err, ok } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { documentHeaders } from '../http/headers.ts'
import { fetchJson, RemoteDocument } from '../http/remote_document.ts'
import { algorithmOf, publicHalf } from './algorithms.ts'
import type { Keyring } from './keyring.ts'

/** Large identity providers publish about ten. */
const MAX_KEYS = 64

export class UpstreamKeySet {
  readonly #keys: readonly { kid: string | undefined; alg: string; thumbprint: string; key: CryptoKey }[]
  /** The usable keys' public halves, for a gateway with the same issuer. */
  readonly published: readonly JWK[]

  constructor(keys: readonly { jwk: JWK; alg: string; thumbprint: string; key: CryptoKey }[]) {
    this.#keys = keys.map(({ jwk, ...rest }) => ({ kid: jwk.kid, ...rest }))
    this.published = keys.map(({ jwk }) => publicHalf(jwk))
  }

  /**
   * The keys of that id and algorithm. Several may share one id, although they should not (RFC 7517 section 4.5); a token
   * without `kid` finds a key only if there is no choice.
   */
  candidates(kid: string | undefined, alg: string): readonly CryptoKey[] {
    const found = this.#keys.filter((key) => key.alg === alg && (kid === undefined || key.kid === kid))
    const isChoice = kid === undefined && found.some(({ thumbprint }) => thumbprint !== found[0]?.thumbprint)
    return isChoice ? [] : found.map(({ key }) => key)
  }

  /** Whether a key of that id is in the set. */
  has(kid: string | undefined): boolean {
    return kid !== undefined && this.#keys.some((key) => key.kid === kid)
  }
}

/** No key in the set is for signatures of a configured algorithm. */
export type KeysFault = 'keys_unreachable' | 'keys_unusable'

export type UpstreamKeys = RemoteDocument<UpstreamKeySet, KeysFault>

/** @param url - the address of the key set; `undefined` while it is unknown */
export function upstreamKeys(
  url: () => Promise<string | undefined>,
  config: Config,
  keyring: Keyring,
  fetcher: typeof fetch,
  clock: () => number,
): UpstreamKeys {
  return new RemoteDocument(async () => {
    const jwksUri = await url()
    const fetched =
      jwksUri === undefined ? undefined : await fetchJson(jwksUri, fetcher, documentHeaders(jwksUri, config))
    if (!fetched?.ok) return err('keys_unreachable')
    const keys = await importKeySet(fetched.value, config.upstream.algorithms, keyring)
    return keys ? ok(keys) : err('keys_unusable')
  }, clock)
}

/** RFC 7518 section 3.3. jose would refuse a shorter key only when it verifies. */
const MIN_RSA_BITS = 2048

const isLongEnough = ({ algorithm }: CryptoKey): boolean =>
  ((algorithm as { modulusLength?: number }).modulusLength ?? MIN_RSA_BITS) >= MIN_RSA_BITS

/** A set without a usable key must not replace one that has some. */
async function importKeySet(
  json: Claims,
  algorithms: readonly string[],
  keyring: Keyring,
): Promise<UpstreamKeySet | undefined> {
  if (!Array.isArray(json.keys)) return undefined
  const usable = []
  const seen = new Set<string>()
  for (const jwk of json.keys.slice(0, MAX_KEYS) as JWK[]) {
    try {
      const alg = algorithmOf(jwk, algorithms)
      if (alg === undefined || keyring.has(jwk.kid)) continue
      const thumbprint = await calculateJwkThumbprint(jwk)
      // The same key twice in the set is one key.
      const identity = JSON.stringify([jwk.kid, thumbprint])
      if (keyring.has(thumbprint) || seen.has(identity)) continue
      seen.add(identity)
      const key = (await importJWK(publicHalf(jwk), alg)) as CryptoKey
      if (isLongEnough(key)) usable.push({ jwk, alg, thumbprint, key })
    } catch {
      // A key that this runtime cannot import does not spoil the others.
    }
  }
  return usable.length > 0 ? new UpstreamKeySet(usable) : undefined
}
