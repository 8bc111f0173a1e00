/**
 * The statements of one commit: audit rows, mutations, outbox rows, and the record of an Idempotency-Key. Pure: they are
 * only put together here. D1 runs a batch as one transaction, all or nothing.
 */
import type { BatchItem } from 'drizzle-orm/batch'
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { Database } from '../db/client.ts'
import type { FlagRow } from '../db/rows.ts'
import * as schema from '../db/schema.ts'
import { documentsOf, type Edit } from '../entities/edit.ts'
import { documentKey } from '../entities/projection.ts'
import { type AuditEntry, toRow } from './audit_chain.ts'
import type { IdempotencyClaim, Replay } from './idempotency.ts'

export type Statement = BatchItem<'sqlite'>

/** An edit with the audit row that it leaves. */
export interface Committed {
  readonly edit: Edit
  readonly entry: AuditEntry
}

/** The first audit row comes first: if its `seq` is taken, nothing else happens. */
export function commitStatements(
  db: Database,
  committed: readonly Committed[],
  environments: readonly string[],
  kept: (IdempotencyClaim & Replay) | undefined,
): [Statement, ...Statement[]] {
  const statements = committed.flatMap(({ edit, entry }): Statement[] => [
    db.insert(schema.audit).values(toRow(entry)),
    upsert(db, edit),
  ])
  // A document that several edits are about is told of once, with the last of them.
  const changed = committed.flatMap(({ edit, entry }) =>
    documentsOf(edit, environments).map((ref) => ({ ref, key: documentKey(ref), entry })),
  )
  for (const { ref, key, entry } of new Map(changed.map((one) => [one.key, one])).values()) {
    const set = { version: entry.seq, changed_at: entry.at, retry_at: null }
    statements.push(
      db
        .insert(schema.documents)
        .values({ ...ref, ...set, key })
        .onConflictDoUpdate({ target: schema.documents.key, set }),
    )
  }
  if (kept)
    statements.push(
      db.insert(schema.idempotency).values({ ...kept, created_at: committed[0]?.entry.at ?? '' }),
    )
  return statements as [Statement, ...Statement[]]
}

/** Each table, and the columns by which a row is found again. */
const TABLES = {
  flags: [schema.flags, [schema.flags.key]],
  rules: [schema.rules, [schema.rules.flag, schema.rules.environment]],
  plans: [schema.plans, [schema.plans.key]],
  organizations: [schema.organizations, [schema.organizations.id]],
  contracts: [schema.contracts, [schema.contracts.id]],
  grants: [schema.grants, [schema.grants.id]],
  api_keys: [schema.api_keys, [schema.api_keys.id]],
  policies: [schema.policies, [schema.policies.environment]],
  change_requests: [schema.change_requests, [schema.change_requests.id]],
  mappings: [schema.mappings, [schema.mappings.source, schema.mappings.kind, schema.mappings.external_id]],
  findings: [schema.findings, [schema.findings.id]],
} satisfies Record<Edit['table'], [SQLiteTable, SQLiteColumn[]]>

function upsert(db: Database, edit: Edit): Statement {
  const [table, target] = TABLES[edit.table]
  // The types hold each table to its own row, which an edit does already.
  return db
    .insert(table as typeof schema.flags)
    .values(edit.after as FlagRow)
    .onConflictDoUpdate({ target, set: changedBy(edit) as FlagRow })
}

function changedBy(edit: Edit): Partial<Edit['after']> {
  if (edit.table !== 'findings') return edit.after
  // The rest is what was found, which may have been seen again since it was read.
  const { accepted_by, accepted_reason, accepted_until, updated_at, revision } = edit.after
  return { accepted_by, accepted_reason, accepted_until, updated_at, revision }
}
