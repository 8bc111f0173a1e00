/**
 * What events mean: one vocabulary for every source, with the names that an event refers to. Pure.
 *
 * Names of other systems are kept (`External`) until a mapping resolves them. Revisions are integers of the source's own order,
 * one sequence for each subject: the highest one wins, whatever the order of arrival.
 */
import type { ContractRow, RuleRow } from '../db/rows.ts'
import type { SourceName } from './sources/source.ts'

/**
 * What another system calls a flag, plan or organization. The first candidate that is mapped decides; where none is, `ours` is the
 * name itself, if the sender used ours. A `price` is a plan or, where it is not mapped to one, a flag. A name that was
 * given but can be none is `invalid`: an error, never an absence.
 */
export interface External {
  readonly kind: 'plan' | 'flag' | 'org' | 'price'
  readonly candidates: readonly string[]
  readonly ours?: string
  readonly invalid?: string
}

/** A period of a contract with the same content; half-open, RFC 3339 with milliseconds. */
export interface Phase {
  readonly status: ContractRow['status']
  readonly from: string
  readonly to: string | null
  readonly items: readonly External[]
  /** `undefined`: the plan's default. */
  readonly grace_until?: string | null
}

/**
 * Everything that a source knows about one agreement: what is not in it has ended. Phases follow each other; a cancellation or
 * downgrade at the end of the period is included as soon as it is agreed.
 */
export interface ContractSnapshot {
  readonly type: 'contract.snapshot'
  readonly source: SourceName
  /** The system behind the source; `null`: the source is a single system. */
  readonly system: string | null
  /** The source's own number for it. */
  readonly contract: string
  readonly revision: number
  /** Without candidates and name it says nothing about the organization, which then stays the same. */
  readonly org: External
  /** The source's name of the paying customer. */
  readonly customer: string | null
  readonly phases: readonly Phase[]
}

/** A change of a snapshot; it waits until its base revision is applied. */
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
  /** Counted from 1; without it, the changes apply to every phase. */
  readonly phase?: number | undefined
  readonly status?: ContractRow['status'] | undefined
  readonly plan?: External | null | undefined
  readonly add?: readonly External[] | undefined
  readonly remove?: readonly External[] | undefined
  readonly from?: string | undefined
  readonly to?: string | null | undefined
  readonly grace_until?: string | null | undefined
}

/** A contract has ended, even if the rest of the event cannot be read. */
export interface ContractEnd {
  readonly type: 'contract.end'
  readonly source: SourceName
  readonly system: string | null
  readonly contract: string
  readonly revision: number
  readonly status: 'paused' | 'unpaid' | 'cancelled' | 'expired'
  /** The source no longer lists it: found by reconciling, at the known revision. */
  readonly missing?: boolean
}

/**
 * What can be read of a contract whose event is invalid otherwise: enough for what it takes away. A member that is not there
 * could not be read, and restricts nothing; no phases at all: the contract is over.
 */
export interface ContractPart {
  readonly type: 'contract.part'
  readonly source: SourceName
  readonly system: string | null
  readonly contract: string
  readonly revision: number
  readonly phases: readonly PhasePart[]
}

export interface PhasePart {
  readonly status?: Phase['status'] | undefined
  readonly from?: string | undefined
  readonly to?: string | null | undefined
  readonly plan?: External | null | undefined
  readonly add?: readonly External[] | undefined
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
 * A name of another system belongs to an organization: a mapping. It only creates one: if the name is already mapped to
 * another organization, only an operator may change that.
 */
export interface OrgLinked {
  readonly type: 'org.linked'
  /** The organization that it belongs to. */
  readonly source: SourceName
  readonly external_id: string
  readonly org: string
  /** Whether only the sender's own servers can have written it. */
  readonly confirmed: boolean
  /** Whether a person clicked, so that the policy of the environment applies. */
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

/** The rule of a flag in an environment, and its targets: all grants of source `import`, or none. */
export interface FlagTargets {
  readonly type: 'flag.targets'
  readonly source: SourceName
  readonly environment: string
  readonly flag: External
  readonly access: RuleRow['access']
  /** `null`: the event does not list them; grants do not change. */
  readonly targets: { readonly organizations: readonly External[]; readonly users: readonly string[] } | null
  readonly revision: number
  /** Whether the flag itself is no more at the source: then one that is not known here is no problem. */
  readonly deleted: boolean
  /** Whether a person clicked, so that the policy of the environment applies. */
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

/** A known type that has no effect here. */
export interface Ignored {
  readonly type: 'ignored'
  readonly why: 'not_a_subscription' | 'no_organization_named' | 'flag_without_rule' | 'foreign_type'
}

export type CanonicalEvent =
  | ContractSnapshot
  | ContractDelta
  | ContractEnd
  | ContractPart
  | EntitlementsSnapshot
  | OrgLinked
  | OrgUpserted
  | OrgDeleted
  | FlagTargets
  | SessionRevoked
  | Ignored

/**
 * Above every revision that is made from a time: a final state wins over all others, even those of the same instant that
 * arrive later.
 */
export const FINAL = 4_000_000_000_000_000

export type ContractEvent = Extract<CanonicalEvent, { readonly contract: string }>
export const isContractEvent = (event: CanonicalEvent): event is ContractEvent => 'contract' in event

/** The event's id in its own system, which people look for first. */
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
    case 'contract.part':
      return event.phases.flatMap(({ plan, add = [] }) => [...(plan ? [plan] : []), ...add])
    case 'contract.end':
    case 'org.linked':
    case 'session.revoked':
    case 'ignored':
      return []
  }
}

/** What is waited for where a name is not known here: `org:acme-inc`, once for everything that it could be called. */
export const needsOf = ({ kind, candidates, ours, invalid }: External): string[] =>
  [
    ...new Set([
      ...candidates,
      ...(ours === undefined ? [] : [ours]),
      ...(invalid === undefined ? [] : [invalid]),
    ]),
  ].map((name) => `${kind}:${name}`)
