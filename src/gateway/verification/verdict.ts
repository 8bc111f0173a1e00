/**
 * From a presented token to a verdict: verify it, read the current state if required, decide.
 *
 * The dialects differ in the form of requests and responses, never in the verdict. It does no I/O of its own: `live` costs at
 * most one read of KV, and none while the cached documents are current.
 */
import type { SubjectIds } from '../../core/claims.ts'
import type { Decision as FlagDecision } from '../../core/evaluate.ts'
import { type Freshness, NOTHING, type Requirement } from '../../core/requirement.ts'
import { type DecisionReason, decide } from './decide.ts'
import type { Identities, Identity, IdentityReason } from './identity.ts'

/** What a subject may use now, with the reason for each flag of the catalog. */
export interface CurrentFlags {
  /** Sorted and unique. */
  readonly flags: readonly string[]
  readonly decisions: readonly FlagDecision[]
  /** Of the documents: `"87.12"`. */
  readonly version: string
}

/** The current state, as far as it is known. */
export interface CurrentState {
  /** `undefined` if a document could not be read, or the token's ids cannot have one. */
  readonly entitlements: CurrentFlags | undefined
  /** Epoch seconds: tokens issued earlier are void. */
  readonly notBefore: number
  /** Whether the session was revoked; `undefined` if the denylist could not be read. */
  readonly revoked: boolean | undefined
}

export interface SessionIds {
  readonly sid: string | undefined
  readonly jti: string | undefined
}

/** @param warn - receives what is wrong, for the log */
export type ReadCurrent = (
  subject: SubjectIds,
  session: SessionIds | undefined,
  warn: (warning: string) => void,
) => Promise<CurrentState>

/** What every dialect receives. */
export interface Verification {
  readonly identities: Identities
  readonly current: ReadCurrent
  /** Epoch milliseconds. */
  readonly clock: () => number
  readonly warn: (warning: string) => void
}

export interface Question {
  readonly requirement: Requirement
  readonly freshness: Freshness
  /** Whether a token bound to a key is accepted: only if somebody else checks the proof. */
  readonly bound?: 'accepted'
}

/** A token that is valid now, whatever its flags. */
export const LIVE_TOKEN: Question = { requirement: NOTHING, freshness: 'live' }

export type VerdictReason = IdentityReason | DecisionReason

export interface Verdict {
  readonly active: boolean
  readonly allowed: boolean
  readonly reason: VerdictReason
  readonly missing: readonly string[]
  readonly stale: boolean
  /** The flags in effect for this request. */
  readonly flags: readonly string[]
  /** The subject of the token, if it verifies; also of a void or bound token. */
  readonly identity: Identity | undefined
  /** The current state, if required and known. */
  readonly current: CurrentFlags | undefined
}

export async function reachVerdict(
  presented: string,
  { requirement, freshness, bound }: Question,
  { identities, current: readCurrent, clock, warn }: Verification,
): Promise<Verdict> {
  const verified = await identities.verify(presented, clock())
  if (!verified.ok) return unverified(verified.reason)
  const identity = verified.value
  const token = bound === 'accepted' ? { ...identity, bound: false } : identity
  if (freshness === 'claim') {
    return { ...decide(token, undefined, requirement, clock()), identity, current: undefined }
  }
  const { entitlements, notBefore, revoked } = await readCurrent(identity, identity, warn)
  const state = { flags: entitlements?.flags, notBefore, revoked }
  return { ...decide(token, state, requirement, clock()), identity, current: entitlements }
}

const unverified = (reason: IdentityReason): Verdict => ({
  active: false,
  allowed: false,
  reason,
  missing: [],
  stale: false,
  flags: [],
  identity: undefined,
  current: undefined,
})

/** A verdict as JSON: the response of `POST /verify` and of the RPC method of the same name. */
export function verdictAnswer({ active, allowed, reason, missing, stale, identity, current }: Verdict) {
  if (!active || !identity) return { active: false as const, allowed: false as const, reason }
  return {
    active: true as const,
    allowed,
    reason,
    missing,
    sub: identity.sub,
    org_id: identity.orgId,
    sid: identity.sid,
    feature_flags: identity.flags,
    feature_flags_meta: identity.meta,
    exp: identity.exp,
    ...(current && { stale, ...(stale && { current_feature_flags: current.flags }) }),
  }
}

export type VerdictAnswer = ReturnType<typeof verdictAnswer>
