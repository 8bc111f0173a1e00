/**
 * What events mean: one vocabulary for every source. Types only.
 *
 * Names of other systems stay as they are (`External`) until a mapping resolves them. Revisions are integers of the
 * source's own order, one scale for each entity: the highest known one wins, whatever the order of arrival.
 */
import type { ContractRow, RuleRow } from '../db/rows.ts'
import type { SourceName } from './source.ts'

/**
 * What another system calls a thing of ours. The first candidate that is mapped decides; where none is, `ours` is the
 * name itself, if the sender used ours. A `price` is a plan or, where it is not mapped to one, a flag.
 */
export interface External {
  readonly kind: 'plan' | 'flag' | 'org' | 'price'
  readonly candidates: readonly string[]
  readonly ours?: string
}

/** A stretch of a contract in which the same things are paid for; half-open, RFC 3339 with milliseconds. */
export interface Phase {
  readonly status: ContractRow['status']
  readonly from: string
  readonly to: string | null
  readonly items: readonly External[]
  /** `undefined`: as the plan says. */
  readonly grace_until?: string | null
}

/**
 * All that a source knows of one agreement: what is not in it is no more. Phases follow each other; a cancellation or a
 * downgrade at the end of the period is there as soon as it is agreed.
 */
export interface ContractSnapshot {
  readonly type: 'contract.snapshot'
  readonly source: SourceName
  readonly contract: string
  readonly revision: number
  readonly org: External
  readonly phases: readonly Phase[]
}

/** A change of a known snapshot, which must be the one that it is based on: until that is applied, it waits. */
export interface ContractDelta {
  readonly type: 'contract.delta'
  readonly source: SourceName
  readonly contract: string
  readonly revision: number
  readonly base_revision: number
  readonly changes: DeltaChanges
}

export interface DeltaChanges {
  /** Counted from 1; without it, the changes are of every phase. */
  readonly phase?: number | undefined
  readonly status?: ContractRow['status'] | undefined
  readonly plan?: External | null | undefined
  readonly add?: readonly External[] | undefined
  readonly remove?: readonly External[] | undefined
  readonly from?: string | undefined
  readonly to?: string | null | undefined
  readonly grace_until?: string | null | undefined
}

/**
 * The complete list of what a Stripe customer is entitled to. It is a contract without a plan, whose add-ons are the
 * features; see `entitlementsStatus` for how it hangs on the customer's subscriptions.
 */
export interface EntitlementsSnapshot {
  readonly type: 'entitlements.snapshot'
  readonly source: SourceName
  readonly contract: string
  readonly revision: number
  readonly org: External
  readonly from: string
  readonly flags: readonly External[]
}

/**
 * A name of another system belongs to one of our organizations: a mapping. It is for the first time only: where the
 * name is mapped to another organization already, nobody but an operator may change that.
 */
export interface OrgLinked {
  readonly type: 'org.linked'
  /** Whose name it is. */
  readonly source: SourceName
  readonly external_id: string
  readonly org: string
  /** Whether it comes from where only the sender's own servers write. */
  readonly confirmed: boolean
}

export interface OrgUpserted {
  readonly type: 'org.upserted'
  readonly source: SourceName
  readonly org: External
  readonly name: string
  readonly revision: number
}

export interface OrgDeleted {
  readonly type: 'org.deleted'
  readonly source: SourceName
  readonly org: External
  readonly revision: number
}

/** The rule of a flag in an environment, and who it is on for: all grants of source `import`, or none. */
export interface FlagTargets {
  readonly type: 'flag.targets'
  readonly source: SourceName
  readonly environment: string
  /** The source's own name of the flag, which it never uses again. */
  readonly external_id: string
  readonly flag: External
  readonly access: RuleRow['access']
  /** `null`: the event does not say; grants stay as they are. */
  readonly targets: { readonly organizations: readonly External[]; readonly users: readonly string[] } | null
  readonly revision: number
}

/** The rule becomes `none`, and imported grants end. The flag itself is ours to retire. */
export interface FlagDeleted {
  readonly type: 'flag.deleted'
  readonly source: SourceName
  readonly environment: string
  readonly external_id: string
  readonly flag: External
  readonly revision: number
}

/** For the denylist that the gateway reads: `revokedKey(environment, 'sid', sid)`. */
export interface SessionRevoked {
  readonly type: 'session.revoked'
  readonly source: SourceName
  readonly environment: string
  readonly sid: string
  readonly user: string
}

/** Known, and rightly without effect. */
export interface Ignored {
  readonly type: 'ignored'
  readonly why: 'not_a_subscription' | 'no_organization_named' | 'flag_without_rule'
}

export type CanonicalEvent =
  | ContractSnapshot
  | ContractDelta
  | EntitlementsSnapshot
  | OrgLinked
  | OrgUpserted
  | OrgDeleted
  | FlagTargets
  | FlagDeleted
  | SessionRevoked
  | Ignored

/**
 * Beyond every revision made of a time: a state that its source never leaves again wins over all others, even those of
 * the same instant that come later.
 */
export const FINAL = 4_000_000_000_000_000
