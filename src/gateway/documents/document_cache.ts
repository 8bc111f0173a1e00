/**
 * The isolate's cache of the documents that hold entitlements: catalog, organization, user.
 *
 * Organizations and users may have no document. An environment without a catalog was never published.
 */
import type { SubjectIds } from '../../core/claims.ts'
import {
  type Catalog,
  catalogKey,
  type OrgDocument,
  orgKey,
  parseCatalog,
  parseOrgDocument,
  parseUserDocument,
  type UserDocument,
  userKey,
} from '../../core/documents.ts'
import type { Result } from '../../core/result.ts'
import { type Reading, ReadingCache } from './reading_cache.ts'

/** Documents cached per isolate: at 2 KiB each, about 8 MiB of its 128. */
const MAX_DOCUMENTS = 4_000

export type DocumentFault = 'document_invalid' | 'document_older' | 'catalog_missing'

type Document = Catalog | OrgDocument | UserDocument
type Parse = (text: string) => Result<Document>

/** Every document that was looked up; `undefined` if it could not be read and there is no good copy. */
export interface SubjectDocuments {
  readonly catalog: Reading<Catalog> | undefined
  readonly org: Reading<OrgDocument> | undefined
  readonly user: Reading<UserDocument> | undefined
}

/** A missing document has no version, so a deletion always replaces the cached copy. */
const versionOf = (document: Document | null): number => document?.version ?? Number.NaN

export interface CacheOptions {
  readonly environment: string
  readonly staleMaxSeconds: number
  readonly clock: () => number
}

export class DocumentCache {
  readonly #environment: string
  readonly #readings: ReadingCache<Document>

  constructor({ environment, staleMaxSeconds, clock }: CacheOptions) {
    this.#environment = environment
    this.#readings = new ReadingCache({
      maxEntries: MAX_DOCUMENTS,
      staleMaxSeconds,
      clock,
      isOlder: (document, kept) => versionOf(document) < versionOf(kept),
    })
  }

  /** The keys of a subject's documents, each with its parser. */
  keysOf({ orgId, userId }: SubjectIds): Map<string, Parse> {
    const environment = this.#environment
    const keys = new Map<string, Parse>([
      [catalogKey(environment), (text) => parseCatalog(text, environment)],
    ])
    if (orgId !== undefined) keys.set(orgKey(environment, orgId), (text) => parseOrgDocument(text, orgId))
    if (userId !== undefined)
      keys.set(userKey(environment, userId), (text) => parseUserDocument(text, userId))
    return keys
  }

  isCurrent(key: string): boolean {
    return this.#readings.isCurrent(key)
  }

  keep(key: string, text: string | null, parse: Parse): DocumentFault | undefined {
    const isNeverPublished = text === null && key === catalogKey(this.#environment)
    const fault = isNeverPublished ? 'catalog_missing' : this.#readings.keep(key, text, parse)
    if (fault !== undefined) this.#readings.fail(key)
    return fault
  }

  fail(key: string): void {
    this.#readings.fail(key)
  }

  readings({ orgId, userId }: SubjectIds): SubjectDocuments {
    const environment = this.#environment
    return {
      catalog: this.#reading(catalogKey(environment)),
      org: orgId === undefined ? undefined : this.#reading(orgKey(environment, orgId)),
      user: userId === undefined ? undefined : this.#reading(userKey(environment, userId)),
    }
  }

  /** The parser of a key says of which kind its document is. */
  #reading<T extends Document>(key: string): Reading<T> | undefined {
    return this.#readings.reading(key) as Reading<T> | undefined
  }
}
