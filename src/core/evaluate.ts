/**
 * The effective entitlements of a subject at one instant. Pure.
 *
 * For every flag of the catalog the first line of the table that applies decides, and the decision carries its reason.
 * Widening a rule never takes a flag from anyone.
 */
import { bucket } from './bucket.ts'
import type { Catalog, Contract, Grant, OrgDocument, Rule, UserDocument } from './documents.ts'

export type Reason =
  | 'killed'
  | 'rule_none'
  | 'denied'
  | 'rule_all'
  | Grant['source']
  | 'contract'
  | 'rollout'
  | 'default'

export interface Decision {
  readonly flag: string
  readonly on: boolean
  readonly reason: Reason
}

/** Who the question is about. Ids alone take part in percentage rollouts; documents bring contracts and grants. */
export interface Subject {
  readonly orgId?: string | undefined
  readonly userId?: string | undefined
  readonly org?: OrgDocument | null | undefined
  readonly user?: UserDocument | null | undefined
}

export interface Evaluation {
  /** Every flag of the catalog, sorted by key. */
  readonly decisions: readonly Decision[]
  /** The keys that are on, sorted and unique: the `feature_flags` claim. */
  readonly flags: readonly string[]
  /**
   * Earliest end, in epoch milliseconds, of any window that holds a flag on, or start of one that denies it; `null` when
   * there is none.
   */
  readonly until: number | null
}

/**
 * Evaluates the whole catalog for one subject.
 *
 * @param at - epoch milliseconds; windows are half-open, `from <= at < to`
 */
export function evaluate(catalog: Catalog, subject: Subject, at: number): Evaluation {
  const known = [...(subject.user?.grants ?? []), ...(subject.org?.grants ?? [])]
  const grants = known.filter((g) => isOpen(g, at))
  const denied = new Set(grants.filter((g) => g.effect === 'deny').map((g) => g.flag))
  const allowed = Map.groupBy(
    grants.filter((g) => g.effect === 'allow'),
    (g) => g.flag,
  )
  const denials = known.filter((g) => g.effect === 'deny' && epoch(g.from) > at)
  const funded = fundedFlags(catalog, subject.org?.contracts ?? [], at)
  const bucketSubject = subject.orgId ?? subject.userId

  const decisions: Decision[] = []
  const flags: string[] = []
  let until: number | null = null
  for (const flag of flagKeys(catalog)) {
    const decision = decide(flag, catalog.flags[flag] as Rule)
    decisions.push(decision)
    if (!decision.on) continue
    flags.push(flag)
    for (const denial of denials) if (denial.flag === flag) endsAt(epoch(denial.from))
  }
  return { decisions, flags, until }

  function decide(flag: string, rule: Rule): Decision {
    if (rule.killed) return { flag, on: false, reason: 'killed' }
    if (rule.access === 'none') return { flag, on: false, reason: 'rule_none' }
    if (denied.has(flag)) return { flag, on: false, reason: 'denied' }
    if (rule.access === 'all') return { flag, on: true, reason: 'rule_all' }
    const granted = allowed.get(flag)
    if (granted?.[0]) {
      for (const grant of granted) endsAt(epoch(grant.to))
      return { flag, on: true, reason: granted[0].source }
    }
    const end = funded.get(flag)
    if (end !== undefined) {
      endsAt(end)
      return { flag, on: true, reason: 'contract' }
    }
    if (rule.percentage !== undefined && bucketSubject !== undefined) {
      if (bucket(flag, bucketSubject) < rule.percentage) return { flag, on: true, reason: 'rollout' }
    }
    return { flag, on: false, reason: 'default' }
  }

  function endsAt(end: number): void {
    if (end !== Number.POSITIVE_INFINITY && (until === null || end < until)) until = end
  }
}

/**
 * Evaluates for a token. Its `exp` counts whole seconds, and a window that ends within the current second would give a
 * token that is already expired, so such an end counts as passed.
 *
 * @param now - epoch milliseconds
 * @returns with `at`, the instant that was evaluated: `now`, or the last of such ends
 */
export function evaluateForToken(
  catalog: Catalog,
  subject: Subject,
  now: number,
): Evaluation & { readonly at: number } {
  const second = (at: number): number => Math.floor(at / 1000)
  let at = now
  let evaluation = evaluate(catalog, subject, at)
  while (evaluation.until !== null && second(evaluation.until) <= second(now)) {
    at = evaluation.until
    evaluation = evaluate(catalog, subject, at)
  }
  return { ...evaluation, at }
}

const sortedKeys = new WeakMap<Catalog, readonly string[]>()

/** The keys of the catalog, sorted once for all evaluations of it. */
function flagKeys(catalog: Catalog): readonly string[] {
  let keys = sortedKeys.get(catalog)
  if (!keys) {
    keys = Object.keys(catalog.flags).sort()
    sortedKeys.set(catalog, keys)
  }
  return keys
}

/**
 * How long an evaluation of unchanged documents stays valid: until the next instant, in epoch milliseconds, at which a
 * window in them opens or closes; infinite when none is left.
 */
export function nextChange({ org, user }: Subject, at: number): number {
  let next = Number.POSITIVE_INFINITY
  const note = (instant: string | null | undefined): void => {
    const time = instant ? epoch(instant) : Number.POSITIVE_INFINITY
    if (time > at && time < next) next = time
  }
  for (const { from, to, grace_until } of org?.contracts ?? []) [from, to, grace_until].forEach(note)
  for (const { from, to } of [...(org?.grants ?? []), ...(user?.grants ?? [])]) [from, to].forEach(note)
  return next
}

/** The flags that active contracts pay for, each with the earliest end of the contracts that do (epoch ms). */
function fundedFlags(catalog: Catalog, contracts: readonly Contract[], at: number): Map<string, number> {
  const ends = new Map<string, number>()
  for (const contract of contracts) {
    const end = contractEnd(contract)
    if (epoch(contract.from) > at || at >= end) continue
    const plan =
      contract.plan !== null && Object.hasOwn(catalog.plans, contract.plan)
        ? catalog.plans[contract.plan]
        : []
    for (const flag of [...(plan ?? []), ...contract.add]) {
      ends.set(flag, Math.min(end, ends.get(flag) ?? Number.POSITIVE_INFINITY))
    }
  }
  return ends
}

/** When a contract stops granting (epoch ms): never having granted is the beginning of time. */
function contractEnd(contract: Contract): number {
  switch (contract.status) {
    case 'trialing':
    case 'active':
      return epoch(contract.to)
    case 'past_due':
      return contract.grace_until
        ? Math.min(epoch(contract.to), epoch(contract.grace_until))
        : Number.NEGATIVE_INFINITY
    default:
      return Number.NEGATIVE_INFINITY
  }
}

const isOpen = (window: { from: string; to: string | null }, at: number): boolean =>
  epoch(window.from) <= at && at < epoch(window.to)

const epoch = (instant: string | null): number =>
  instant === null ? Number.POSITIVE_INFINITY : Date.parse(instant)
