/**
 * The inbox's rows: how events are stored, settled, found and deleted. Does I/O.
 *
 * An event is stored before it is parsed, by its source, its id and the digest of its bytes. Settling it is part of the commit
 * of its effect.
 */
import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Database } from '../../db/client.ts'
import type { AgreementRow, InboxRow } from '../../db/rows.ts'
import { agreements, inbox } from '../../db/schema.ts'
import { list } from '../../db/sql.ts'
import { type Statement, upsertAll } from '../../db/upsert.ts'
import { readJson } from '../signature.ts'
import type { ReceivedEvent, Settled } from '../sources/source.ts'
import type { Verdict } from '../verdict.ts'

/** Events that are not decided yet. */
export const UNSETTLED = ['received', 'waiting', 'quarantined'] as const
export const isUnsettled = (state: InboxRow['state']): boolean =>
  (UNSETTLED as readonly string[]).includes(state)

/** Members in order, as in RFC 8785, but lone surrogates are accepted too. */
export const sorted = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )

export async function findEvent(db: Database, source: string, id: string): Promise<InboxRow | undefined> {
  const [row] = await db
    .select()
    .from(inbox)
    .where(and(eq(inbox.source, source), eq(inbox.event_id, id)))
  return row
}

/** A stored event as it was received. */
export const eventOf = (row: InboxRow): ReceivedEvent => ({
  source: row.source,
  id: row.event_id,
  type: row.type,
  digest: row.digest,
  occurredAt: row.occurred_at ?? row.received_at,
  payload: readJson(row.body),
  ...(row.system !== null && { system: row.system }),
  ...(row.person !== null && { person: row.person }),
  ...(row.asked_by !== null && { askedBy: row.asked_by }),
})

export const settledOf = (
  row: Pick<InboxRow, 'event_id' | 'state' | 'problem' | 'detail' | 'seq'>,
  duplicate: boolean,
): Settled => ({
  event_id: row.event_id,
  state: row.state,
  problem: row.problem,
  detail: row.detail,
  version: row.seq,
  duplicate,
})

/** The outcome of an event, with the last audit row of its effect. */
export interface Outcome {
  readonly event: ReceivedEvent
  /** The digest of its meaning, equal for two events with the same effect; `null`: it has no meaning here. */
  readonly meaning: string | null
  readonly verdict: Verdict
  readonly seq: number | null
}

/** Settles events, and stores the snapshots in them. @param now - RFC 3339 */
export function settle(db: Database, outcomes: readonly Outcome[], now: string): Statement[] {
  const said = outcomes.flatMap(({ verdict }) => verdict.said)
  const last = new Map(said.map((row) => [row.contract, row]))
  return [...settleAll(db, outcomes, now), ...keepSaid(db, [...last.values()])]
}

/** One statement for any number of events, so that a burst does not need a thousand queries. */
function settleAll(db: Database, outcomes: readonly Outcome[], now: string): Statement[] {
  if (outcomes.length === 0) return []
  const rows = outcomes.map(({ event: { source, id }, meaning, verdict, seq }) => {
    const { state, problem, detail, entity, org, revision, needs } = verdict
    const open = state === 'waiting' || state === 'quarantined'
    return {
      source,
      id,
      state,
      problem,
      detail,
      entity,
      org,
      revision,
      meaning,
      seq,
      needs: open ? needs : null,
      settled_at: open ? null : now,
    }
  })
  const of = (name: keyof (typeof rows)[number]) => sql`done.value ->> ${name}`
  const names = [
    'state',
    'problem',
    'detail',
    'entity',
    'org',
    'revision',
    'meaning',
    'needs',
    'settled_at',
  ] as const
  return [
    db
      .update(inbox)
      .set({
        ...Object.fromEntries(names.map((name) => [name, of(name)])),
        seq: sql`coalesce(${of('seq')}, ${inbox.seq})`,
        attempts: sql`${inbox.attempts} + 1`,
      })
      .from(sql`json_each(${JSON.stringify(rows)}) AS done`)
      .where(
        and(
          eq(inbox.source, of('source')),
          eq(inbox.event_id, of('id')),
          inArray(inbox.state, [...UNSETTLED]),
        ),
      ),
  ]
}

/** @param rows - of different contracts */
export const keepSaid = (db: Database, rows: readonly AgreementRow[]): Statement[] =>
  upsertAll(db, agreements, ['contract'], rows)

/** Those of the events that are already settled, by `source id`. */
export async function settledAmong(
  db: Database,
  events: readonly ReceivedEvent[],
): Promise<Map<string, InboxRow>> {
  const unique = (values: string[]) => list([...new Set(values)])
  const rows = await db
    .select()
    .from(inbox)
    .where(
      and(
        inArray(inbox.source, unique(events.map(({ source }) => source))),
        inArray(inbox.event_id, unique(events.map(({ id }) => id))),
      ),
    )
  return new Map(
    rows.filter(({ state }) => !isUnsettled(state)).map((row) => [`${row.source} ${row.event_id}`, row]),
  )
}

/**
 * The latest event about a subject that had an effect, of these types if given.
 *
 * @param but - the event that asks, which may have had a part of its effect
 */
export async function lastApplied(
  db: Database,
  entity: string,
  types?: readonly string[],
  but?: ReceivedEvent,
): Promise<{ revision: number; meaning: string | null } | undefined> {
  const ofType = types ? sql` AND type IN ${list(types)}` : sql``
  const [row] = await db.all<{ revision: number; meaning: string | null }>(
    sql`SELECT revision, meaning FROM inbox
        WHERE entity = ${entity} AND (state = 'applied' OR seq IS NOT NULL) AND revision IS NOT NULL${ofType}
          AND NOT (source = ${but?.source ?? ''} AND event_id = ${but?.id ?? ''})
        ORDER BY revision DESC LIMIT 1`,
  )
  return row
}

/** Events of these contracts that wait for another one, the first revision first. */
export const waitingFor = (db: Database, entities: readonly string[], limit: number): Promise<InboxRow[]> =>
  db
    .select()
    .from(inbox)
    .where(and(eq(inbox.state, 'waiting'), inArray(inbox.entity, list(entities))))
    .orderBy(inbox.revision)
    .limit(limit)
