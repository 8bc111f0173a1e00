/** Drift that shows in a single grant of an organization or a user. Pure. */
import type { FlagRow, GrantRow } from '../db/rows.ts'
import { isPublished } from '../entities/projection.ts'
import { type Finding, finding, revokeCall } from './kinds.ts'
import { grantWithoutContract, isOpen } from './organizations.ts'

/** Grants that are exceptions for one subject. A beta is a programme, and an import mirrors another system. */
export const TICKETED: readonly GrantRow['source'][] = ['override', 'support']

/**
 * @param environments - in which contracts must hold
 * @param now - epoch milliseconds
 */
export function grantFindings(
  grants: readonly GrantRow[],
  flags: readonly Pick<FlagRow, 'key' | 'kind' | 'state'>[],
  environments: readonly string[],
  now: number,
): Finding[] {
  const byKey = new Map(flags.map((flag) => [flag.key, flag]))
  return grants.flatMap((grant) => {
    const flag = byKey.get(grant.flag)
    const { to, source, ticket, environment, subject_kind } = grant
    if (!flag || (to !== null && Date.parse(to) <= now)) return []
    if (flag.state === 'retired') return grant.effect === 'allow' ? [retiredFlagGranted(grant)] : []
    if (!isPublished(flag) || !isOpen(grant, now) || !environments.includes(environment)) return []
    const unticketed = ticket === null && TICKETED.includes(source)
    // For organizations, whose contracts may hold the flag, `organizations.ts` reports it.
    const forever =
      to === null && subject_kind === 'user' && grant.effect === 'allow' && flag.kind === 'entitlement'
    return [...(unticketed ? [withoutTicket(grant)] : []), ...(forever ? [grantWithoutContract(grant)] : [])]
  })
}

const placeOf = ({ id, environment, flag, subject_kind, subject_id }: GrantRow) => ({
  environment,
  flag,
  detail: [...(subject_kind === 'user' ? [subject_id] : []), id],
  ...(subject_kind === 'org' && { org: subject_id }),
})

const evidenceOf = ({ id, effect, source, to, created_by, subject_kind, subject_id }: GrantRow) => ({
  grant: id,
  effect,
  source,
  to,
  [subject_kind]: subject_id,
  created_by,
})

const retiredFlagGranted = (grant: GrantRow): Finding =>
  finding('retired_flag_granted', {
    ...placeOf(grant),
    evidence: evidenceOf(grant),
    repair: revokeCall(grant.id, 'retired_flag_granted'),
  })

const withoutTicket = (grant: GrantRow): Finding =>
  finding('override_ended_or_unticketed', {
    ...placeOf(grant),
    evidence: { because: 'no_ticket', ...evidenceOf(grant) },
    repair: revokeCall(grant.id, 'override_ended_or_unticketed'),
  })
