/** Contracts: what an organization pays for. A contract has one row per phase or purchase: `C-9`, `C-9~2`, `C-9~3`. */
import { and, eq, gt, inArray, isNull, or, sql } from 'drizzle-orm'
import type { ContractRow } from '../db/rows.ts'
import { contracts } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { byColumns, difference, type Entity, type Index, orgDocumentsOf, type Selection } from './entity.ts'

export const contract = {
  table: contracts,
  kind: 'contract',
  key: ['id'],
  filing: ({ org }) => ({ org }),
  environments: (_, all) => all,
  documents: ({ org }, all) => orgDocumentsOf(org, all),
  guarded: () => true,
  flags: ({ before, after }) => difference(before?.add, after.add),
  scope: ({ before, after }) => ({
    kind: 'subjects',
    organizations: [after.org],
    users: [],
    flags: [...(before?.add ?? []), ...after.add],
    flagsOf: [before?.plan, after.plan].filter((plan) => typeof plan === 'string'),
  }),
  sourceRevision: true,
} satisfies Entity<ContractRow>

export const rowId = (contract: string, index: number): string =>
  index === 0 ? contract : `${contract}~${index + 1}`

/** `C-9~2` is a row of the contract `C-9`. */
export const isRowOf = (contract: string, id: string): boolean => contractsOf(id).includes(contract)

/** The contracts that a row with this id can belong to. */
const contractsOf = (id: string): readonly string[] => [id, ...(/^(.+)~\d+$/.exec(id)?.slice(1) ?? [])]

/** All rows of a contract, found by the primary key: the character after the digits is a colon. */
export const byContract: Index<ContractRow> = {
  name: 'contract',
  keysOf: ({ id }) => contractsOf(id),
  where: (keys) => sql`${contracts.id} IN (
    SELECT c.id FROM json_each(${JSON.stringify(keys)}) AS j JOIN contracts c ON c.id = j.value
    UNION ALL
    SELECT c.id FROM json_each(${JSON.stringify(keys)}) AS j
      JOIN contracts c ON c.id > j.value || '~' AND c.id < j.value || '~:')`,
}

export const byOrg: Index<ContractRow> = byColumns(contracts.org)

/** Contracts that pay for a flag at an instant or later. @param plans - that hold the flag; @param at - RFC 3339 */
export const payingFor = (flag: string, plans: readonly string[], at: string): Selection<ContractRow> => ({
  where: and(
    or(
      inArray(contracts.plan, list(plans)),
      sql`EXISTS (SELECT 1 FROM json_each(${contracts.add}) AS held WHERE held.value = ${flag})`,
    ),
    or(isNull(contracts.to), gt(contracts.to, at)),
    or(
      inArray(contracts.status, ['trialing', 'active']),
      and(eq(contracts.status, 'past_due'), gt(contracts.grace_until, at)),
    ),
  ),
  matches: ({ plan, add, to, status, grace_until }) =>
    ((plan !== null && plans.includes(plan)) || add.includes(flag)) &&
    (to === null || to > at) &&
    (status === 'trialing' ||
      status === 'active' ||
      (status === 'past_due' && grace_until !== null && grace_until > at)),
})
