/**
 * What events mean: one vocabulary for every source, with the names that an event refers to. Pure.
 *
 * Names of other systems stay as they are (`External`) until a mapping resolves them. Revisions are integers of the
 * source's own order, one scale for each thing that is changed: the highest known one wins, whatever the order of arrival.
 */
import type { ContractRow, RuleRow } from '../db/rows.ts'
import type { SourceName } from './sources/source.ts'

/**
 * What another system calls a thing of ours. The first candidate that is mapped decides; where none is, `ours` is the
 * name itself, if the sender used ours. A `price` is a plan or, where it is not mapped to one, a flag. A name that was
 * given but can be none is `invalid`: an error, never an absence.
 */
export interface External {
  readonly kind: 'plan' | 'flag' | 'org' | 'price'
  readonly candidates: readonly string[]
  readonly ours?: string
  readonly invalid?: string
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
  /** Which of the systems behind the source; `null`: the source is one. */
  readonly system: string | null
  /** The source's own number of it. */
  readonly contract: string
  readonly revision: number
  /** Of whom it says nothing where there are neither candidates nor a name: then it stays whose it is. */
  readonly org: External
  /** The source's name of who pays. */
  readonly customer: string | null
  readonly phases: readonly Phase[]
}

/** A change of a known snapshot, which must be the one that it is based on: until that is applied, it waits. */
export interface ContractDelta {
  readonly type: 'contract.delta'
  readonly source: SourceName
  readonly system: string | null
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

/** A contract is over, whatever else of the event cannot be read. */
export interface ContractEnd {
  readonly type: 'contract.end'
  readonly source: SourceName
  readonly system: string | null
  readonly contract: string
  readonly revision: number
  readonly status: 'paused' | 'unpaid' | 'cancelled' | 'expired'
  /** It is not among those that its source has: found by looking, at the revision that was known. */
  readonly missing?: boolean
}

/**
 * The complete list of what a customer is entitled to. It is a contract without a plan, whose add-ons are the features;
 * it stands or falls with the customer's subscriptions, see `entitlementsStatus`.
 */
export interface EntitlementsSnapshot {
  readonly type: 'entitlements.snapshot'
  readonly source: SourceName
  readonly contract: string
  readonly revision: number
  readonly org: External
  readonly customer: string
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
  /** Whether somebody clicked, so that the policy of the environment is asked. */
  readonly click: boolean
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
  readonly flag: External
  readonly access: RuleRow['access']
  /** `null`: the event does not say; grants stay as they are. */
  readonly targets: { readonly organizations: readonly External[]; readonly users: readonly string[] } | null
  readonly revision: number
  /** Whether the flag itself is no more at the source: then one that is none of ours is no problem. */
  readonly deleted: boolean
  /** Whether somebody clicked, so that the policy of the environment is asked. */
  readonly click: boolean
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
  readonly why: 'not_a_subscription' | 'no_organization_named' | 'flag_without_rule' | 'foreign_type'
}

export type CanonicalEvent =
  | ContractSnapshot
  | ContractDelta
  | ContractEnd
  | EntitlementsSnapshot
  | OrgLinked
  | OrgUpserted
  | OrgDeleted
  | FlagTargets
  | SessionRevoked
  | Ignored

/**
 * Beyond every revision made of a time: a state that its source never leaves again wins over all others, even those of
 * the same instant that come later.
 */
export const FINAL = 4_000_000_000_000_000

export type ContractEvent = Extract<CanonicalEvent, { readonly contract: string }>
export const isContractEvent = (event: CanonicalEvent): event is ContractEvent => 'contract' in event

/** What an event is called by its own system, which is the first that people look for. */
export const nameOf = ({ candidates, ours, invalid }: External): string =>
  invalid ?? candidates[0] ?? ours ?? ''

/** Every name of the event that a mapping may resolve. */
export function externalsOf(event: CanonicalEvent): readonly External[] {
  switch (event.type) {
    case 'contract.snapshot':
      return [event.org, ...event.phases.flatMap(({ items }) => items)]
    case 'contract.delta': {
      const { plan, add = [], remove = [] } = event.changes
      return [...(plan ? [plan] : []), ...add, ...remove]
    }
    case 'entitlements.snapshot':
      return [event.org, ...event.flags]
    case 'org.upserted':
    case 'org.deleted':
      return [event.org]
    case 'flag.targets':
      return [event.flag, ...(event.targets?.organizations ?? [])]
    case 'contract.end':
    case 'org.linked':
    case 'session.revoked':
    case 'ignored':
      return []
  }
}

/** What is waited for where a name is none of ours: `org:acme-inc`, once for everything that it could be called. */
export const needsOf = ({ kind, candidates, ours, invalid }: External): string[] =>
  [
    ...new Set([
      ...candidates,
      ...(ours === undefined ? [] : [ours]),
      ...(invalid === undefined ? [] : [invalid]),
    ]),
  ].map((name) => `${kind}:${name}`)
