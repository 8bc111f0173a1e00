/**
 * The entitlement documents of the local environment, in the KV that `wrangler dev --persist-to` serves from.
 *
 * Opens the same files as a running gateway does, so that its next read finds a document that is written here. Every
 * document is checked against the schema on its way in and out. Opening starts a workerd: about a second.
 */
import type * as z from 'zod'
import {
  type Catalog,
  catalogKey,
  catalogSchema,
  type OrgDocument,
  orgDocumentSchema,
  orgKey,
  type UserDocument,
  userDocumentSchema,
  userKey,
} from '../src/core/documents.ts'
import { UsageError } from './cli.ts'
import { openBindings } from './local_bindings.ts'
import { STATE } from './wrangler.ts'

/** The part of a KV namespace that is used here; wrangler's proxy has no types of its own for it. */
interface Namespace {
  get(key: string): Promise<string | null>
  put(key: string, value: string): Promise<void>
  list(options: { prefix: string }): Promise<{ keys: { name: string }[] }>
}

export interface LocalDocuments {
  readonly environment: string
  catalog(): Promise<Catalog | null>
  org(orgId: string): Promise<OrgDocument | null>
  user(userId: string): Promise<UserDocument | null>
  /** Ids of the organizations that have a document, sorted. */
  organizations(): Promise<string[]>
  /** Writing gives the document its next version and the time of its publication. */
  saveCatalog(catalog: Catalog): Promise<void>
  saveOrg(document: OrgDocument): Promise<void>
  saveUser(document: UserDocument): Promise<void>
  close(): Promise<void>
}

/** @param persistTo - the folder given to `wrangler dev --persist-to` */
export async function openDocuments(environment = 'production', persistTo = STATE): Promise<LocalDocuments> {
  const platform = await openBindings<{ ENTITLEMENTS: Namespace }>(
    persistTo,
    'wrangler.toml',
    'kv_namespaces',
  )
  const kv = platform.env.ENTITLEMENTS

  async function read<T>(schema: z.ZodType<T>, key: string): Promise<T | null> {
    const text = await kv.get(key)
    if (text === null) return null
    try {
      return schema.parse(JSON.parse(text))
    } catch (error) {
      throw new UsageError(`The local document ${key} does not parse: ${(error as Error).message}`)
    }
  }

  async function save<T extends { version: number }>(schema: z.ZodType<T>, key: string, document: T) {
    const next = { ...document, version: document.version + 1, published_at: new Date().toISOString() }
    await kv.put(key, JSON.stringify(schema.parse(next)))
  }

  const orgPrefix = orgKey(environment, '')
  return {
    environment,
    catalog: () => read(catalogSchema, catalogKey(environment)),
    org: (id) => read(orgDocumentSchema, orgKey(environment, id)),
    user: (id) => read(userDocumentSchema, userKey(environment, id)),
    organizations: async () => {
      const { keys } = await kv.list({ prefix: orgPrefix })
      return keys.map(({ name }) => name.slice(orgPrefix.length)).sort()
    },
    saveCatalog: (catalog) => save(catalogSchema, catalogKey(environment), catalog),
    saveOrg: (document) => save(orgDocumentSchema, orgKey(environment, document.org_id), document),
    saveUser: (document) => save(userDocumentSchema, userKey(environment, document.user_id), document),
    close: () => platform.dispose(),
  }
}
