/**
 * The denylist in KV: tokens and sessions that are over before their tokens expire. Read by `live` verification.
 *
 * An entry lasts as long as anything it denies could be valid, and no longer: KV forgets it by itself. KV takes up to a
 * minute to tell other places; this isolate knows at once.
 */
import { revocationDocument, revokedKey } from '../../core/documents.ts'
import { LruMap } from '../../core/lru.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { within } from '../../core/within.ts'
import type { Config, EntitlementsKV } from '../config.ts'

/** The shortest life of a KV entry. */
const KV_MIN_TTL_SECONDS = 60
/** Somebody waits for it, and who logs out does not know of it. */
const PUT_TIMEOUT_MS = 2_000
/** How long a refresh session waits for an answer that is late; see `sessions/send.ts`. */
const LATE_ANSWER_SECONDS = 60
/** What a refresh takes besides upstream: to read keys and documents, and to mint. */
const MINT_SECONDS = 5
/** Entries of which an isolate remembers that they are written; at 150 bytes each, some 600 KiB. */
const MAX_WRITTEN = 4_000

export type DenylistReason = 'denylist_unwritable'

/** What can be denied, and until when (epoch seconds) it could be valid. */
export interface Entry {
  readonly kind: 'sid' | 'jti'
  readonly id: string
  readonly until: number
}

/** Takes note of what was written, for those who read the denylist in this isolate. */
interface Notes {
  note(key: string, text: string): void
}

export class Denylist {
  readonly #kv: EntitlementsKV
  readonly #notes: Notes
  readonly #config: Config
  readonly #clock: () => number
  /** Until when what this isolate wrote denies. KV takes one write of a key a second, and each one is paid for. */
  readonly #written = new LruMap<string, number>(MAX_WRITTEN)

  constructor(kv: EntitlementsKV, notes: Notes, config: Config, clock: () => number) {
    this.#kv = kv
    this.#notes = notes
    this.#config = config
    this.#clock = clock
  }

  /**
   * All tokens of a session, also those that are yet to be minted: a refresh may be on its way, to upstream twice if the
   * first attempt times out, and its answer is given again for as long as it is kept. What upstream itself still grants
   * after that is not ended by this.
   */
  session(sid: string): Entry {
    const { tokenMaxSeconds, reuseSeconds, upstream } = this.#config
    const askingSeconds = Math.max(LATE_ANSWER_SECONDS, Math.ceil((2 * upstream.timeoutMs) / 1000))
    const mintedUntil = this.#seconds() + askingSeconds + reuseSeconds + MINT_SECONDS
    return { kind: 'sid', id: sid, until: mintedUntil + tokenMaxSeconds }
  }

  /** Writes them down within a time limit. What is written already, for as long or longer, is not written again. */
  async add(entries: readonly Entry[]): Promise<Result<void, DenylistReason>> {
    try {
      const written = await within(PUT_TIMEOUT_MS, Promise.all(entries.map((entry) => this.#put(entry))))
      return written === undefined ? err('denylist_unwritable') : ok(undefined)
    } catch {
      return err('denylist_unwritable')
    }
  }

  async #put({ kind, id, until }: Entry): Promise<void> {
    const key = revokedKey(this.#config.environment, kind, id)
    if ((this.#written.get(key) ?? 0) >= until) return
    const text = revocationDocument(until)
    const expirationTtl = Math.max(KV_MIN_TTL_SECONDS, until - this.#seconds())
    await this.#kv.put(key, text, { expirationTtl })
    this.#written.set(key, until)
    this.#notes.note(key, text)
  }

  #seconds(): number {
    return Math.floor(this.#clock() / 1000)
  }
}
