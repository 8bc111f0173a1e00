/**
 * The gateway's public keys, kept in hand.
 *
 * They are fetched anew when they are old or a token names a key that is not among them, at most once in a cool-down; a
 * fetch that fails leaves those in hand for as long as it takes, so that a gateway that is down stops no service. Only
 * settled values are kept: on Workers a promise of one request must not be awaited by another.
 */
import { createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { err, ok, type Result } from '../core/result.ts'

type KeySet = ReturnType<typeof createLocalJWKSet>

/** As long as the gateway lets its set be kept. */
const MAX_AGE_MS = 300_000
const COOL_DOWN_MS = 30_000
const TIMEOUT_MS = 5_000
/** A key set is a few KiB. */
const MAX_SET_BYTES = 256 * 1024

export class GatewayKeys {
  readonly #uri: URL
  readonly #fetch: typeof fetch
  readonly #now: () => number
  #set: { find: KeySet; kids: ReadonlySet<string> } | undefined
  #loadedAt = Number.NEGATIVE_INFINITY
  #attemptedAt = Number.NEGATIVE_INFINITY

  constructor(uri: URL, fetcher: typeof fetch, now: () => number) {
    this.#uri = uri
    this.#fetch = fetcher
    this.#now = now
  }

  /** The set that holds a key of that id. */
  async find(kid: string | undefined): Promise<Result<KeySet, 'keys_unreachable' | 'key_unknown'>> {
    const now = this.#now()
    const isWanting = !this.#set || now - this.#loadedAt >= MAX_AGE_MS || !this.#has(kid)
    const isRested = now - this.#attemptedAt >= COOL_DOWN_MS
    if (isWanting && (isRested || !this.#set)) await this.#load(now)
    if (!this.#set) return err('keys_unreachable')
    if (this.#has(kid)) return ok(this.#set.find)
    // Nobody knows the key as long as the gateway could not be asked about it.
    return err(this.#loadedAt >= this.#attemptedAt ? 'key_unknown' : 'keys_unreachable')
  }

  #has(kid: string | undefined): boolean {
    return kid !== undefined && this.#set?.kids.has(kid) === true
  }

  async #load(now: number): Promise<void> {
    this.#attemptedAt = now
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
      const kids = new Set(jwks.keys.map(({ kid }) => kid).filter((kid) => kid !== undefined))
      this.#set = { find: createLocalJWKSet(jwks), kids }
      this.#loadedAt = now
    } catch {
      // Unreachable, too slow or no key set: those in hand stay.
    }
  }
}
