/**
 * The inbox's rows: how events are kept, settled, found again and forgotten. Does I/O.
 *
 * An event is kept before it is understood: by its source, its id and the digest of its bytes. Settling it is part of the
 * commit of what it changes.
 */
import { and, eq, inArray, isNull, ne, or, sql } from 'drizzle-orm'
import type { Database } from '../../db/client.ts'
import type { AgreementRow, InboxRow } from '../../db/rows.ts'
import { agreements, inbox } from '../../db/schema.ts'
import { list } from '../../db/sql.ts'
import { type Statement, upsertAll } from '../../db/upsert.ts'
import { DAY_MS } from '../../entities/fields.ts'
import { readJson } from '../signature.ts'
import type { ReceivedEvent, Settled, Source } from '../sources/source.ts'
import type { Verdict } from '../verdict.ts'

/** Events of which it is not decided yet what they change. */
export const UNSETTLED = ['received', 'waiting', 'quarantined'] as const
const isUnsettled = (state: InboxRow['state']): boolean => (UNSETTLED as readonly string[]).includes(state)

export interface Kept {
  readonly event: ReceivedEvent
  /** What became of it, where that is settled. */
  readonly settled: Settled | undefined
}

/**
 * Keeps an event, once. The same one again is known by its id where that is enough, otherwise by its bytes or what they
 * say; another one under the same id is kept beside it, under its digest.
 *
 * @param body - as it came
 * @param now - RFC 3339
 */
export async function keep(
  db: Database,
  event: ReceivedEvent,
  body: string,
  { idIsEnough }: Pick<Source, 'idIsEnough'>,
  now: string,
): Promise<Kept> {
  const row = rowOf(event, body, now)
  const [inserted] = await insert(db, row)
  if (inserted) return { event, settled: undefined }
  const before = await findEvent(db, event.source, event.id)
  if (!before) throw new Error('an event that was kept is not there')
  const same = idIsEnough || before.digest === event.digest || sameJson(before.body, body)
  if (same) {
    if (!isUnsettled(before.state)) return { event, settled: settledOf(before, true) }
    // Of two forms of one event, the later one may be the one that can be read.
    if (before.digest !== event.digest) await replaceBody(db, event, body)
    return { event, settled: undefined }
  }
  const beside = { ...event, id: `${event.id}~${event.digest.slice(0, 12)}` }
  // Two systems behind one source number their events for themselves.
  if (before.system !== (event.system ?? null) && event.system !== undefined && before.system !== null) {
    const [added] = await insert(db, rowOf(beside, body, now))
    const known = added ? undefined : await findEvent(db, beside.source, beside.id)
    return { event: beside, settled: known && !isUnsettled(known.state) ? settledOf(known, true) : undefined }
  }
  const contradiction = {
    ...rowOf(beside, body, now),
    ...{ state: 'quarantined' as const, problem: 'event_id_reused', needs: [], attempts: 1 },
  }
  await db
    .insert(inbox)
    .values(contradiction)
    .onConflictDoUpdate({
      target: [inbox.source, inbox.event_id],
      set: { attempts: sql`${inbox.attempts} + 1` },
    })
  const kept = await findEvent(db, beside.source, beside.id)
  return { event: beside, settled: settledOf(kept ?? { ...NEW, ...contradiction }, false) }
}

const NEW = {
  ...{
    problem: null,
    detail: null,
    entity: null,
    org: null,
    revision: null,
    meaning: null,
    settled_at: null,
  },
  ...{ seq: null, needs: null, dismissed_by: null, dismissed_reason: null },
}

const rowOf = (event: ReceivedEvent, body: string, now: string) => ({
  ...{ source: event.source, event_id: event.id, type: event.type, state: 'received' as const },
  ...{ body, digest: event.digest, occurred_at: event.occurredAt, received_at: now, attempts: 0 },
  ...{ system: event.system ?? null, person: event.person ?? null, asked_by: event.askedBy ?? null },
})

const insert = (db: Database, row: ReturnType<typeof rowOf>) =>
  db.insert(inbox).values(row).onConflictDoNothing().returning({ id: inbox.event_id })

const replaceBody = (db: Database, { source, id, digest, type }: ReceivedEvent, body: string) =>
  db
    .update(inbox)
    .set({ body, digest, type })
    .where(and(eq(inbox.source, source), eq(inbox.event_id, id), inArray(inbox.state, [...UNSETTLED])))

/** Whether two bodies say the same, however they are written. */
function sameJson(one: string, other: string): boolean {
  const [a, b] = [readJson(one), readJson(other)]
  return a !== undefined && b !== undefined && sorted(a) === sorted(b)
}

/** Members in order, as RFC 8785 has them; half characters, which that refuses, are taken too. */
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

