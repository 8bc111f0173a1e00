/** Plans: the flags that are sold together. */
import { sql } from 'drizzle-orm'
import type { PlanRow } from '../db/rows.ts'
import { plans } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { catalogsOf, difference, type Entity, type Index } from './entity.ts'

const changed = ({ before, after }: { before: PlanRow | null; after: PlanRow }) =>
  difference(before?.flags, after.flags)

/** The members of a plan that decide who has what. */
const decides = ({ flags, grace_days }: PlanRow) => JSON.stringify([flags, grace_days])

export const plan = {
  table: plans,
  kind: 'plan',
  key: ['key'],
  environments: (_, all) => all,
  documents: (_, all) => catalogsOf(all),
  guarded: ({ before, after }) => before === null || decides(before) !== decides(after),
  flags: changed,
  scope: (change) => ({ kind: 'everyone', flags: changed(change), contractsOf: [change.after.key] }),
} satisfies Entity<PlanRow>

/** The plans that hold a flag. */
export const holding: Index<PlanRow> = {
  name: 'holding',
  keysOf: ({ flags }) => flags,
  where: (flags) =>
    sql`EXISTS (SELECT 1 FROM json_each(${plans.flags}) AS held WHERE held.value IN ${list(flags as readonly string[])})`,
}
