/** Whether enough people have approved a change request. Pure. */
import type { ChangeRequestRow } from '../db/rows.ts'
import type { Policy } from '../entities/entity.ts'

/** Whether the policies of these environments have the required approvals, for exactly this digest. */
export function isApproved(
  { approvals, digest, flags }: Pick<ChangeRequestRow, 'approvals' | 'digest' | 'flags'>,
  guarded: readonly string[],
  policies: readonly Policy[],
): boolean {
  const given = approvals.filter((approval) => approval.digest === digest)
  const owned = new Set(given.flatMap(({ owns }) => owns))
  const asksOwners = among(guarded, policies).some(({ owner_approves }) => owner_approves)
  return (
    given.length >= approvalsRequired(guarded, policies) &&
    (!asksOwners || flags.every((flag) => owned.has(flag)))
  )
}

/** How many approvals the policies of these environments require. */
export const approvalsRequired = (guarded: readonly string[], policies: readonly Policy[]): number =>
  Math.max(
    0,
    ...among(guarded, policies).map(({ approvals, owner_approves }) =>
      Math.max(approvals, owner_approves ? 1 : 0),
    ),
  )

const among = (guarded: readonly string[], policies: readonly Policy[]): Policy[] =>
  policies.filter(({ environment }) => guarded.includes(environment))
