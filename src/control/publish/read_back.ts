/**
 * Documents read back from KV, and which of them differ from D1. Does I/O.
 *
 * A document counts once every reader of KV must see its last write, and only if it did not change while it was read, so
 * that a change in progress is not taken for a fault.
 */
import { and, eq, inArray, lt, or, sql } from 'drizzle-orm'
import type { DocumentsKV } from '../config.ts'
import type { Database } from '../db/client.ts'
import { documents } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { keysAfter, type Projected, projectKeys } from './store.ts'

/** After this long every reader of KV sees a write. */
const SETTLED_MS = 60_000
/** Keys of one bulk read, as many as KV allows. */
const BULK_KEYS = 100

export interface ReadBackOptions {
  readonly db: Database
  readonly kv: DocumentsKV
  readonly environment: string
  /** Epoch milliseconds. */
  readonly now: number
  /** Documents that have been waiting to be published for longer than this count too. */
  readonly lateAfterMs?: number
}

/** A document that differs from D1, with the one in KV; `null`: missing. */
export interface Wrong extends Projected {
  readonly found: string | null
}

export async function readBack(options: ReadBackOptions, keys: readonly string[]): Promise<Wrong[]> {
  const { db, kv, environment } = options
  const due = await dueVersions(options, keys)
  const expected = (await projectKeys(db, environment, keys)).filter(
    ({ key, version }) => due.get(key) === version,
  )
  const wrong: Wrong[] = []
  for (let start = 0; start < expected.length; start += BULK_KEYS) {
    const group = expected.slice(start, start + BULK_KEYS)
    const found = await kv.get(
      group.map(({ key }) => key),
      { type: 'text' },
    )
    for (const document of group) {
      const text = found.get(document.key) ?? null
      if (text !== document.text) wrong.push({ ...document, found: text })
    }
  }
  if (wrong.length === 0) return []
  const still = await dueVersions(
    options,
    wrong.map(({ key }) => key),
  )
  return wrong.filter(({ key, version }) => still.get(key) === version)
}

/** The versions that KV must show by now. */
async function dueVersions(
  { db, now, lateAfterMs }: ReadBackOptions,
  keys: readonly string[],
): Promise<Map<string, number>> {
  const before = (ms: number): string => new Date(now - ms).toISOString()
  const settled = and(
    eq(documents.published_version, documents.version),
    lt(documents.published_at, before(SETTLED_MS)),
  )
  const late =
    lateAfterMs === undefined
      ? sql`false`
      : and(lt(documents.published_version, documents.version), lt(documents.changed_at, before(lateAfterMs)))
  const rows = await db
    .select({ key: documents.key, version: documents.version })
    .from(documents)
    .where(and(inArray(documents.key, list(keys)), or(settled, late)))
  return new Map(rows.map(({ key, version }) => [key, version]))
}

/** Checks the next documents of an environment and returns the wrong ones. */
export async function readBackAfter(options: ReadBackOptions, cursor: string, limit: number) {
  const keys = await keysAfter(options.db, options.environment, cursor, limit)
  return {
    wrong: await readBack(options, keys),
    read: keys.length,
    next: keys.length < limit ? null : (keys.at(-1) ?? null),
  }
}
