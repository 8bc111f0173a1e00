/**
 * The current entitlements of a subject, for verifiers that check again and again.
 *
 * An evaluation is cached while it cannot have changed: as long as the documents are the same, and until one of their windows
 * opens or closes. A decision about a token is never cached.
 */
import type { SubjectIds } from '../../core/claims.ts'
import { type Decision, nextChange } from '../../core/evaluate.ts'
import { LruMap } from '../../core/lru.ts'
import { entitle } from './entitle.ts'
import type { Documents } from './store.ts'

export interface CurrentEntitlements {
  readonly flags: readonly string[]
  readonly decisions: readonly Decision[]
  readonly version: string
}

interface Kept {
  readonly documents: readonly unknown[]
  /** Epoch milliseconds: `[from, until)`. */
  readonly from: number
  readonly until: number
  readonly entitlements: CurrentEntitlements
}

/** Subjects cached per isolate: at 3 KiB each, about 6 MiB of its 128. */
const MAX_SUBJECTS = 2_000

export class EntitlementsNow {
  readonly #environment: string
  readonly #kept = new LruMap<string, Kept>(MAX_SUBJECTS)

  constructor(environment: string) {
    this.#environment = environment
  }

  /** @returns `undefined` if a document could not be read, or an id cannot have a document. @param now - epoch milliseconds */
  of(found: Documents, ids: SubjectIds, now: number): CurrentEntitlements | undefined {
    if (ids.unreadable) return undefined
    const documents = [found.catalog?.document, found.org?.document, found.user?.document]
    const key = JSON.stringify([ids.orgId, ids.userId])
    const kept = this.#kept.get(key)
    if (
      kept &&
      kept.from <= now &&
      now < kept.until &&
      documents.every((one, i) => one === kept.documents[i])
    ) {
      return kept.entitlements
    }
    const { flags, decisions, meta } = entitle(found, ids, this.#environment, now)
    if (meta.src === 'degraded') return undefined
    const [org, user] = [found.org?.document, found.user?.document]
    const entitlements = { flags, decisions, version: meta.ver }
    // Within its last second a window counts as ended: see `entitle`.
    const until = nextChange({ org, user }, now) - 1000
    this.#kept.set(key, { documents, from: now, until, entitlements })
    return entitlements
  }
}

/** Epoch seconds: tokens issued earlier are void, according to the documents that could be read. */
export const notBeforeOf = ({ org, user }: Documents): number =>
  Math.max(org?.document?.not_before ?? 0, user?.document?.not_before ?? 0)
