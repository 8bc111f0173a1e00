/**
 * Stage 5: the documents that say what a subject is entitled to now, in at most one KV read.
 *
 * Documents are kept in the isolate: for a few seconds as current, and after that as the last good ones, for when KV
 * does not answer. A document that does not parse counts as one that could not be read and never replaces a good one.
 */
import type { SubjectIds } from '../../core/claims.ts'
import {
  type Catalog,
  catalogKey,
  type OrgDocument,
  orgKey,
  parseCatalog,
  parseOrgDocument,
  parseRevokedUntil,
  parseUserDocument,
  revokedKey,
  type UserDocument,
  userKey,
} from '../../core/documents.ts'
import { LruMap } from '../../core/lru.ts'
import { ok, type Result } from '../../core/result.ts'
import type { EntitlementsKV } from '../config.ts'

/** How long a document is current without asking KV again: the most that a change can be late in one isolate. */
export const CURRENT_MS = 5_000
/** The shortest that KV allows for its own cache at the edge. */
const KV_CACHE_SECONDS = 30
/** A user waits for this refresh; what KV has not said by then it may say to the next one. */
const LOOKUP_TIMEOUT_MS = 2_000
/** Documents kept in an isolate; at 2 KiB each, some 8 MiB of its 128. */
const MAX_DOCUMENTS = 4_000

/** Sessions and tokens of which an isolate remembers whether they were revoked; at 200 bytes each, some 4 MiB. */
const MAX_REVOCATIONS = 20_000

/** A document as it was last read. */
export interface Reading<T> {
  /** `null`: there is no such document, which is an answer too. */
  readonly document: T | null
  /** Epoch milliseconds. */
  readonly readAt: number
  /** Whether KV failed to give a newer one. */
  readonly stale: boolean
}

/** Every document that was asked for; `undefined` where it could not be read and no good one is left. */
export interface Documents {
  readonly catalog: Reading<Catalog> | undefined
  readonly org: Reading<OrgDocument> | undefined
  readonly user: Reading<UserDocument> | undefined
  /** Whether the token or its session was revoked, if that was asked for and can be told. */
  readonly revoked?: boolean | undefined
}

/** The ids under which a token can have been revoked. */
export interface SessionIds {
  readonly sid: string | undefined
  readonly jti: string | undefined
}

export type LookupFault =
  | 'kv_failed'
  | 'kv_timeout'
  | 'document_invalid'
  | 'document_older'
  | 'catalog_missing'

interface Kept {
  text: string | null
  document: Document | null
  readAt: number
  /** When KV last failed to give it, if it did not give it since. */
  failedAt: number | undefined
}

type Document = Catalog | OrgDocument | UserDocument | Revocation
type Parse = (text: string) => Result<Document>

/** That there is one is what counts; what it says tells how long it is good for. */
interface Revocation {
  /** Epoch milliseconds. */
  readonly revokedUntil: number
}
const parseRevocation: Parse = (text) => ok({ revokedUntil: parseRevokedUntil(text) * 1000 })

/** A document that is not there has no version, so that one that was deleted is gone. */
const versionOf = (document: Document | null): number =>
  document && 'version' in document ? document.version : Number.NaN

export interface DocumentStoreOptions {
  readonly kv: EntitlementsKV
  readonly environment: string
  readonly staleMaxSeconds: number
  readonly clock: () => number
}

export class DocumentStore {
  readonly #options: DocumentStoreOptions
  readonly #documents = new LruMap<string, Kept>(MAX_DOCUMENTS)
  /** Apart from the documents: tokens come and go, and must not push out what is needed when KV fails. */
  readonly #revocations = new LruMap<string, Kept>(MAX_REVOCATIONS)

  constructor(options: DocumentStoreOptions) {
    this.#options = options
  }

  /**
   * @param onFault - told the key and what is wrong with it, for the log
   * @param session - also looked up in the denylist, in the same read
   */
  async lookup(
    ids: SubjectIds,
    onFault: (fault: LookupFault, key: string) => void,
    session?: SessionIds,
  ): Promise<Documents> {
    const wanted = this.#wanted(ids)
    const denylist = session ? this.#revocationKeys(session) : []
    for (const key of denylist) wanted.set(key, parseRevocation)

    const due = [...wanted.keys()].filter((key) => !this.#isCurrent(key))
    if (due.length > 0) this.#keepAll(due, await this.#get(due, LOOKUP_TIMEOUT_MS), wanted, onFault)
    return { ...this.#readings(ids), ...(session && { revoked: this.#anyRevoked(denylist) }) }
  }

  /**
   * The same, asked of KV once more, however young the documents in hand are. Where KV does not answer, those are given: a
   * read that is cut short for the client's sake is no fault.
   */
  async lookAgain(
    ids: SubjectIds,
    onFault: (fault: LookupFault, key: string) => void,
    timeoutMs: number,
  ): Promise<Documents> {
    const wanted = this.#wanted(ids)
    const keys = [...wanted.keys()]
    const texts = await this.#get(keys, Math.min(timeoutMs, LOOKUP_TIMEOUT_MS))
    if (typeof texts !== 'string') this.#keepAll(keys, texts, wanted, onFault)
    return this.#readings(ids)
  }

  #wanted({ orgId, userId }: SubjectIds): Map<string, Parse> {
    const { environment } = this.#options
    const wanted = new Map<string, Parse>([
      [catalogKey(environment), (text) => parseCatalog(text, environment)],
    ])
    if (orgId !== undefined) wanted.set(orgKey(environment, orgId), (text) => parseOrgDocument(text, orgId))
    if (userId !== undefined)
      wanted.set(userKey(environment, userId), (text) => parseUserDocument(text, userId))
    return wanted
  }

  #readings({ orgId, userId }: SubjectIds): Documents {
    const { environment } = this.#options
    return {
      catalog: this.#reading(catalogKey(environment)),
      org: orgId === undefined ? undefined : this.#reading(orgKey(environment, orgId)),
      user: userId === undefined ? undefined : this.#reading(userKey(environment, userId)),
    }
  }

