/** Policies: how many people approve a change in an environment, what flags may be, and which no organization may have together. */
import type { FlagRow, PolicyRow } from '../db/rows.ts'
import { policies } from '../db/schema.ts'
import type { Entity, Policy } from './entity.ts'

export const policy = {
  table: policies,
  kind: 'policy',
  key: ['environment'],
  filing: ({ environment }) => ({ environment }),
  environments: ({ after }) => [after.environment],
  guarded: () => true,
} satisfies Entity<PolicyRow>

/**
 * The policy of an environment that is seen for the first time: one person besides the author must approve changes in the
 * last environment. The one that was the last until now stays protected.
 *
 * @param published - the environments in which something was published already
 */
export function defaultPolicy(
  environment: string,
  environments: readonly string[],
  published: readonly string[] = [],
): Policy {
  const last = environments.at(-1)
  const wasLast = environments.filter((name) => published.includes(name)).at(-1)
  return {
    environment,
    approvals: environment === last || environment === wasLast ? 1 : 0,
    owner_approves: false,
    exclusive: [],
    revision: 0,
    kinds: null,
    flags: null,
  }
}

/** How many people must approve whatever concerns the whole environment: as many as for anything in it. */
export const mostApprovals = (policy: Policy): number =>
  Math.max(
    leastApprovals(policy),
    policy.kinds?.entitlement?.approvals ?? 0,
    policy.kinds?.rollout?.approvals ?? 0,
    ...Object.values(policy.flags ?? {}),
  )

/** How many people must approve a change of this flag. */
export function approvalsFor(policy: Policy, flag: string, kind: FlagRow['kind'] | undefined): number {
  const own = policy.flags && Object.hasOwn(policy.flags, flag) ? policy.flags[flag] : undefined
  const ofKind = kind && policy.kinds?.[kind]?.approvals
  return Math.max(leastApprovals(policy), own ?? 0, ofKind ?? 0)
}

/** How many people must approve any change. */
export const leastApprovals = ({ approvals, owner_approves }: Policy): number =>
  Math.max(approvals, owner_approves ? 1 : 0)

export const requiresApproval = (policy: Policy): boolean => mostApprovals(policy) > 0

/** What policies allow of flags: the strictest of all environments, because a flag is in all of them. */
export interface FlagLimits {
  /** The longest time between two reviews of an entitlement. */
  readonly reviewDays: number
  /** How long after its creation a rollout must be retired. */
  readonly lifetimeDays: number
}

export const flagLimits = (policies: readonly Policy[]): FlagLimits => ({
  reviewDays: Math.min(...policies.map(({ kinds }) => kinds?.entitlement?.review_days ?? Infinity)),
  lifetimeDays: Math.min(...policies.map(({ kinds }) => kinds?.rollout?.lifetime_days ?? Infinity)),
})
