/** Whether enough people have approved a change request. Pure. */
import type { ChangeRequestRow } from '../db/rows.ts'
import type { Requirement } from '../entities/edit.ts'

/** Whether it has the required approvals, for exactly this digest. */
export function isApproved(
  change: Pick<ChangeRequestRow, 'approvals' | 'digest' | 'flags' | 'on_behalf_of'>,
  requirements: readonly Requirement[],
): boolean {
  const { approvals, digest, flags } = change
  const given = approvals.filter((approval) => approval.digest === digest)
  const owned = new Set(given.flatMap(({ owns }) => owns))
  const asksOwners = requirements.some((one) => one.asksOwners)
  return (
    given.length >= approvalsRequired(change, requirements) &&
    (!asksOwners || flags.every((flag) => owned.has(flag)))
  )
}

/**
 * How many approvals are required: one more where the person behind an API key is unknown, because one of the approvers may
 * be that person.
 */
export function approvalsRequired(
  { on_behalf_of }: Pick<ChangeRequestRow, 'on_behalf_of'>,
  requirements: readonly Requirement[],
): number {
  const most = Math.max(0, ...requirements.map(({ approvals }) => approvals))
  const isUnknown = on_behalf_of !== null && on_behalf_of.person === null
  return most > 0 && isUnknown ? most + 1 : most
}