  /** Takes note of a revocation that was just written, which KV may be slow to give back. */
  noteRevocation(key: string, text: string): void {
    this.#revocations.delete(key)
    this.#keep(key, text, parseRevocation)
  }

  #revocationKeys({ sid, jti }: SessionIds): string[] {
    const { environment } = this.#options
    const keys: string[] = []
    if (sid !== undefined) keys.push(revokedKey(environment, 'sid', sid))
    if (jti !== undefined) keys.push(revokedKey(environment, 'jti', jti))
    return keys
  }

  #anyRevoked(keys: readonly string[]): boolean | undefined {
    const readings = keys.map((key) => this.#reading(key))
    if (readings.some((reading) => reading?.document)) return true
    return readings.includes(undefined) ? undefined : false
  }

  #kept(key: string): Kept | undefined {
    return (key.startsWith('revoked:') ? this.#revocations : this.#documents).get(key)
  }

  /** A document whose reading failed a moment ago is not asked for again either, as long as a good one stands in. */
  #isCurrent(key: string): boolean {
    const kept = this.#kept(key)
    if (!kept) return false
    const now = this.#options.clock()
    // What is revoked stays so, though an edge of KV may not have heard of it for a while.
    if (kept.document && 'revokedUntil' in kept.document && now < kept.document.revokedUntil) return true
    const since = kept.failedAt ?? kept.readAt
    return now - since < CURRENT_MS && this.#isUsable(kept)
  }

  #isUsable(kept: Kept): boolean {
    const { clock, staleMaxSeconds } = this.#options
    return kept.failedAt === undefined || clock() - kept.readAt <= staleMaxSeconds * 1000
  }

  #reading<T>(key: string): Reading<T> | undefined {
    const kept = this.#kept(key)
    if (!kept || !this.#isUsable(kept)) return undefined
    return { document: kept.document as T | null, readAt: kept.readAt, stale: kept.failedAt !== undefined }
  }

  #keepAll(
    keys: string[],
    texts: Map<string, string | null> | 'kv_failed' | 'kv_timeout',
    wanted: ReadonlyMap<string, Parse>,
    onFault: (fault: LookupFault, key: string) => void,
  ): void {
    for (const key of keys) {
      const fault =
        typeof texts === 'string' ? texts : this.#keep(key, texts.get(key) ?? null, wanted.get(key) as Parse)
      if (fault === undefined) continue
      // A session's id is nobody's to read in a log.
      onFault(fault, wanted.get(key) === parseRevocation ? 'revoked' : key)
      const kept = this.#kept(key)
      if (kept) kept.failedAt = this.#options.clock()
    }
  }

  #keep(key: string, text: string | null, parse: Parse): LookupFault | undefined {
    const readAt = this.#options.clock()
    const kept = this.#kept(key)
    if (kept && kept.text === text) {
      kept.readAt = readAt
      kept.failedAt = undefined
      return undefined
    }
    // Organizations and users may have no document; an environment without a catalog was never published.
    if (text === null && key === catalogKey(this.#options.environment)) return 'catalog_missing'
    const parsed = text === null ? { ok: true as const, value: null } : parse(text)
    if (!parsed.ok) return 'document_invalid'
    // KV's edges do not agree at once: what one of them took back must not return from another.
    if (kept && this.#isUsable(kept) && versionOf(parsed.value) < versionOf(kept.document))
      return 'document_older'
    const kind = parse === parseRevocation ? this.#revocations : this.#documents
    kind.set(key, { text, document: parsed.value, readAt, failedAt: undefined })
    return undefined
  }

  async #get(
    keys: string[],
    timeoutMs: number,
  ): Promise<Map<string, string | null> | 'kv_failed' | 'kv_timeout'> {
    const { promise: timeout, resolve } = Promise.withResolvers<'kv_timeout'>()
    const timer = setTimeout(() => resolve('kv_timeout'), timeoutMs)
    try {
      const reading = this.#options.kv.get(keys, { type: 'text', cacheTtl: KV_CACHE_SECONDS })
      return await Promise.race([reading, timeout])
    } catch {
      return 'kv_failed'
    } finally {
      clearTimeout(timer)
    }
  }
}
