/**
 * Rows about a subject -> what it has and why: the gateway's documents, evaluated as the gateway does. Pure.
 *
 * The caller decides whether these are current or past rows.
 */
import type { Catalog } from '../../core/documents.ts'
import type { Decision, Subject } from '../../core/evaluate.ts'
import type { ContractRow, FlagRow, GrantRow, OrganizationRow, PlanRow, RuleRow } from '../db/rows.ts'
import { projectCatalog, projectContract, projectGrant } from '../entities/projection.ts'
import { type Candidate, candidatesFor, type Recorded } from './candidates.ts'

export interface SubjectRows {
  readonly organization: OrganizationRow | undefined
  readonly flags: readonly FlagRow[]
  readonly rules: readonly RuleRow[]
  readonly plans: readonly PlanRow[]
  readonly contracts: readonly ContractRow[]
  readonly grants: readonly GrantRow[]
}

export interface SubjectOf {
  readonly environment: string
  /** `undefined`: an anonymous subject. */
  readonly orgId: string | undefined
  readonly userId: string | undefined
}

/** A subject as `evaluate` takes it, with its documents. */
export interface EvaluationCase {
  readonly catalog: Catalog
  readonly subject: Subject
  readonly recorded: Recorded
}

/** @param known - which of the documents exist; a subject without one has only its id */
export function caseOf(
  rows: SubjectRows,
  { environment, orgId, userId }: SubjectOf,
  known: { readonly org: boolean; readonly user: boolean } = { org: true, user: true },
): EvaluationCase {
  const grantsOf = (kind: 'org' | 'user') =>
    known[kind] ? rows.grants.filter(({ subject_kind }) => subject_kind === kind).map(projectGrant) : []
  const recorded: Recorded = {
    orgId,
    userId,
    contracts: known.org ? rows.contracts.map(projectContract) : [],
    orgGrants: grantsOf('org'),
    userGrants: grantsOf('user'),
  }
  const header = { format: 1 as const, version: 0, published_at: '', not_before: 0 }
  const { contracts, orgGrants, userGrants } = recorded
  return {
    catalog: projectCatalog(environment, rows, { version: 0, changed_at: '' }),
    subject: {
      orgId,
      userId,
      org: { ...header, org_id: orgId ?? '', contracts: [...contracts], grants: [...orgGrants] },
      user: { ...header, user_id: userId ?? '', grants: [...userGrants] },
    },
    recorded,
  }
}

export interface Explained extends Decision {
  /** The grant, the contract or the line of the rule that decided. */
  readonly decider: Candidate | undefined
  /** The other candidates, in order. */
  readonly lost: readonly Candidate[]
}

/** @param at - epoch milliseconds: the instant of the decision */
export function explainDecision(
  decision: Decision,
  { catalog, recorded }: Pick<EvaluationCase, 'catalog' | 'recorded'>,
  at: number,
): Explained {
  const candidates = candidatesFor(decision.flag, catalog, recorded, at)
  const decider = longest(
    candidates.filter((candidate) => candidate.counts && candidate.reason === decision.reason),
  )
  return { ...decision, decider, lost: candidates.filter((candidate) => candidate !== decider) }
}

/** The grant or contract that holds a flag on, and until when. */
export function fundingOf({ on, decider }: Pick<Explained, 'on' | 'decider'>) {
  const funded_by = on && decider !== undefined && decider.id !== null ? decider : null
  return { funded_by, ends_at: funded_by?.to ?? null }
}

function longest(candidates: readonly Candidate[]): Candidate | undefined {
  const end = ({ to }: Candidate): number => (to === null ? Number.POSITIVE_INFINITY : Date.parse(to))
  return candidates.reduce<Candidate | undefined>(
    (best, candidate) => (best === undefined || end(candidate) > end(best) ? candidate : best),
    undefined,
  )
}
