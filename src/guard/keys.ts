/**
 * The gateway's public keys, kept in memory.
 *
 * They are fetched again when they are old or a token names an unknown key, at most once per cool-down. A failed fetch keeps
 * the former ones, so that services keep working while the gateway is down. Until there are any, one request fetches and the
 * others poll: on Workers a promise of one request must not be awaited by another.
 */
import { err, ok, type Result } from '../core/result.ts'
import { within } from '../core/within.ts'
import type { GatewayClock } from './gateway_clock.ts'
import { type GatewayKey, type GatewayKeySet, importKeySet, type KeySetFault } from './key_set.ts'

/** As long as the gateway allows its set to be cached. */
const MAX_AGE_MS = 300_000
const COOL_DOWN_MS = 30_000
/** Without keys every request is refused, but malformed tokens must not cause one fetch each. */
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
  /** The reason of the last failed fetch. */
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
    // The key cannot be called unknown as long as the gateway could not be reached.
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

  /** @returns `undefined` if it is unreachable, too slow, too large or not JSON */
  async #fetchSet(): Promise<unknown> {
    try {
      // A fetch that was passed may ignore the signal.
      return await within(TIMEOUT_MS, this.#readSet())
    } catch {
      return undefined
    }
  }

  async #readSet(): Promise<unknown> {
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
  }
}
