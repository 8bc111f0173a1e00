/**
 * The gateway's public keys, kept in memory.
 *
 * They are fetched again when they are old or a token names a key that is not among them, at most once in a cool-down; a
 * fetch that fails leaves the former ones for as long as it takes, so that a gateway that is down stops no service. Before
 * there are any, one request fetches and the others look again and again: on Workers a promise of one request must not be
 * awaited by another.
 */
import { err, ok, type Result } from '../core/result.ts'
import type { GatewayClock } from './gateway_clock.ts'
import { type GatewayKey, type GatewayKeySet, importKeySet, type KeySetFault } from './key_set.ts'

/** As long as the gateway lets its set be kept. */
const MAX_AGE_MS = 300_000
const COOL_DOWN_MS = 30_000
/** Without any keys nobody gets in, but garbage must not cause a fetch each. */
const COLD_COOL_DOWN_MS = 1_000
/** How long a request waits for another one's fetch, which ends with that request. */
const PATIENCE_MS = 2_000
const LOOK_MS = 20
const TIMEOUT_MS = 5_000
/** A key set is a few KiB. */
const MAX_SET_BYTES = 256 * 1024

export type KeyReason = KeySetFault | 'key_unknown'

export interface FoundKey extends GatewayKey {
  /** All environments that the set's keys name. */
  readonly setEnvironments: ReadonlySet<string>
}

export class GatewayKeys {
  readonly #uri: URL
  readonly #fetch: typeof fetch
  readonly #now: () => number
  readonly #clock: GatewayClock
  #set: GatewayKeySet | undefined
  /** What was wrong with the last fetch that failed. */
  #fault: KeySetFault = 'keys_unreachable'
  #loadedAt = Number.NEGATIVE_INFINITY
  #attemptedAt = Number.NEGATIVE_INFINITY
  #isLoading = false

  /** @param clock - set by the time of each answer @param now - epoch milliseconds */
  constructor(uri: URL, fetcher: typeof fetch, clock: GatewayClock, now: () => number) {
    this.#uri = uri
    this.#fetch = fetcher
    this.#clock = clock
    this.#now = now
  }

  async find(kid = ''): Promise<Result<FoundKey, KeyReason>> {
    if (this.#isLoading && !this.#set?.keys.has(kid)) await this.#whileLoading()
    const now = this.#now()
    const isDue = now - this.#loadedAt >= MAX_AGE_MS || !this.#set?.keys.has(kid)
    const isRested = now - this.#attemptedAt >= (this.#set ? COOL_DOWN_MS : COLD_COOL_DOWN_MS)
    if (isDue && isRested) await this.#load(now)
    const set = this.#set
    const key = set?.keys.get(kid)
    if (set && key) return ok({ ...key, setEnvironments: set.environments })
    if (set?.keys.has(kid)) return err('keys_unusable')
    // Nobody can say that the key is none as long as the gateway could not be asked about it.
    return err(this.#loadedAt >= this.#attemptedAt ? 'key_unknown' : this.#fault)
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
      const loaded = await importKeySet(await this.#fetchSet())
      if (!loaded.ok) {
        this.#fault = loaded.reason
        return
      }
      this.#set = loaded.value
      this.#loadedAt = now
    } finally {
      this.#isLoading = false
    }
  }

  /** @returns nothing where it is unreachable, too slow, too large or not JSON */
  async #fetchSet(): Promise<unknown> {
    try {
      const fetcher = this.#fetch
      const response = await fetcher(this.#uri.href, {
        headers: { accept: 'application/json' },
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      if (!response.ok) return undefined
      const text = await response.text()
      if (text.length > MAX_SET_BYTES) return undefined
      this.#clock.set(response.headers.get('date'), this.#now())
      return JSON.parse(text)
    } catch {
      return undefined
    }
  }
}
