/**
 * How many credentials from an address were refused in the last minute. Holds state, one instance per isolate.
 *
 * It bounds the work and the log lines that guessing causes; what makes guessing hopeless is the length of the secrets.
 * An isolate counts for itself, so the bound is per isolate: a rule in front of the Worker is the place for more.
 */
import { LruMap } from '../../core/lru.ts'

/** More than a broken deployment causes that retries every few seconds. */
const MAX_FAILURES = 30
const WINDOW_MS = 60_000
const MAX_ADDRESSES = 1_000

interface Window {
  readonly endsAt: number
  failures: number
}

export class FailedAttempts {
  readonly #windows = new LruMap<string, Window>(MAX_ADDRESSES)

  /** @param now - epoch milliseconds */
  isBlocked(address: string, now: number): boolean {
    const window = this.#windows.get(address)
    return window !== undefined && window.endsAt > now && window.failures >= MAX_FAILURES
  }

  count(address: string, now: number): void {
    const window = this.#windows.get(address)
    if (window !== undefined && window.endsAt > now) window.failures += 1
    else this.#windows.set(address, { endsAt: now + WINDOW_MS, failures: 1 })
  }
}
