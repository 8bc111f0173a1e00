/**
 * The gateway's public keys, kept in hand.
 *
 * They are fetched anew when they are old or a token names a key that is not among them, at most once in a cool-down; a
 * fetch that fails leaves those in hand for as long as it takes, so that a gateway that is down stops no service. Before
 * there are any, one request fetches and the others look again and again: on Workers a promise of one request must not be
 * awaited by another.
 */
import { type CryptoKey, importJWK, type JSONWebKeySet } from 'jose'
import { err, ok, type Result } from '../core/result.ts'

/** A key and the one algorithm that it serves. */
export interface GatewayKey {
  readonly alg: string
  readonly key: CryptoKey
}

/** What the gateway can be configured to sign with. */
const ALGORITHMS = ['ES256', 'RS256', 'EdDSA']

/** As long as the gateway lets its set be kept. */
const MAX_AGE_MS = 300_000
const COOL_DOWN_MS = 30_000
/** Without any keys nobody gets in, but whoever sends garbage must not make a fetch of each. */
const COLD_COOL_DOWN_MS = 1_000
/** How long a request waits for another one's fetch, which ends with that request. */
const PATIENCE_MS = 2_000
const LOOK_MS = 20
const TIMEOUT_MS = 5_000
/** A key set is a few KiB. */
const MAX_SET_BYTES = 256 * 1024

export class GatewayKeys {
  readonly #uri: URL
  readonly #fetch: typeof fetch
  readonly #now: () => number
  #keys: ReadonlyMap<string, GatewayKey> | undefined
  #loadedAt = Number.NEGATIVE_INFINITY
  #attemptedAt = Number.NEGATIVE_INFINITY
  #isLoading = false

  constructor(uri: URL, fetcher: typeof fetch, now: () => number) {
    this.#uri = uri
    this.#fetch = fetcher
    this.#now = now
  }

  async find(kid = ''): Promise<Result<GatewayKey, 'keys_unreachable' | 'key_unknown'>> {
    if (!this.#keys && this.#isLoading) await this.#whileLoading()
    const now = this.#now()
    const isWanting = now - this.#loadedAt >= MAX_AGE_MS || !this.#keys?.has(kid)
    const isRested = now - this.#attemptedAt >= (this.#keys ? COOL_DOWN_MS : COLD_COOL_DOWN_MS)
    if (isWanting && isRested) await this.#load(now)
    const found = this.#keys?.get(kid)
    if (found) return ok(found)
    // Nobody can say that the key is none as long as the gateway could not be asked about it.
    return err(this.#loadedAt >= this.#attemptedAt ? 'key_unknown' : 'keys_unreachable')
  }

  async #whileLoading(): Promise<void> {
    for (let waitedMs = 0; this.#isLoading && waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }

  async #load(now: number): Promise<void> {
    this.#attemptedAt = now
    this.#isLoading = true
    try {
      const fetcher = this.#fetch
      const response = await fetcher(this.#uri.href, {
        headers: { accept: 'application/json' },
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      const text = response.ok ? await response.text() : ''
      if (text === '' || text.length > MAX_SET_BYTES) return
      const jwks = JSON.parse(text) as JSONWebKeySet
      this.#keys = await importKeys(jwks)
      this.#loadedAt = now
    } catch {
      // Unreachable, too slow or no key set: those in hand stay.
    } finally {
      this.#isLoading = false
    }
  }
}

/** The keys that can have signed a token of the gateway's; what else is in the set is upstream's, or for something else. */
async function importKeys({ keys }: JSONWebKeySet): Promise<ReadonlyMap<string, GatewayKey>> {
  const imported = new Map<string, GatewayKey>()
  for (const { kid, alg = '', use = 'sig', ...jwk } of keys) {
    if (kid === undefined || use !== 'sig' || !ALGORITHMS.includes(alg)) continue
    imported.set(kid, { alg, key: (await importJWK(jwk, alg)) as CryptoKey })
  }
  return imported
}
