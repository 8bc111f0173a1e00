/**
 * A JSON document of upstream (discovery, JWKS) that the isolate caches.
 *
 * A failed fetch never replaces a good value, a successful one replaces it whole. Once there is a value, there is at most
 * one attempt per cool-down because it is old, and one because something is missing in it. Only settled values are cached:
 * on Workers a promise that one request started must not be awaited by another.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { readBounded } from './body.ts'

/** After this long the document is fetched again before use, so that a withdrawn key is gone by then. */
const MAX_AGE_MS = 10 * 60_000
/** An unknown `kid`, or an upstream that is down, causes at most one fetch in this time. */
const COOL_DOWN_MS = 30_000
/** The same while there is no value, so that a crowd of clients does not keep upstream down. */
const COLD_COOL_DOWN_MS = 1_000
const TIMEOUT_MS = 5_000
/** How often a request checks whether another one's fetch has finished. */
const POLL_MS = 20
/** A JWKS or a discovery document is a few KiB. */
const MAX_DOCUMENT_BYTES = 256 * 1024

export class RemoteDocument<T, Fault extends string> {
  readonly #load: () => Promise<Result<T, Fault>>
  readonly #clock: () => number
  #value: T | undefined
  #fault: Fault | undefined
  #loadedAt = Number.NEGATIVE_INFINITY
  #attemptedAt = Number.NEGATIVE_INFINITY
  /** When something was last missing. A regular fetch may have happened just before upstream added it. */
  #missedAt = Number.NEGATIVE_INFINITY
  #loading = false

  /** @param load - returns the parsed document, or why it is unavailable; must not throw */
  constructor(load: () => Promise<Result<T, Fault>>, clock: () => number) {
    this.#load = load
    this.#clock = clock
  }

  /** The document: cached, or fetched now; an old one if upstream does not answer. */
  async current(): Promise<Result<T, Fault>> {
    const now = this.#clock()
    if (this.#isDue(now)) await this.#attempt(now)
    return this.#value === undefined ? err(this.#fault as Fault) : ok(this.#value)
  }

  /**
   * Fetches the document again because something is missing in it, unless that was tried a moment ago. Waits for a fetch in
   * progress.
   *
   * @returns whether upstream has returned the cached document since the last attempt began
   */
  async refresh(): Promise<boolean> {
    const now = this.#clock()
    if (now - this.#missedAt >= COOL_DOWN_MS) {
      this.#missedAt = now
      await this.#attempt(now)
    } else {
      for (let waited = 0; this.#loading && waited < TIMEOUT_MS; waited += POLL_MS) await sleep(POLL_MS)
    }
    return this.#loadedAt >= this.#attemptedAt
  }

  /** Why the last attempt failed, if it did. Does not fetch. */
  get fault(): Fault | undefined {
    return this.#loadedAt >= this.#attemptedAt ? undefined : this.#fault
  }

  /** During a fetch an old value is used; only without one, a second request fetches too. */
  #isDue(now: number): boolean {
    const sinceAttempt = now - this.#attemptedAt
    if (this.#value === undefined) return this.#loading || sinceAttempt >= COLD_COOL_DOWN_MS
    return now - this.#loadedAt >= MAX_AGE_MS && sinceAttempt >= COOL_DOWN_MS
  }

  async #attempt(now: number): Promise<void> {
    this.#attemptedAt = now
    this.#loading = true
    const loaded = await this.#load().finally(() => {
      this.#loading = false
    })
    if (!loaded.ok) {
      this.#fault = loaded.reason
      return
    }
    this.#value = loaded.value
    this.#loadedAt = this.#clock()
  }
}

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/**
 * Fetches a JSON object: no redirects, limited in time and size.
 *
 * @param forwarded - headers with upstream's public address: a provider that derives its issuer from them must get the same
 *   here as with token requests
 */
export async function fetchJson(
  url: string,
  fetcher: typeof fetch,
  forwarded: Readonly<Record<string, string>> = {},
): Promise<Result<Record<string, unknown>, 'unreachable'>> {
  try {
    const response = await fetcher(url, {
      // Some providers answer 406 unless a key set's own type is accepted (RFC 7517 section 8.5.2).
      headers: { accept: 'application/json, application/jwk-set+json', ...forwarded },
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (response.ok) {
      const body = await readBounded(response, MAX_DOCUMENT_BYTES)
      const json: unknown = body.ok ? JSON.parse(body.value) : undefined
      if (typeof json === 'object' && json !== null) return ok(json as Record<string, unknown>)
    } else {
      await response.body?.cancel()
    }
  } catch {
    // Cut off, too slow, or not JSON: there is no document either way.
  }
  return err('unreachable')
}
