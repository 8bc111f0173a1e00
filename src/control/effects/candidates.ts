/**
 * Everything for or against a flag for a subject, in the order of the evaluation table. Pure.
 *
 * `evaluate` decides; this only lists the other candidates. A test keeps the two in step: the first candidate that
 * counts is always the one that `evaluate` returns as the reason.
 */
import { bucket } from '../../core/bucket.ts'
import type { Catalog, Contract, Grant, Rule } from '../../core/documents.ts'
import type { Reason } from '../../core/evaluate.ts'

export interface Candidate {
  readonly reason: Reason
  /** Whether it switches the flag on. */
  readonly on: boolean
  /** Whether it counts at the given time: its window is open, its status grants. */
  readonly counts: boolean
  readonly id: string | null
  /** The plan of the contract, or `add-on`. */
  readonly through: string | null
  /** The subject of the grant. */
  readonly subject: 'org' | 'user' | null
  readonly from: string | null
  /** When it stops counting; `null`: no end. */
  readonly to: string | null
}

export interface Recorded {
  readonly orgId: string | undefined
  readonly userId: string | undefined
  readonly contracts: readonly Contract[]
  readonly orgGrants: readonly Grant[]
  readonly userGrants: readonly Grant[]
}

const NOBODY = { id: null, through: null, subject: null, from: null, to: null }

/** @param at - epoch milliseconds */
export function candidatesFor(flag: string, catalog: Catalog, recorded: Recorded, at: number): Candidate[] {
  const rule = catalog.flags[flag] as Rule
  const grants = [
    ...recorded.userGrants.map((grant) => ({ grant, subject: 'user' as const })),
    ...recorded.orgGrants.map((grant) => ({ grant, subject: 'org' as const })),
  ].filter(({ grant }) => grant.flag === flag)
  const granted = (effect: Grant['effect']): Candidate[] =>
    grants
      .filter(({ grant }) => grant.effect === effect)
      .map(({ grant, subject }) => ({
        ...NOBODY,
        reason: effect === 'deny' ? 'denied' : grant.source,
        on: effect === 'allow',
        counts: isOpen(grant.from, grant.to, at),
        id: grant.id,
        subject,
        from: grant.from,
        to: grant.to,
      }))

  const candidates: Candidate[] = []
  const rules = (reason: Reason, on: boolean) => candidates.push({ ...NOBODY, reason, on, counts: true })
  if (rule.killed) rules('killed', false)
  if (rule.access === 'none') rules('rule_none', false)
  candidates.push(...granted('deny'))
  if (rule.access === 'all') rules('rule_all', true)
  candidates.push(...granted('allow'))
  candidates.push(...funding(flag, catalog, recorded.contracts, at))
  const bucketSubject = recorded.orgId ?? recorded.userId
  if (rule.percentage !== undefined && bucketSubject !== undefined) {
    const counts = bucket(flag, bucketSubject) < rule.percentage
    candidates.push({ ...NOBODY, reason: 'rollout', on: true, counts })
  }
  rules('default', false)
  return candidates
}

function funding(flag: string, catalog: Catalog, contracts: readonly Contract[], at: number): Candidate[] {
  return contracts.flatMap((contract) => {
    const { id, plan, from } = contract
    const inPlan = plan !== null && planHolds(catalog, plan, flag)
    if (!inPlan && !contract.add.includes(flag)) return []
    const to = grantsUntil(contract)
    const counts = to !== 'never' && isOpen(from, to, at)
    const through = inPlan ? plan : 'add-on'
    const end = to === 'never' ? contract.to : to
    return [{ ...NOBODY, reason: 'contract' as const, on: true, counts, id, through, from, to: end }]
  })
}

export const planHolds = (catalog: Catalog, plan: string, flag: string): boolean =>
  Object.hasOwn(catalog.plans, plan) && (catalog.plans[plan] ?? []).includes(flag)

/** When the contract stops granting, by its status and window. */
function grantsUntil({ status, to, grace_until }: Contract): string | null | 'never' {
  switch (status) {
    case 'trialing':
    case 'active':
      return to
    case 'past_due':
      if (!grace_until) return 'never'
      return to !== null && to < grace_until ? to : grace_until
    default:
      return 'never'
  }
}

/** Whether a contract holds what it names by its status and window. @param at - epoch milliseconds */
export function isInForce(contract: Contract, at: number): boolean {
  const to = grantsUntil(contract)
  return to !== 'never' && isOpen(contract.from, to, at)
}

const isOpen = (from: string, to: string | null, at: number): boolean =>
  Date.parse(from) <= at && (to === null || at < Date.parse(to))
