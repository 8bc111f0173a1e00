/**
 * An isolate's cache of KV: per key the last good value, current for a few seconds, and afterwards used when KV does not
 * answer. It holds values only; the reader of KV passes in the results.
 *
 * A text that does not parse never replaces a good value.
 */
import { LruMap } from '../../core/lru.ts'
import type { Result } from '../../core/result.ts'

/** How long a value is current without another read: the longest delay of a change in one isolate. */
export const CURRENT_MS = 5_000

/** A value as it was last read. */
export interface Reading<T> {
  /** `null`: KV has no such entry. */
  readonly document: T | null
  /** Epoch milliseconds. */
  readonly readAt: number
  /** Whether KV failed to return a newer one. */
  readonly stale: boolean
}

interface Kept<T> {
  readonly text: string | null
  readonly document: T | null
  readAt: number
  /** When KV last failed to return it, if it has not returned it since. */
  failedAt: number | undefined
}

export interface ReadingCacheOptions<T> {
  readonly maxEntries: number
  readonly staleMaxSeconds: number
  readonly clock: () => number
  /** Whether a value was already replaced: the edges of KV do not agree at once. */
  readonly isOlder?: (value: T | null, kept: T | null) => boolean
  /** Until when a value cannot change, whatever KV says; epoch milliseconds. */
  readonly finalUntil?: (value: T) => number
}

export class ReadingCache<T> {
  readonly #options: ReadingCacheOptions<T>
  readonly #kept: LruMap<string, Kept<T>>

  constructor(options: ReadingCacheOptions<T>) {
    this.#options = options
    this.#kept = new LruMap(options.maxEntries)
  }

  /** A key whose read failed a moment ago is not due either, as long as there is a good value. */
  isCurrent(key: string): boolean {
    const kept = this.#kept.get(key)
    if (!kept) return false
    const now = this.#options.clock()
    if (kept.document !== null && now < (this.#options.finalUntil?.(kept.document) ?? 0)) return true
    return now - (kept.failedAt ?? kept.readAt) < CURRENT_MS && this.#isUsable(kept)
  }

  /** The last good value; `undefined` if there is none, or it has been stale for too long. */
  reading(key: string): Reading<T> | undefined {
    const kept = this.#kept.get(key)
    if (!kept || !this.#isUsable(kept)) return undefined
    return { document: kept.document, readAt: kept.readAt, stale: kept.failedAt !== undefined }
  }

  /** Stores a result of KV. @returns what is wrong with it, if it is not usable */
  keep(
    key: string,
    text: string | null,
    parse: (text: string) => Result<T>,
  ): 'document_invalid' | 'document_older' | undefined {
    const readAt = this.#options.clock()
    const kept = this.#kept.get(key)
    if (kept && kept.text === text) {
      kept.readAt = readAt
      kept.failedAt = undefined
      return undefined
    }
    const parsed = text === null ? { ok: true as const, value: null } : parse(text)
    if (!parsed.ok) return 'document_invalid'
    if (kept && this.#isUsable(kept) && this.#options.isOlder?.(parsed.value, kept.document))
      return 'document_older'
    this.#kept.set(key, { text, document: parsed.value, readAt, failedAt: undefined })
    return undefined
  }

  /** Records that KV did not return a usable value. */
  fail(key: string): void {
    const kept = this.#kept.get(key)
    if (kept) kept.failedAt = this.#options.clock()
  }

  delete(key: string): void {
    this.#kept.delete(key)
  }

  #isUsable({ failedAt, readAt }: Kept<T>): boolean {
    const { clock, staleMaxSeconds } = this.#options
    return failedAt === undefined || clock() - readAt <= staleMaxSeconds * 1000
  }
}
