/**
 * Stores an event once, before it is parsed: by its source, its id and the digest of its bytes. Does I/O.
 */
import { and, eq, inArray } from 'drizzle-orm'
import type { Database } from '../../db/client.ts'
import { inbox } from '../../db/schema.ts'
import { readJson } from '../signature.ts'
import type { ReceivedEvent, Settled, Source } from '../sources/source.ts'
import { findEvent, isUnsettled, settledOf, sorted, UNSETTLED } from './store.ts'

export interface Kept {
  readonly event: ReceivedEvent
  /** Its outcome, if it is settled. */
  readonly settled: Settled | undefined
  /** Whether another event has its id: then only what it takes away is applied. */
  readonly reused?: boolean
}

/**
 * Stores an event once. The same one again is recognized by its id if that is enough, otherwise by its bytes or content;
 * another one with the same id is stored beside it, under its digest.
 *
 * @param body - as it arrived
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
    // Of two forms of one event, the later one may be the readable one.
    if (before.digest !== event.digest) await replaceBody(db, event, body)
    return { event, settled: undefined }
  }
  const beside = { ...event, id: `${event.id}~${event.digest.slice(0, 12)}` }
  // Two systems behind one source number their events independently.
  if (before.system !== (event.system ?? null) && event.system !== undefined && before.system !== null) {
    const [added] = await insert(db, rowOf(beside, body, now))
    const known = added ? undefined : await findEvent(db, beside.source, beside.id)
    return { event: beside, settled: known && !isUnsettled(known.state) ? settledOf(known, true) : undefined }
  }
  const contradiction = {
    ...rowOf(beside, body, now),
    state: 'quarantined' as const,
    problem: 'event_id_reused',
    needs: [],
  }
  await db.insert(inbox).values(contradiction).onConflictDoNothing()
  const kept = await findEvent(db, beside.source, beside.id)
  const settled = settledOf(kept ?? { ...NEW, ...contradiction }, false)
  return { event: beside, settled, reused: settled.state === 'quarantined' }
}

const NEW = {
  problem: null,
  detail: null,
  entity: null,
  org: null,
  revision: null,
  meaning: null,
  settled_at: null,
  seq: null,
  needs: null,
  dismissed_by: null,
  dismissed_reason: null,
}

const rowOf = (event: ReceivedEvent, body: string, now: string) => ({
  source: event.source,
  event_id: event.id,
  type: event.type,
  state: 'received' as const,
  body,
  digest: event.digest,
  occurred_at: event.occurredAt,
  received_at: now,
  attempts: 0,
  system: event.system ?? null,
  person: event.person ?? null,
  asked_by: event.askedBy ?? null,
})

const insert = (db: Database, row: ReturnType<typeof rowOf>) =>
  db.insert(inbox).values(row).onConflictDoNothing().returning({ id: inbox.event_id })

const replaceBody = (db: Database, { source, id, digest, type }: ReceivedEvent, body: string) =>
  db
    .update(inbox)
    .set({ body, digest, type })
    .where(and(eq(inbox.source, source), eq(inbox.event_id, id), inArray(inbox.state, [...UNSETTLED])))

/** Whether two bodies have the same content, however they are written. */
function sameJson(one: string, other: string): boolean {
  const [a, b] = [readJson(one), readJson(other)]
  return a !== undefined && b !== undefined && sorted(a) === sorted(b)
}
