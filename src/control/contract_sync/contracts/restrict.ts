/**
 * The restrictions in a change: rows that grant at most what both the existing contract and the new one grant. Pure.
 *
 * An event with an unknown part changes a contract only by these, at once; what it grants waits until everything is known. So
 * no end waits for a name, and half an agreement grants nothing.
 */
import type { ContractRow } from '../../db/rows.ts'
import { rowId } from '../../entities/contract.ts'
import type { ContractPut } from './projection.ts'

const GRANTING = ['active', 'trialing', 'past_due']

/**
 * @param known - the existing rows
 * @param said - the new rows as far as known, of the given organization
 * @param flagsOf - the flags of a plan
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
    // A past-due contract grants nothing beyond its grace period.
    const due = had.status === 'past_due' && { status: had.status, grace_until: had.grace_until }
    return [{ ...row, plan, add, from, to, ...due }]
  }
}

const earlier = (one: string | null, other: string | null): string | null =>
  one === null ? other : other === null || one < other ? one : other
