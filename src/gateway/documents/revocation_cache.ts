/**
 * Which sessions and tokens are known to be revoked, or not to be, as an isolate keeps it.
 *
 * Apart from the documents: tokens come and go, and must not push out what is needed when KV fails. What is revoked stays
 * so, though an edge of KV may not have heard of it for a while.
 */
import { parseRevokedUntil, revokedKey } from '../../core/documents.ts'
import { ok, type Result } from '../../core/result.ts'
import type { CacheOptions } from './document_cache.ts'
import { ReadingCache } from './reading_cache.ts'

/** Sessions and tokens of which an isolate remembers whether they were revoked; at 200 bytes each, some 4 MiB. */
const MAX_REVOCATIONS = 20_000

/** The ids under which a token can have been revoked. */
export interface SessionIds {
  readonly sid: string | undefined
  readonly jti: string | undefined
}

/** That there is one is what counts; what it says tells how long it is good for. */
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

  /** Takes note of a revocation that was just written, which KV may be slow to give back. */
  note(key: string, text: string): void {
    this.#readings.delete(key)
    this.#readings.keep(key, text, parseRevocation)
  }

  /** Whether one of the ids is revoked; `undefined` where that cannot be told. */
  isRevoked(ids: SessionIds): boolean | undefined {
    const readings = this.keysOf(ids).map((key) => this.#readings.reading(key))
    if (readings.some((reading) => reading?.document)) return true
    return readings.includes(undefined) ? undefined : false
  }
}