/** A kept event as it was received. */
export const eventOf = (row: InboxRow): ReceivedEvent => ({
  ...{ source: row.source, id: row.event_id, type: row.type, digest: row.digest },
  ...{ occurredAt: row.occurred_at ?? row.received_at, payload: readJson(row.body) },
  ...(row.system !== null && { system: row.system }),
  ...(row.person !== null && { person: row.person }),
  ...(row.asked_by !== null && { askedBy: row.asked_by }),
})

export const settledOf = (
  row: Pick<InboxRow, 'event_id' | 'state' | 'problem' | 'detail' | 'seq'>,
  duplicate: boolean,
): Settled => ({
  ...{ event_id: row.event_id, state: row.state, problem: row.problem, detail: row.detail },
  ...{ version: row.seq, duplicate },
})

/** What became of an event, with the last audit row of its effect. */
export interface Outcome {
  readonly event: ReceivedEvent
  /** The digest of what it means, which is the same for two events that say the same; `null`: it means nothing here. */
  readonly meaning: string | null
  readonly verdict: Verdict
  readonly seq: number | null
}

/** Settles events, and keeps what was said by them. @param now - RFC 3339 */
export function settle(db: Database, outcomes: readonly Outcome[], now: string): Statement[] {
  const said = outcomes.flatMap(({ verdict }) => verdict.said)
  const last = new Map(said.map((row) => [row.contract, row]))
  return [...settleAll(db, outcomes, now), ...keepSaid(db, [...last.values()])]
}

/** However many they are, one statement: a burst of events is no thousand queries. */
function settleAll(db: Database, outcomes: readonly Outcome[], now: string): Statement[] {
  if (outcomes.length === 0) return []
  const rows = outcomes.map(({ event: { source, id }, meaning, verdict, seq }) => {
    const { state, problem, detail, entity, org, revision, needs } = verdict
    const open = state === 'waiting' || state === 'quarantined'
    return {
      ...{ source, id, state, problem, detail, entity, org, revision, meaning, seq },
      ...{ needs: open ? needs : null, settled_at: open ? null : now },
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

/** Those of the events that are settled already, by `source id`. */
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

/** The latest event about something that had an effect, of these types if they are named. */
export async function lastApplied(
  db: Database,
  entity: string,
  types?: readonly string[],
): Promise<{ revision: number; meaning: string | null } | undefined> {
  const ofType = types ? sql` AND type IN ${list(types)}` : sql``
  const [row] = await db.all<{ revision: number; meaning: string | null }>(
    sql`SELECT revision, meaning FROM inbox
        WHERE entity = ${entity} AND (state = 'applied' OR seq IS NOT NULL) AND revision IS NOT NULL${ofType}
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

/** What can be tried again by itself. @param before - RFC 3339: what was received later is on its way */
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
            // Of before it was noted what they wait for: once.
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

/** One of the names that it waits for is ours by now, or is mapped. */
const HEALED = sql`EXISTS (
  SELECT 1 FROM (
    SELECT substr(value, 1, instr(value, ':') - 1) AS kind, substr(value, instr(value, ':') + 1) AS name
    FROM json_each(inbox.needs)) AS need
  WHERE EXISTS (
      SELECT 1 FROM mappings m WHERE m.source = inbox.source AND m.external_id = need.name AND m.target IS NOT NULL
        AND (m.kind = need.kind OR (need.kind = 'price' AND m.kind IN ('plan', 'flag'))))
    OR (need.kind = 'org' AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = need.name))
    OR (need.kind = 'plan' AND EXISTS (SELECT 1 FROM plans p WHERE p.key = need.name))
    OR (need.kind = 'flag' AND EXISTS (SELECT 1 FROM flags f WHERE f.key = need.name)))`

/** What it asked for is decided, or never was asked for. */
const DECIDED = sql`(inbox.problem = 'approval_required' AND (inbox.detail IS NULL OR EXISTS (
  SELECT 1 FROM change_requests c WHERE c.id = inbox.detail AND c.state IN ('applied', 'stale'))))`

/** What it is based on is there: a crash came in between. */
const READY = sql`(EXISTS (
    SELECT 1 FROM agreements a WHERE a.contract = substr(inbox.entity, length('contract:') + 1)
      AND a.revision >= json_extract(inbox.body, '$.data.base_revision'))
  OR EXISTS (
    SELECT 1 FROM contracts c WHERE c.id = substr(inbox.entity, length('contract:') + 1)
      AND c.revision >= json_extract(inbox.body, '$.data.base_revision')))`

/** How long an event is kept that somebody need not look at any more. */
export const INBOX_DAYS = 90
const FORGOTTEN_A_RUN = 2_000

/**
 * What decided a contract is kept as long as that; the latest event of its type about anything says which ones come late.
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
