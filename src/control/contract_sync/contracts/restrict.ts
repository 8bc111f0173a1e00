/**
 * What of a change takes something away: the rows that give at most what both the contract as it was and the one that was
 * said give. Pure.
 *
 * An event of which a part is unknown here changes a contract by no more than this, at once; what it gives waits until all
 * of it is known. So no end waits for a name, and nothing is given by half of an agreement.
 */
import type { ContractRow } from '../../db/rows.ts'
import { rowId } from '../../entities/contract.ts'
import type { ContractPut } from './projection.ts'

const GRANTING = ['active', 'trialing', 'past_due']

/**
 * @param known - the rows as they are
 * @param said - the rows as far as they are known, of the organization that is said
 * @param flagsOf - what a plan holds
 */
export function restrict(
  id: string,
  known: readonly ContractRow[],
  said: readonly ContractPut[],
  flagsOf: (plan: string) => readonly string[],
): ContractPut[] {
  const heldBy = ({ plan, add }: Pick<ContractRow, 'plan' | 'add'>) => [
    ...(plan === null ? [] : flagsOf(plan)),
    ...add,
  ]
  const both = said.flatMap((row) => known.flatMap((had) => common(row, had)))
  return both.map((row, index) => ({ ...row, id: rowId(id, index) }))

  function common(row: ContractPut, had: ContractRow): ContractPut[] {
    if (row.org !== had.org || !GRANTING.includes(row.status) || !GRANTING.includes(had.status)) return []
    const from = row.from > had.from ? row.from : had.from
    const to = earlier(row.to, had.to)
    if (to !== null && to <= from) return []
    const held = new Set(heldBy(had))
    const wholePlan = row.plan !== null && flagsOf(row.plan).every((flag) => held.has(flag))
    const add = [...new Set(wholePlan ? row.add : heldBy(row))].filter((flag) => held.has(flag)).toSorted()
    const plan = wholePlan ? row.plan : null
    if (plan === null && add.length === 0) return []
    // Of a contract that is due, nothing is given beyond its grace.
    const due = had.status === 'past_due' && { status: had.status, grace_until: had.grace_until }
    return [{ ...row, plan, add, from, to, ...due }]
  }
}

const earlier = (one: string | null, other: string | null): string | null =>
  one === null ? other : other === null || one < other ? one : other
