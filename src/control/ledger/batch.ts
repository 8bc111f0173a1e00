/**
 * The statements of one commit: audit rows, mutations, outbox rows, and the record of an Idempotency-Key. Pure: it only
 * builds them. D1 runs a batch as one transaction, all or nothing.
 */
import { getTableColumns, sql } from 'drizzle-orm'
import type { BatchItem } from 'drizzle-orm/batch'
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { Database } from '../db/client.ts'
import * as schema from '../db/schema.ts'
import { documentsOf, type Edit, entityOf, nameOf } from '../entities/edit.ts'
import { documentKey } from '../entities/projection.ts'
import { type AuditEntry, toRow } from './audit_chain.ts'
import type { IdempotencyClaim, Replay } from './idempotency.ts'

export type Statement = BatchItem<'sqlite'>

/** An edit with its audit row. */
export interface Entry {
  readonly edit: Edit
  readonly audit: AuditEntry
}

export interface Batch {
  readonly statements: readonly Statement[]
  /** The environments whose documents change. */
  readonly environments: readonly string[]
}

/** D1 binds no more values than that in one statement. */
const MAX_PARAMETERS = 100

/** The first audit row comes first: if its `seq` is taken, nothing else happens. */
export function batchOf(
  db: Database,
  entries: readonly Entry[],
  environments: readonly string[],
  kept: (IdempotencyClaim & Replay) | undefined,
): Batch {
  const audits = entries.map(({ audit }) => toRow(audit))
  // A document that several edits change gets one outbox row, with the last of them.
  const documents = new Map(
    entries.flatMap(({ edit, audit: { seq: version, at: changed_at } }) =>
      documentsOf(edit, environments).map((ref) => {
        const key = documentKey(ref)
        return [key, { ...ref, key, version, changed_at, retry_at: null }] as const
      }),
    ),
  )
  const statements: Statement[] = [
    ...inParts(schema.audit, audits).map((part) => db.insert(schema.audit).values(part)),
    ...upserts(
      db,
      entries.map(({ edit }) => edit),
    ),
    ...upsertAll(
      db,
      schema.documents,
      ['key'],
      [...documents.values()],
      ['version', 'changed_at', 'retry_at'],
    ),
  ]
  if (kept) {
    const created_at = entries[0]?.audit.at ?? ''
    statements.push(db.insert(schema.idempotency).values({ ...kept, created_at }))
  }
  return {
    statements,
    environments: [...new Set([...documents.values()].map(({ environment }) => environment))],
  }
}

/** Each row as the last edit of it leaves it. */
function upserts(db: Database, edits: readonly Edit[]): Statement[] {
  const last = new Map(edits.map((edit) => [`${edit.table} ${nameOf(edit.table, edit.after)}`, edit]))
  return [...Map.groupBy(last.values(), ({ table }) => table)].flatMap(([name, own]) => {
    const { table, key, written } = entityOf(name)
    const rows = own.map(({ after }) => after as never)
    return upsertAll(db, table as SQLiteTable, key, rows, written)
  })
}

/** Inserts rows, no two of which have the same key, or sets these columns of those that are there. */
export function upsertAll<T extends SQLiteTable>(
  db: Database,
  table: T,
  key: readonly string[],
  rows: readonly T['$inferInsert'][],
  written?: readonly string[],
): Statement[] {
  const columns: Record<string, SQLiteColumn> = getTableColumns(table)
  const target = key.map((name) => columns[name] as SQLiteColumn)
  const set = Object.fromEntries(
    (written ?? Object.keys(columns)).map((name) => [name, sql.raw(`excluded."${columns[name]?.name}"`)]),
  )
  return inParts(table, rows).map((part) =>
    db
      .insert(table)
      .values(part)
      .onConflictDoUpdate({ target, set: set as never }),
  )
}

/** In as few statements as they fit into: a commit of hundreds of rows stays far below a thousand queries. */
function inParts<T>(table: SQLiteTable, rows: readonly T[]): T[][] {
  const size = Math.floor(MAX_PARAMETERS / Object.keys(getTableColumns(table)).length)
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, n) => rows.slice(n * size, (n + 1) * size))
}
