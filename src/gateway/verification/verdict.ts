/**
 * From a presented token to a verdict: verify it, read what is true now if that is asked for, decide.
 *
 * The dialects differ in how a question is put and how the verdict is told, never in the verdict. It does no I/O but
 * what it is handed: `live` costs at most one read of KV, and none while the documents in hand are current.
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

/** What is true now, as far as it can be told. */
export interface CurrentState {
  /** Nothing where a document could not be read, or none can be found by what the token names. */
  readonly entitlements: CurrentFlags | undefined
  /** Epoch seconds: tokens issued earlier are void. */
  readonly notBefore: number
  /** Whether the session was revoked; nothing where the denylist could not be read. */
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

/** What every dialect is handed. */
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
  /** Whether a token bound to a key will do: only where somebody else checks the proof. */
  readonly bound?: 'accepted'
}

/** A token that is good now, whatever its flags. */
export const LIVE_TOKEN: Question = { requirement: NOTHING, freshness: 'live' }

export type VerdictReason = IdentityReason | DecisionReason

export interface Verdict {
  readonly active: boolean
  readonly allowed: boolean
  readonly reason: VerdictReason
  readonly missing: readonly string[]
  readonly stale: boolean
  /** The flags that count for this question. */
  readonly flags: readonly string[]
  /** Who the token is about, where it verifies; also of a token that is void or bound. */
  readonly identity: Identity | undefined
  /** What is true now, where that was asked for and can be told. */
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

/** A verdict as JSON: the answer of `POST /verify` and of the RPC method of the same name. */
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
