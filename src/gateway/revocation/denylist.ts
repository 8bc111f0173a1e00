/**
 * The denylist in KV: tokens and sessions that are over before their tokens expire. Read by `live` verification.
 *
 * An entry lasts as long as anything it denies could be valid, and no longer: KV forgets it by itself. KV takes up to a
 * minute to tell other places; this isolate knows at once.
 */
import { revocationDocument, revokedKey } from '../../core/documents.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Config, EntitlementsKV } from '../config.ts'

/** The shortest life of a KV entry. */
const KV_MIN_TTL_SECONDS = 60

export type DenylistReason = 'denylist_unwritable'

/** What can be denied, and until when (epoch seconds) it could be valid. */
export interface Entry {
  readonly kind: 'sid' | 'jti'
  readonly id: string
  readonly until: number
}

/** Takes note of what was written, for those who read the denylist in this isolate. */
interface Notes {
  noteRevocation(key: string, text: string): void
}

export class Denylist {
  readonly #kv: EntitlementsKV
  readonly #notes: Notes
  readonly #config: Config
  readonly #clock: () => number

  constructor(kv: EntitlementsKV, notes: Notes, config: Config, clock: () => number) {
    this.#kv = kv
    this.#notes = notes
    this.#config = config
    this.#clock = clock
  }

  /** All tokens of a session: none that exists now lives longer than a token minted now would. */
  session(sid: string): Entry {
    return { kind: 'sid', id: sid, until: this.#seconds() + this.#config.tokenMaxSeconds }
  }

  async add(entries: readonly Entry[]): Promise<Result<void, DenylistReason>> {
    const now = this.#seconds()
    try {
      await Promise.all(
        entries.map(async ({ kind, id, until }) => {
          const key = revokedKey(this.#config.environment, kind, id)
          const text = revocationDocument(until)
          await this.#kv.put(key, text, { expirationTtl: Math.max(KV_MIN_TTL_SECONDS, until - now) })
          this.#notes.noteRevocation(key, text)
        }),
      )
      return ok(undefined)
    } catch {
      return err('denylist_unwritable')
    }
  }

  #seconds(): number {
    return Math.floor(this.#clock() / 1000)
  }
}
