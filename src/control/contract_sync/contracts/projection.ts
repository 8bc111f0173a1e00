/**
 * From a source's snapshot to the rows of a contract. Pure: a parameter resolves the names.
 *
 * A row has one plan and add-ons. A phase becomes one row for each plan that its items resolve to, in the order of the
 * plans' keys, and add-ons belong to the first of them; rows are numbered through all phases, `C-9`, `C-9~2`, `C-9~3`.
 * Evaluation combines all active rows, so that two plans in one subscription add up as their buyer expects. Unknown items are
 * reported; items that grant no flags (support hours, seats) are mapped to a plan without any.
 */
import type { ContractRow } from '../../db/rows.ts'
import { isRowOf, rowId } from '../../entities/contract.ts'
import type { ContractSnapshot, External } from '../events.ts'

/** Resolves a name: by a mapping, or the name itself if it exists here. */
export type Resolve = (name: External, kind: 'plan' | 'flag' | 'org') => string | undefined

/** A row as it is put. */
export type ContractPut = Omit<ContractRow, 'updated_at' | 'grace_until' | 'revision'> & {
  /** `undefined`: the plan's default. */
  readonly grace_until: string | null | undefined
}

export interface Projection {
  readonly rows: readonly ContractPut[]
  /** Unknown items, which are in no row. */
  readonly unresolved: readonly External[]
}

/** @param id - of the contract, from which its rows are named */
export function projectContract(
  { source, phases }: Pick<ContractSnapshot, 'source' | 'phases'>,
  id: string,
  org: string,
  resolve: Resolve,
): Projection {
  const rows: ContractPut[] = []
  const unresolved: External[] = []
  for (const { status, from, to, grace_until, items } of phases) {
    const things = resolveItems(items, resolve)
    unresolved.push(...things.unresolved)
    const plans = things.plans.length === 0 ? [null] : things.plans
    plans.forEach((plan, index) => {
      const add = index === 0 ? things.flags : []
      rows.push({ id: rowId(id, rows.length), org, plan, status, from, to, add, grace_until, source })
    })
  }
  return { rows, unresolved }
}

function resolveItems(items: readonly External[], resolve: Resolve) {
  const plans = new Set<string>()
  const flags = new Set<string>()
  const unresolved: External[] = []
  for (const item of items) {
    const plan = item.kind === 'flag' ? undefined : resolve(item, 'plan')
    const flag = item.kind === 'plan' || plan !== undefined ? undefined : resolve(item, 'flag')
    if (plan !== undefined) plans.add(plan)
    else if (flag !== undefined) flags.add(flag)
    else unresolved.push(item)
  }
  return { plans: [...plans].toSorted(), flags: [...flags].toSorted(), unresolved }
}

/** The rows that a contract no longer has: cancelled, with an empty window. */
export function rowsOver(
  id: string,
  rows: readonly ContractPut[],
  known: readonly ContractRow[],
): ContractPut[] {
  const ids = new Set(rows.map((row) => row.id))
  return known
    .filter((row) => isRowOf(id, row.id) && !ids.has(row.id))
    .map(({ updated_at: _, revision: __, ...row }) => ({
      ...row,
      status: 'cancelled' as const,
      to: row.from,
      grace_until: null,
    }))
}

/** Statuses, most permissive first. */
const PRECEDENCE = ['active', 'trialing', 'past_due', 'paused', 'unpaid', 'cancelled', 'expired'] as const

/**
 * The status of an entitlements row, given those of the subscriptions it comes from: the best of them.
 *
 * Stripe grants entitlements by subscriptions, but sends nothing when a trial ends in `paused`. A separate row would then grant
 * for ever, because rows add up. So it has no status of its own and follows the subscriptions of its customer. Without any,
 * nothing is known that takes it away.
 */
export const entitlementsStatus = (statuses: readonly ContractRow['status'][]): ContractRow['status'] =>
  PRECEDENCE.find((status) => statuses.includes(status)) ?? 'active'
