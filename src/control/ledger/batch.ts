/**
 * The statements of one commit: audit rows, mutations, outbox rows, and the record of an Idempotency-Key. Pure: it only
 * builds them. D1 runs a batch as one transaction, all or nothing.
 */
import { getTableColumns } from 'drizzle-orm'
import type { BatchItem } from 'drizzle-orm/batch'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { Database } from '../db/client.ts'
import * as schema from '../db/schema.ts'
import { documentsOf, type Edit, entityOf } from '../entities/edit.ts'
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

/** The first audit row comes first: if its `seq` is taken, nothing else happens. */
export function batchOf(
  db: Database,
  entries: readonly Entry[],
  environments: readonly string[],
  kept: (IdempotencyClaim & Replay) | undefined,
): Batch {
  const statements = entries.flatMap(({ edit, audit }): Statement[] => [
    db.insert(schema.audit).values(toRow(audit)),
    upsert(db, edit),
  ])
  // A document that several edits change gets one outbox row, with the last of them.
  const documents = new Map(
    entries.flatMap(({ edit, audit }) =>
      documentsOf(edit, environments).map((ref) => [documentKey(ref), { ref, audit }] as const),
    ),
  )
  for (const [key, { ref, audit }] of documents) {
    const set = { version: audit.seq, changed_at: audit.at, retry_at: null }
    statements.push(
      db
        .insert(schema.documents)
        .values({ ...ref, ...set, key })
        .onConflictDoUpdate({ target: schema.documents.key, set }),
    )
  }
  if (kept) {
    const created_at = entries[0]?.audit.at ?? ''
    statements.push(db.insert(schema.idempotency).values({ ...kept, created_at }))
  }
  return {
    statements,
    environments: [...new Set([...documents.values()].map(({ ref }) => ref.environment))],
  }
}

function upsert(db: Database, { table: name, after }: Edit): Statement {
  const { table, key, written } = entityOf(name)
  const columns = getTableColumns(table) as Record<string, SQLiteColumn>
  const set = written ? Object.fromEntries(written.map((column) => [column, after[column]])) : after
  return db
    .insert(table)
    .values(after as never)
    .onConflictDoUpdate({ target: key.map((column) => columns[column] as SQLiteColumn), set: set as never })
}
