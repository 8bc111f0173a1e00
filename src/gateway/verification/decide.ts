/**
 * The one decision: may the bearer of this identity use what is asked for? Pure.
 *
 * Every dialect of verification asks here, so that they cannot disagree.
 */

/** What a route needs: all of the one list and at least one of the other. An empty list asks for nothing. */
export interface Requirement {
  readonly all: readonly string[]
  readonly any: readonly string[]
}

export interface Decision {
  readonly allowed: boolean
  readonly reason: 'allowed' | 'feature_missing'
  /** What would have to be granted: every missing flag of `all`, and all of `any` when none of them is there. */
  readonly missing: readonly string[]
}

/** @param flags - the flags of a verified, unexpired token */
export function decide(flags: readonly string[], { all, any }: Requirement): Decision {
  const missing = all.filter((flag) => !flags.includes(flag))
  if (any.length > 0 && !any.some((flag) => flags.includes(flag))) missing.push(...any)
  return missing.length === 0
    ? { allowed: true, reason: 'allowed', missing }
    : { allowed: false, reason: 'feature_missing', missing: [...new Set(missing)] }
}
