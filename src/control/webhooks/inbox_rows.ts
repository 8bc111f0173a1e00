/** The inbox's rows: how events are kept, told and forgotten. */
import { and, eq, inArray, sql } from 'drizzle-orm'
import { canonical, sha256Hex } from '../canonical.ts'
import type { Database } from '../db/client.ts'
import type { InboxRow } from '../db/rows.ts'
import { inbox } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { DAY_MS } from '../entities/fields.ts'
import type { Statement } from '../ledger/batch.ts'
import type { Arrival, ReceivedEvent, Settled } from '../model/source.ts'
import type { Applied } from './effects.ts'
import type { LastApplied } from './give.ts'

/** An event with the digest that tells whether it is the same one. */
export interface Incoming {
  readonly arrival: Arrival
  readonly digest: string
  /** The digest of what it means here. */
  readonly meaning: string | null
}

/** What the inbox tells of an event that it had already. */
export type Told = Pick<InboxRow, 'state' | 'problem' | 'detail' | 'seq'>

/** An event with what was decided of it, in one attempt to commit. */
export interface Decided {
  readonly incoming: Incoming
  /** Under which it is kept. */
  readonly id: string
  readonly duplicate: Told | undefined
  applied: Applied
}

/** The inbox rows of a group. @param seq - of the last audit row, with which the version of each event is found */
export function recordsOf(
  db: Database,
  decided: readonly Decided[],
  seq: number | null,
  now: string,
): Statement[] {
  const versions = versionsOf(decided, seq)
  return decided.flatMap(({ incoming, id, duplicate, applied }, index) => {
    if (duplicate) return []
    const { source, event } = incoming.arrival
    const { state, problem, detail, entity, org, revision } = applied
    const told = {
      ...{ state, problem, detail, entity, org, revision, seq: versions[index] ?? null },
      settled_at: state === 'waiting' || state === 'quarantined' ? null : now,
    }
    return db
      .insert(inbox)
      .values({
        ...{ source, event_id: id, type: event.type, ...told, attempts: 1 },
        ...{ body: JSON.stringify(event.payload), digest: incoming.digest, meaning: incoming.meaning },
        ...{ occurred_at: event.occurredAt, received_at: now },
      })
      .onConflictDoUpdate({
        target: [inbox.source, inbox.event_id],
        set: { ...told, attempts: sql`${inbox.attempts} + 1` },
        setWhere: sql`${inbox.state} IN ('waiting', 'quarantined')`,
      })
  })
}

/** The last audit row of each event. */
function versionsOf(decided: readonly Decided[], seq: number | null): (number | null)[] {
  if (seq === null) return decided.map(() => null)
  let next = seq - decided.reduce((sum, { applied }) => sum + applied.steps.length, 0)
  return decided.map(({ applied }) => {
    next += applied.steps.length
    return applied.steps.length === 0 ? null : next
  })
}

export function settledOf(decided: readonly Decided[], seq: number | null): Map<Incoming, Settled> {
  const versions = versionsOf(decided, seq)
  return new Map(
    decided.map(({ incoming, id, duplicate, applied }, index) => [
      incoming,
      {
        event_id: id,
        state: duplicate?.state ?? applied.state,
        problem: duplicate ? duplicate.problem : applied.problem,
        detail: duplicate ? duplicate.detail : applied.detail,
        version: duplicate ? duplicate.seq : (versions[index] ?? null),
        duplicate: duplicate !== undefined,
      },
    ]),
  )
}

/** What is there already of what has come in, by source and id. */
export async function knownRows(db: Database, group: readonly Incoming[]): Promise<Map<string, InboxRow>> {
  const ids = [...new Set(group.map(({ arrival }) => arrival.event.id))]
  const rows = await db
    .select()
    .from(inbox)
    .where(inArray(inbox.event_id, list(ids)))
  return new Map(rows.map((row) => [`${row.source} ${row.event_id}`, row]))
}

/** The latest event about something that was applied, of these types if they are named. */
export function lastApplied(
  db: Database,
  entity: string,
  types: readonly string[] | undefined,
): Promise<LastApplied | undefined> {
  const ofType = types ? sql` AND type IN ${list(types)}` : sql``
  return db
    .all<LastApplied>(
      sql`SELECT revision, meaning FROM inbox
          WHERE entity = ${entity} AND state = 'applied' AND revision IS NOT NULL${ofType}
          ORDER BY revision DESC LIMIT 1`,
    )
    .then(([row]) => row)
}

/** Events looked at in the course of one commit. */
const MAX_WAITING = 500

/** What waits for one of these. */
export const waitingFor = (db: Database, entities: readonly string[]): Promise<InboxRow[]> =>
  db
    .select()
    .from(inbox)
    .where(and(eq(inbox.state, 'waiting'), inArray(inbox.entity, list(entities))))
    .orderBy(inbox.revision)
    .limit(MAX_WAITING)

/** Contracts that have come as far as an event that waits for them. */
export async function readyContracts(db: Database): Promise<string[]> {
  const rows = await db.all<{ entity: string }>(
    sql`SELECT DISTINCT entity FROM inbox WHERE state = 'waiting' AND EXISTS (
          SELECT 1 FROM contracts c WHERE c.id = substr(entity, length('contract:') + 1)
            AND c.revision >= json_extract(body, '$.data.base_revision'))
        LIMIT ${MAX_WAITING}`,
  )
  return rows.map(({ entity }) => entity)
}

export const eventOf = ({ event_id, type, occurred_at, received_at, body }: InboxRow): ReceivedEvent => ({
  ...{ id: event_id, type, occurredAt: occurred_at ?? received_at, payload: JSON.parse(body) },
})

export async function incomingOf(arrival: Arrival): Promise<Incoming> {
  const { event, parsed } = arrival
  return {
    arrival,
    digest: await digestOf(event.payload),
    meaning: parsed.ok ? await sha256Hex(canonical(parsed.value)) : null,
  }
}

/** Of the event as its sender means it: Stripe counts the deliveries that are still to come, in the event. */
function digestOf(payload: unknown): Promise<string> {
  if (typeof payload !== 'object' || payload === null) return sha256Hex(canonical(payload))
  const { pending_webhooks: _, ...rest } = payload as Record<string, unknown>
  return sha256Hex(canonical(rest))
}

/** How long an event is kept that somebody need not look at any more. */
export const INBOX_DAYS = 90
const FORGOTTEN_A_RUN = 2_000

/**
 * The latest event of its type about anything is kept: it says which ones come too late.
 *
 * @param now - epoch milliseconds
 */
export async function forgetEvents(db: Database, now: number): Promise<void> {
  const before = new Date(now - INBOX_DAYS * DAY_MS).toISOString()
  await db.run(
    sql`DELETE FROM inbox WHERE rowid IN (
          SELECT old.rowid FROM inbox AS old
          WHERE old.received_at < ${before} AND old.state NOT IN ('waiting', 'quarantined')
            AND (old.state <> 'applied' OR old.entity IS NULL OR EXISTS (
              SELECT 1 FROM inbox AS later WHERE later.entity = old.entity AND later.type = old.type
                AND later.state = 'applied' AND later.revision > old.revision))
          LIMIT ${FORGOTTEN_A_RUN})`,
  )
}
