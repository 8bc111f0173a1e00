/**
 * The statements of one commit: audit rows, mutations, outbox rows, and the record of an Idempotency-Key. Pure but for
 * WebCrypto: it only builds them. D1 runs a batch as one transaction, all or nothing.
 */
import type { Database } from '../db/client.ts'
import * as schema from '../db/schema.ts'
import { insertAll, type Statement, upsertAll } from '../db/upsert.ts'
import { effectsOf } from '../effects/evaluate.ts'
import { summarize } from '../effects/summary.ts'
import { documentsOf, type Edit, entityOf, filingOf, nameOf, publicRow } from '../entities/edit.ts'
import { documentKey } from '../entities/projection.ts'
import { type AuditEntry, type Head, hashEntry, toRow } from './audit_chain.ts'
import type { Facts, Step } from './command.ts'
import type { Diff } from './diff_cache.ts'
import type { IdempotencyClaim, Replay } from './idempotency.ts'

/** An edit with its audit row. */
interface Entry {
  readonly edit: Edit
  readonly audit: AuditEntry
}

export interface BatchOptions extends Pick<Facts, 'now' | 'environments'> {
  readonly head: Head
  readonly requestId: string
  /** The change request that everything belongs to. */
  readonly change: string | undefined
  readonly replay: (IdempotencyClaim & Replay) | undefined
}

/**
 * The first audit row comes first: if its `seq` is taken, nothing else happens.
 *
 * @returns also the environments whose documents change
 */
export async function batchOf(db: Database, steps: readonly Step[], diff: Diff, options: BatchOptions) {
  const { environments, replay } = options
  const entries = await entriesOf(steps, diff, options)
  // A document that several edits change gets one outbox row, with the last of them.
  const documents = new Map(
    entries.flatMap(({ edit, audit: { seq: version, at: changed_at } }) =>
      documentsOf(edit, environments).map((ref) => {
        const key = documentKey(ref)
        return [key, { ...ref, key, version, changed_at, retry_at: null }] as const
      }),
    ),
  )
  const changed = [...documents.values()]
  const audits = entries.map(({ audit }) => toRow(audit))
  const statements: Statement[] = [
    ...insertAll(db, schema.audit, audits),
    ...upserts(db, entries),
    ...upsertAll(db, schema.documents, ['key'], changed, ['version', 'changed_at', 'retry_at']),
  ]
  if (replay) {
    const created_at = new Date(options.now).toISOString()
    statements.push(db.insert(schema.idempotency).values({ ...replay, created_at }))
  }
  return { statements, environments: [...new Set(changed.map(({ environment }) => environment))] }
}

/** Each row as the last edit of it leaves it. */
function upserts(db: Database, entries: readonly Entry[]): Statement[] {
  const last = new Map(entries.map(({ edit }) => [nameOf(edit.table, edit.after), edit]))
  return [...Map.groupBy(last.values(), ({ table }) => table)].flatMap(([name, edits]) => {
    const { table, key, written } = entityOf(name)
    const rows = edits.map(({ after }) => after as never)
    return upsertAll(db, table, key, rows, written)
  })
}

/** Each continues the chain, and has its own part of the effective diff; what closes a change request has all of it. */
async function entriesOf(steps: readonly Step[], diff: Diff, options: BatchOptions): Promise<Entry[]> {
  const { now, environments, requestId, change = null } = options
  const entries: Entry[] = []
  let { seq, hash: prev } = options.head
  for (const [position, { edit, action, actor, reason, ticket }] of steps.entries()) {
    const isRequest = edit.table === 'change_requests'
    const effects = isRequest ? diff.effects : effectsOf(diff, position, edit, environments)
    const row = {
      ...filingOf(edit),
      seq: ++seq,
      at: new Date(now).toISOString(),
      actor: actor.id,
      api_key: actor.apiKey,
      on_behalf_of: actor.onBehalfOf ? (actor.onBehalfOf.person ?? actor.onBehalfOf.identity) : null,
      action,
      reason,
      ticket,
      prev,
      change,
      before: publicRow(edit, 'before'),
      after: publicRow(edit, 'after'),
      effect: await summarize(effects, diff.base),
      request_id: requestId,
    }
    prev = await hashEntry(row)
    entries.push({ edit, audit: { ...row, hash: prev } })
  }
  return entries
}
