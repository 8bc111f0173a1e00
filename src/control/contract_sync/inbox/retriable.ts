/** Which events are retried automatically, and how long settled ones are kept. Does I/O. */
import { and, eq, inArray, isNull, ne, or, sql } from 'drizzle-orm'
import type { Database } from '../../db/client.ts'
import type { InboxRow } from '../../db/rows.ts'
import { inbox } from '../../db/schema.ts'
import { DAY_MS } from '../../entities/fields.ts'

/** Events to retry. @param before - RFC 3339: events that were received later are still in progress */
export async function retriable(db: Database, before: string, limit: number): Promise<InboxRow[]> {
  const rows = await db
    .select()
    .from(inbox)
    .where(
      or(
        and(eq(inbox.state, 'received'), sql`${inbox.received_at} < ${before}`),
        and(
          eq(inbox.state, 'quarantined'),
          or(
            inArray(inbox.problem, ['refetch_failed', 'apply_failed']),
            // From before their needs were stored: once.
            and(isNull(inbox.needs), ne(inbox.problem, 'event_id_reused')),
            HEALED,
            DECIDED,
          ),
        ),
        and(eq(inbox.state, 'waiting'), READY),
      ),
    )
    .orderBy(inbox.attempts, inbox.received_at)
    .limit(limit)
  return rows.toSorted((a, b) => (a.revision ?? 0) - (b.revision ?? 0))
}

/** One of the names that it waits for exists or is mapped by now. */
const HEALED = sql`EXISTS (
  SELECT 1 FROM (
    SELECT substr(value, 1, instr(value, ':') - 1) AS kind, substr(value, instr(value, ':') + 1) AS name
    FROM json_each(inbox.needs)) AS need
  WHERE EXISTS (
      SELECT 1 FROM mappings m WHERE m.source = inbox.source AND m.external_id = need.name AND m.target IS NOT NULL
        AND (m.kind = need.kind OR (need.kind = 'price' AND m.kind IN ('plan', 'flag'))))
    OR (need.kind = 'customer' AND (
      SELECT count(DISTINCT c.org) FROM agreements a JOIN contracts c ON c.id = a.contract
      WHERE a.source = inbox.source AND a.customer = need.name AND a.contract NOT LIKE 'stripe-entitlements:%') = 1)
    OR (need.kind = 'org' AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = need.name))
    OR (need.kind = 'plan' AND EXISTS (SELECT 1 FROM plans p WHERE p.key = need.name))
    OR (need.kind = 'flag' AND EXISTS (SELECT 1 FROM flags f WHERE f.key = need.name)))`

/** Its change request is decided, or was never created. */
const DECIDED = sql`(inbox.problem = 'approval_required' AND (inbox.detail IS NULL OR EXISTS (
  SELECT 1 FROM change_requests c WHERE c.id = inbox.detail AND c.state IN ('applied', 'stale'))))`

/** Its base revision is applied: a crash happened in between. */
const READY = sql`(EXISTS (
    SELECT 1 FROM agreements a WHERE a.contract = substr(inbox.entity, length('contract:') + 1)
      AND a.revision >= json_extract(inbox.body, '$.data.base_revision'))
  OR EXISTS (
    SELECT 1 FROM contracts c WHERE c.id = substr(inbox.entity, length('contract:') + 1)
      AND c.revision >= json_extract(inbox.body, '$.data.base_revision')))`

/** How long settled events are kept. */
export const INBOX_DAYS = 90
const FORGOTTEN_A_RUN = 2_000

/**
 * The event that decided a contract is kept as long as the contract; the latest event of a type about a subject shows which
 * ones are late.
 *
 * @param now - epoch milliseconds
 */
export async function forgetEvents(db: Database, now: number): Promise<void> {
  const before = new Date(now - INBOX_DAYS * DAY_MS).toISOString()
  await db.run(
    sql`DELETE FROM inbox WHERE rowid IN (
          SELECT old.rowid FROM inbox AS old
          WHERE old.received_at < ${before} AND old.state NOT IN ('received', 'waiting', 'quarantined')
            AND (old.state <> 'applied' OR old.entity IS NULL OR EXISTS (
              SELECT 1 FROM inbox AS later WHERE later.entity = old.entity AND later.type = old.type
                AND later.state = 'applied' AND later.revision > old.revision))
            AND NOT EXISTS (SELECT 1 FROM agreements a WHERE a.event_source = old.source AND a.event_id = old.event_id)
          LIMIT ${FORGOTTEN_A_RUN})`,
  )
}
