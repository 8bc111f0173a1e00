/** Whether enough people have approved a change request. Pure. */
import type { ChangeRequestRow } from '../db/rows.ts'
import type { Policy } from '../entities/entity.ts'

/** Whether the policies of these environments have the required approvals, for exactly this digest. */
export function isApproved(
  change: Pick<ChangeRequestRow, 'approvals' | 'digest' | 'flags' | 'on_behalf_of'>,
  guarded: readonly string[],
  policies: readonly Policy[],
): boolean {
  const { approvals, digest, flags } = change
  const given = approvals.filter((approval) => approval.digest === digest)
  const owned = new Set(given.flatMap(({ owns }) => owns))
  const asksOwners = among(guarded, policies).some(({ owner_approves }) => owner_approves)
  return (
    given.length >= approvalsRequired(change, guarded, policies) &&
    (!asksOwners || flags.every((flag) => owned.has(flag)))
  )
}

/**
 * How many approvals the policies of these environments require: one more where the person behind an API key is unknown,
 * because one of the approvers may be that person.
 */
export function approvalsRequired(
  { on_behalf_of }: Pick<ChangeRequestRow, 'on_behalf_of'>,
  guarded: readonly string[],
  policies: readonly Policy[],
): number {
  const asked = among(guarded, policies).map(({ approvals, owner_approves }) =>
    Math.max(approvals, owner_approves ? 1 : 0),
  )
  const most = Math.max(0, ...asked)
  const isUnknown = on_behalf_of !== null && on_behalf_of.person === null
  return most > 0 && isUnknown ? most + 1 : most
}

const among = (guarded: readonly string[], policies: readonly Policy[]): Policy[] =>
  policies.filter(({ environment }) => guarded.includes(environment))
