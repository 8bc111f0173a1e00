/** Whether enough people have approved a change request. Pure. */
import type { ChangeRequestRow } from '../db/rows.ts'
import type { Policy } from '../entities/policy.ts'

export type Agreed = Pick<ChangeRequestRow, 'approvals' | 'digest' | 'flags'>

/** Whether the policies of these environments have what they ask for, for exactly this digest. */
export function isAgreed(change: Agreed, guarded: readonly string[], all: readonly Policy[]): boolean {
  const given = change.approvals.filter(({ digest }) => digest === change.digest)
  const owned = new Set(given.flatMap(({ owns }) => owns))
  return all
    .filter(({ environment }) => guarded.includes(environment))
    .every(
      ({ approvals, owner_approves }) =>
        given.length >= Math.max(approvals, owner_approves ? 1 : 0) &&
        (!owner_approves || change.flags.every((flag) => owned.has(flag))),
    )
}

/** How many approvals the policies of these environments ask for. */
export const approvalsRequired = (guarded: readonly string[], all: readonly Policy[]): number =>
  Math.max(
    0,
    ...all
      .filter(({ environment }) => guarded.includes(environment))
      .map(({ approvals, owner_approves }) => Math.max(approvals, owner_approves ? 1 : 0)),
  )
