/**
 * A subject's current documents and whether its session is revoked, in at most one read of KV over two caches.
 *
 * A document that does not parse counts as unreadable and never replaces a good one.
 */
import type { SubjectIds } from '../../core/claims.ts'
import type { Result } from '../../core/result.ts'
import type { EntitlementsKV } from '../config.ts'
import {
  type CacheOptions,
  DocumentCache,
  type DocumentFault,
  type SubjectDocuments,
} from './document_cache.ts'
import { type KvFault, KvReader, type KvTexts } from './kv_reader.ts'
import { RevocationCache, type SessionIds } from './revocation_cache.ts'

export interface Documents extends SubjectDocuments {
  /** Whether the token or its session was revoked; `undefined`: not looked up, or unknown. */
  readonly revoked?: boolean | undefined
}

export type LookupFault = KvFault | DocumentFault

export type DocumentKind = 'catalog' | 'org' | 'user' | 'revoked'

/** Receives a fault and the kind of document, for the log. Not its key, which would say who is logging in. */
export type OnFault = (fault: LookupFault, kind: DocumentKind) => void

const kindOf = (key: string): DocumentKind => key.slice(0, key.indexOf(':')) as DocumentKind

export interface DocumentStoreOptions extends CacheOptions {
  readonly kv: EntitlementsKV
}

export class DocumentStore {
  readonly #reader: KvReader
  readonly #documents: DocumentCache
  readonly revocations: RevocationCache

  constructor(options: DocumentStoreOptions) {
    this.#reader = new KvReader(options.kv)
    this.#documents = new DocumentCache(options)
    this.revocations = new RevocationCache(options)
  }

  /** @param session - also looked up in the denylist, in the same read */
  async lookup(ids: SubjectIds, onFault: OnFault, session?: SessionIds): Promise<Documents> {
    const documents = [...this.#documents.keysOf(ids).keys()]
    const revocations = session ? this.revocations.keysOf(session) : []
    const due = [
      ...documents.filter((key) => !this.#documents.isCurrent(key)),
      ...revocations.filter((key) => !this.revocations.isCurrent(key)),
    ]
    if (due.length > 0) {
      const texts = await this.#reader.read(due)
      const isDue = new Set(due)
      this.#keepDocuments(ids, (key) => isDue.has(key), texts, onFault)
      for (const key of revocations) if (isDue.has(key)) this.#keepRevocation(key, texts, onFault)
    }
    const found = this.#documents.readings(ids)
    return session ? { ...found, revoked: this.revocations.isRevoked(session) } : found
  }

  /**
   * The same, read from KV again, however young the cached documents are. If KV does not answer, those are returned: a read
   * that is cut short for the client is not a fault.
   */
  async lookAgain(ids: SubjectIds, onFault: OnFault, timeoutMs: number): Promise<Documents> {
    const texts = await this.#reader.read([...this.#documents.keysOf(ids).keys()], timeoutMs)
    if (texts.ok) this.#keepDocuments(ids, () => true, texts, onFault)
    return this.#documents.readings(ids)
  }

  #keepDocuments(
    ids: SubjectIds,
    isDue: (key: string) => boolean,
    texts: Result<KvTexts, KvFault>,
    onFault: OnFault,
  ): void {
    for (const [key, parse] of this.#documents.keysOf(ids)) {
      if (!isDue(key)) continue
      if (!texts.ok) this.#documents.fail(key)
      const fault = texts.ok ? this.#documents.keep(key, texts.value.get(key) ?? null, parse) : texts.reason
      if (fault !== undefined) onFault(fault, kindOf(key))
    }
  }

  #keepRevocation(key: string, texts: Result<KvTexts, KvFault>, onFault: OnFault): void {
    if (texts.ok) {
      this.revocations.keep(key, texts.value.get(key) ?? null)
    } else {
      this.revocations.fail(key)
      onFault(texts.reason, kindOf(key))
    }
  }
}
