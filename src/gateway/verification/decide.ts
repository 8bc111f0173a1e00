/**
 * The one decision: may the bearer of this token use what is required? Pure.
 *
 * Every dialect of verification uses it, so they cannot disagree. `claim` trusts the token until it expires; `live` also
 * checks the current state, and refuses with a reason of its own if that is unknown.
 */
import { missingFlags, type Requirement } from '../../core/requirement.ts'

/** The current state of a token's subject and session, as far as it is known. */
export interface Current {
  /** Sorted and unique; `undefined` if a document cannot be read. */
  readonly flags: readonly string[] | undefined
  /** Epoch seconds: tokens issued earlier are void. 0: none are. */
  readonly notBefore: number
  /** `undefined` if the denylist cannot be read. */
  readonly revoked: boolean | undefined
}

/** The part of a verified token that the decision uses. */
export interface DecidedToken {
  readonly flags: readonly string[]
  /** Epoch seconds. */
  readonly exp: number
  readonly iat: number
  readonly bound: boolean
}

export type DecisionReason =
  | 'allowed'
  | 'feature_missing'
  | 'token_expired'
  | 'token_bound'
  | 'token_superseded'
  | 'session_revoked'
  | 'state_unknown'

export interface Decision {
  /** Whether the token is valid at all. */
  readonly active: boolean
  readonly allowed: boolean
  readonly reason: DecisionReason
  readonly missing: readonly string[]
  /** Whether the token's flags differ from the current ones; known only with `live`. */
  readonly stale: boolean
  /** The flags in effect: those of the token, and with `live` only those that are still on. */
  readonly flags: readonly string[]
}

/**
 * Decides about a verified token. A known reason to refuse it counts, whatever else is unknown.
 *
 * @param current - `undefined` if only the claim is checked
 * @param now - epoch milliseconds, read after `current` was
 */
export function decide(
  token: DecidedToken,
  current: Current | undefined,
  requirement: Requirement,
  now: number,
): Decision {
  if (token.exp <= Math.floor(now / 1000)) return inactive('token_expired')
  if (token.bound) return inactive('token_bound')
  if (current === undefined) return weigh(token.flags, requirement, false)
  if (current.revoked) return inactive('session_revoked')
  if (token.iat < current.notBefore) return inactive('token_superseded')
  if (!current.flags || current.revoked === undefined) return { ...inactive('state_unknown'), active: true }
  if (isSameList(token.flags, current.flags)) return weigh(token.flags, requirement, false)
  const { flags } = current
  const inBoth = token.flags.filter((flag) => flags.includes(flag))
  const stale = inBoth.length !== token.flags.length || inBoth.length !== flags.length
  return weigh(inBoth, requirement, stale)
}

/** Both are sorted, so comparing them is enough to see that nothing has changed. */
const isSameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((flag, i) => flag === b[i])

function weigh(flags: readonly string[], requirement: Requirement, stale: boolean): Decision {
  const missing = missingFlags(flags, requirement)
  const allowed = missing.length === 0
  return { active: true, allowed, reason: allowed ? 'allowed' : 'feature_missing', missing, stale, flags }
}

const inactive = (reason: DecisionReason): Decision => ({
  active: false,
  allowed: false,
  reason,
  missing: [],
  stale: false,
  flags: [],
})
