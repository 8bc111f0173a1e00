/**
 * An isolate's cache of sessions and tokens that are known to be revoked, or not revoked.
 *
 * Separate from the documents: tokens come and go, and must not evict what is needed when KV fails. A revoked one stays
 * revoked, even if an edge of KV does not show it yet.
 */
import { parseRevokedUntil, revokedKey } from '../../core/documents.ts'
import { ok, type Result } from '../../core/result.ts'
import type { CacheOptions } from './document_cache.ts'
import { ReadingCache } from './reading_cache.ts'

/** Sessions and tokens that an isolate remembers: at 200 bytes each, about 4 MiB. */
const MAX_REVOCATIONS = 20_000

/** The ids by which a token can be revoked. */
export interface SessionIds {
  readonly sid: string | undefined
  readonly jti: string | undefined
}

/** An entry that exists denies; its content says until when. */
interface Revocation {
  /** Epoch milliseconds. */
  readonly revokedUntil: number
}

const parseRevocation = (text: string): Result<Revocation> =>
  ok({ revokedUntil: parseRevokedUntil(text) * 1000 })

export class RevocationCache {
  readonly #environment: string
  readonly #readings: ReadingCache<Revocation>

  constructor({ environment, staleMaxSeconds, clock }: CacheOptions) {
    this.#environment = environment
    this.#readings = new ReadingCache({
      maxEntries: MAX_REVOCATIONS,
      staleMaxSeconds,
      clock,
      finalUntil: ({ revokedUntil }) => revokedUntil,
    })
  }

  keysOf({ sid, jti }: SessionIds): string[] {
    const keys: string[] = []
    if (sid !== undefined) keys.push(revokedKey(this.#environment, 'sid', sid))
    if (jti !== undefined) keys.push(revokedKey(this.#environment, 'jti', jti))
    return keys
  }

  isCurrent(key: string): boolean {
    return this.#readings.isCurrent(key)
  }

  keep(key: string, text: string | null): void {
    this.#readings.keep(key, text, parseRevocation)
  }

  fail(key: string): void {
    this.#readings.fail(key)
  }

  /** Records a revocation that was just written, because KV may return it late. */
  note(key: string, text: string): void {
    this.#readings.delete(key)
    this.#readings.keep(key, text, parseRevocation)
  }

  /** Whether one of the ids is revoked; `undefined`: unknown. */
  isRevoked(ids: SessionIds): boolean | undefined {
    const readings = this.keysOf(ids).map((key) => this.#readings.reading(key))
    if (readings.some((reading) => reading?.document)) return true
    return readings.includes(undefined) ? undefined : false
  }
}
