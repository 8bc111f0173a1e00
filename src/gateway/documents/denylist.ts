/**
 * The denylist in KV: tokens and sessions that end before their tokens expire. Read by `live` verification.
 *
 * An entry lasts as long as anything it denies could be valid; then KV deletes it. KV takes up to a minute to show it in
 * other places; this isolate knows at once.
 */
import { revocationDocument, revokedKey } from '../../core/documents.ts'
import { LruMap } from '../../core/lru.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { within } from '../../core/within.ts'
import type { Config, EntitlementsKV } from '../config.ts'

/** The shortest life of a KV entry. */
const KV_MIN_TTL_SECONDS = 60
/** A client waits for it, and a log-out does not depend on it. */
const PUT_TIMEOUT_MS = 2_000
/** How long a refresh session waits for a late answer; see `sessions/send.ts`. */
const LATE_ANSWER_SECONDS = 60
/** The time of a refresh besides upstream: reading keys and documents, and minting. */
const MINT_SECONDS = 5
/** Written entries that an isolate remembers: at 150 bytes each, about 600 KiB. */
const MAX_WRITTEN = 4_000

export type DenylistReason = 'denylist_unwritable'

/** What can be denied, and until when (epoch seconds) it could be valid. */
export interface Entry {
  readonly kind: 'sid' | 'jti'
  readonly id: string
  readonly until: number
}

/** Records written entries for readers of the denylist in this isolate. */
interface Notes {
  note(key: string, text: string): void
}

export class Denylist {
  readonly #kv: EntitlementsKV
  readonly #notes: Notes
  readonly #config: Config
  readonly #clock: () => number
  /** The ends of the entries that this isolate wrote. KV accepts one write per second for a key, and each one costs money. */
  readonly #written = new LruMap<string, number>(MAX_WRITTEN)

  constructor(kv: EntitlementsKV, notes: Notes, config: Config, clock: () => number) {
    this.#kv = kv
    this.#notes = notes
    this.#config = config
    this.#clock = clock
  }

  /**
   * All tokens of a session, including those that a refresh in progress will mint: it may go to upstream twice if the first
   * attempt times out, and its answer is replayed as long as it is stored. Later refreshes that upstream accepts are not
   * affected.
   */
  session(sid: string): Entry {
    const { tokenMaxSeconds, reuseSeconds, upstream } = this.#config
    const askingSeconds = Math.max(LATE_ANSWER_SECONDS, Math.ceil((2 * upstream.timeoutMs) / 1000))
    const mintedUntil = this.#seconds() + askingSeconds + reuseSeconds + MINT_SECONDS
    return { kind: 'sid', id: sid, until: mintedUntil + tokenMaxSeconds }
  }

  /** Writes entries within a time limit. Entries that are already written for as long or longer are skipped. */
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
