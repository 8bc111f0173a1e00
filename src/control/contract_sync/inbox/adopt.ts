/**
 * Contracts of before it was kept what their sources say: the last event about each, which is kept, says it. Does I/O.
 *
 * Nothing is changed by it. What the mappings of now make of a contract otherwise is found by drift, and moved by an operator.
 */
import { and, desc, eq, sql } from 'drizzle-orm'
import { sha256Hex } from '../../canonical.ts'
import type { Database } from '../../db/client.ts'
import type { AgreementRow, ContractRow, InboxRow } from '../../db/rows.ts'
import { agreements, contracts, inbox } from '../../db/schema.ts'
import { byContract } from '../../entities/contract.ts'
import { State } from '../../ledger/state.ts'
import { snapshotOfRows } from '../contracts/delta.ts'
import { type ContractSnapshot, externalsOf, needsOf } from '../events.ts'
import type { Source } from '../sources/source.ts'
import { parseEvent } from './parse.ts'
import { eventOf, sorted } from './store.ts'

/** @returns how many were adopted, at most `limit` */
export async function adopt(
  db: Database,
  sources: ReadonlyMap<string, Source>,
  now: number,
  limit: number,
): Promise<number> {
  const rows = await db
    .select()
    .from(contracts)
    .where(
      and(
        sql`instr(${contracts.id}, '~') = 0`,
        sql`NOT EXISTS (SELECT 1 FROM agreements a WHERE a.contract = ${contracts.id})`,
        sql`EXISTS (SELECT 1 FROM inbox i WHERE i.entity = 'contract:' || ${contracts.id} AND i.state = 'applied')`,
      ),
    )
    .limit(limit)
  for (const row of rows) {
    const agreement = await agreementOf(row, db, sources, now)
    if (agreement) await db.insert(agreements).values(agreement).onConflictDoNothing()
  }
  return rows.length
}

async function agreementOf(
  { id, source }: ContractRow,
  db: Database,
  sources: ReadonlyMap<string, Source>,
  now: number,
): Promise<AgreementRow | undefined> {
  const [last] = await db
    .select()
    .from(inbox)
    .where(and(eq(inbox.entity, `contract:${id}`), eq(inbox.state, 'applied')))
    .orderBy(desc(inbox.revision))
    .limit(1)
  const rows = await new State(db).rows('contracts').by(byContract, [id])
  const base = snapshotOfRows(id, rows)
  if (!last || rows.length === 0) return undefined
  const said = (await wordsOf(last, id, sources, now)) ?? base
  if (!said) return undefined
  const revision = Math.max(...rows.map((row) => row.revision))
  const own = { ...said, source, revision }
  return {
    contract: id,
    source,
    system: own.system,
    external_id: own.contract,
    customer: own.customer,
    revision,
    meaning: await sha256Hex(sorted({ ...own, system: null })),
    said: own,
    names: [...new Set(externalsOf(own).flatMap(needsOf))],
    whole: true,
    due_since: null,
    event_source: last.source,
    event_id: last.event_id,
    derived_at:
      rows
        .map((row) => row.updated_at)
        .toSorted()
        .at(-1) ?? '',
  }
}

/** The content of the event; a delta does not contain enough. */
async function wordsOf(
  row: InboxRow,
  contract: string,
  sources: ReadonlyMap<string, Source>,
  now: number,
): Promise<ContractSnapshot | undefined> {
  const parsed = await parseEvent(eventOf(row), sources, now)
  const parts = parsed.ok ? parsed.value : []
  return parts.find((part) => part.type === 'contract.snapshot' && part.contract === contract) as
    | ContractSnapshot
    | undefined
}
