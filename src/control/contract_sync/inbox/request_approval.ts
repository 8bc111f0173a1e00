/**
 * Makes change requests of commands that require approval: the event waits for them, and is settled when they are. Does I/O.
 *
 * A crash between the event's commit and the request leaves an event that names no request: the cron requests again.
 */
import { and, eq, sql } from 'drizzle-orm'
import type { Database } from '../../db/client.ts'
import { inbox } from '../../db/schema.ts'
import { sourceActor, whyOf } from '../run_command.ts'
import type { CommitOptions } from './commit.ts'
import type { Outcome } from './store.ts'

export async function requestApprovals(
  { event, verdict }: Outcome,
  { db, ledger, commands }: CommitOptions,
): Promise<void> {
  for (const { action, input } of verdict.requests) {
    const command = commands.get(action)?.create(input, whyOf(event))
    if (!command) continue
    const requested = await ledger.commit(command, sourceActor(event.source, event.person))
    const change = requested.ok && 'request' in requested.value ? requested.value.request : undefined
    await db
      .update(inbox)
      .set(change ? { detail: change.id } : { problem: requested.ok ? 'apply_failed' : requested.reason })
      .where(
        and(eq(inbox.source, event.source), eq(inbox.event_id, event.id), eq(inbox.state, 'quarantined')),
      )
  }
}

/** Settles events whose requests were rejected or cancelled. @param now - RFC 3339 */
export const closeRejected = (db: Database, now: string): Promise<unknown> =>
  db.run(
    sql`UPDATE inbox SET state = 'dismissed', settled_at = ${now}, dismissed_reason = 'The change request was not approved.',
          dismissed_by = 'system:inbox'
        WHERE state = 'quarantined' AND problem = 'approval_required' AND EXISTS (
          SELECT 1 FROM change_requests c WHERE c.id = inbox.detail AND c.state IN ('rejected', 'cancelled'))`,
  )
