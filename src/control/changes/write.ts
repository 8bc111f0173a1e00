/**
 * The statements of one commit: audit rows, mutations, outbox rows, and the record of an Idempotency-Key. Pure: they are
 * only put together here. D1 runs a batch as one transaction, all or nothing.
 */
import type { BatchItem } from 'drizzle-orm/batch'
import type { Database } from '../db/client.ts'
import * as schema from '../db/schema.ts'
import { documentsOf, type Edit } from '../model/edit.ts'
import { documentKey } from '../model/projection.ts'
import { type AuditEntry, toRow } from './chain.ts'
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

function upsert(db: Database, edit: Edit): Statement {
  switch (edit.table) {
    case 'flags':
      return db
        .insert(schema.flags)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.flags.key, set: edit.after })
    case 'rules':
      return db
        .insert(schema.rules)
        .values(edit.after)
        .onConflictDoUpdate({ target: [schema.rules.flag, schema.rules.environment], set: edit.after })
    case 'plans':
      return db
        .insert(schema.plans)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.plans.key, set: edit.after })
    case 'organizations':
      return db
        .insert(schema.organizations)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.organizations.id, set: edit.after })
    case 'contracts':
      return db
        .insert(schema.contracts)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.contracts.id, set: edit.after })
    case 'grants':
      return db
        .insert(schema.grants)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.grants.id, set: edit.after })
    case 'api_keys':
      return db
        .insert(schema.api_keys)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.api_keys.id, set: edit.after })
    case 'policies':
      return db
        .insert(schema.policies)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.policies.environment, set: edit.after })
    case 'change_requests':
      return db
        .insert(schema.change_requests)
        .values(edit.after)
        .onConflictDoUpdate({ target: schema.change_requests.id, set: edit.after })
    case 'mappings': {
      const { source, kind, external_id } = schema.mappings
      return db
        .insert(schema.mappings)
        .values(edit.after)
        .onConflictDoUpdate({ target: [source, kind, external_id], set: edit.after })
    }
    case 'findings': {
      // The rest is what was found, which may have been seen again since it was read.
      const { accepted_by, accepted_reason, accepted_until, updated_at, revision } = edit.after
      return db.insert(schema.findings).values(edit.after).onConflictDoUpdate({
        target: schema.findings.id,
        set: { accepted_by, accepted_reason, accepted_until, updated_at, revision },
      })
    }
  }
}
