/** Drift among flags, rules and plans, which shows without looking at organizations. Pure. */
import type { FlagRow, PlanRow, RuleRow } from '../db/rows.ts'
import { isPublished } from '../entities/projection.ts'
import { call, type Finding, finding } from './kinds.ts'

/** A rule that a promotion set last. */
export interface Promoted {
  readonly flag: string
  /** The environment that it was promoted to. */
  readonly environment: string
  /** The environment that it was promoted from; `null`: unknown, so the environment before is assumed. */
  readonly from: string | null
  /** The audit row. */
  readonly seq: number
}

export interface CatalogRows {
  /** In the order of promotion. */
  readonly environments: readonly string[]
  readonly flags: readonly FlagRow[]
  readonly rules: readonly RuleRow[]
  readonly plans: readonly PlanRow[]
  readonly promoted: readonly Promoted[]
  /** Owners of flags that are no longer known. */
  readonly ownersGone: ReadonlySet<string>
}

export function catalogFindings(rows: CatalogRows): Finding[] {
  const moved = promotedRuleMoved(rows)
  const reported = new Set(moved.map(({ environment, flag }) => `${environment}:${flag}`))
  const differing = environmentsDiffer(rows)
  return [
    ...moved,
    // Where a promotion says what should be the same, `promoted_rule_moved` reports it.
    ...differing.filter(({ environment, flag }) => !reported.has(`${environment}:${flag}`)),
    ...plansMismatch(rows),
    ...retiredInPlans(rows),
    ...ownerGone(rows),
  ]
}

type Access = Pick<RuleRow, 'access' | 'percentage'>

const sameAccess = (one: Access, other: Access): boolean =>
  one.access === other.access && (one.percentage ?? 0) === (other.percentage ?? 0)

const accessOf = ({ access, percentage }: RuleRow): Access => ({ access, percentage })

const rulesByPlace = (rules: readonly RuleRow[]): Map<string, RuleRow> =>
  new Map(rules.map((rule) => [`${rule.environment}:${rule.flag}`, rule]))

const ruleCall = (rule: RuleRow, as: RuleRow, kind: 'environments_differ' | 'promoted_rule_moved'): string =>
  call('PUT', ['flags', rule.flag, 'rules', rule.environment], kind, { ...accessOf(as) }, rule.revision)

/**
 * A kill belongs to one environment, and is reported where it costs somebody something. An environment in which the rule
 * was never set has yet to receive it.
 */
function environmentsDiffer({ environments, flags, rules }: CatalogRows): Finding[] {
  const ruleAt = rulesByPlace(rules)
  return flags
    .filter((flag) => flag.kind === 'entitlement' && isPublished(flag))
    .flatMap(({ key }) =>
      environments.slice(1).flatMap((environment, position) => {
        const earlier = ruleAt.get(`${environments[position]}:${key}`)
        const later = ruleAt.get(`${environment}:${key}`)
        if (!earlier || !later || sameAccess(earlier, later)) return []
        return finding('environments_differ', {
          environment,
          flag: key,
          evidence: { [earlier.environment]: accessOf(earlier), [environment]: accessOf(later) },
          // The repair changes the earlier environment, so customers keep what they have.
          repair: ruleCall(earlier, later, 'environments_differ'),
        })
      }),
    )
}

function promotedRuleMoved({ environments, flags, rules, promoted }: CatalogRows): Finding[] {
  const ruleAt = rulesByPlace(rules)
  const published = new Set(flags.filter(isPublished).map(({ key }) => key))
  return promoted.flatMap(({ flag, environment, from, seq }) => {
    const source = ruleAt.get(`${from ?? environments[environments.indexOf(environment) - 1]}:${flag}`)
    const target = ruleAt.get(`${environment}:${flag}`)
    if (!published.has(flag) || !source || !target || sameAccess(source, target)) return []
    return finding('promoted_rule_moved', {
      environment,
      flag,
      evidence: {
        promoted_by: seq,
        from: source.environment,
        [source.environment]: accessOf(source),
        [environment]: accessOf(target),
      },
      repair: ruleCall(target, source, 'promoted_rule_moved'),
    })
  })
}

function plansMismatch({ flags, plans }: CatalogRows): Finding[] {
  const drafts = new Map(flags.filter(({ state }) => state === 'draft').map((flag) => [flag.key, flag]))
  return plans.flatMap((plan) =>
    plan.flags.flatMap((key) => {
      const draft = drafts.get(key)
      if (!draft) return []
      return finding('plan_contract_mismatch', {
        severity: 'metadata',
        flag: key,
        detail: ['plan', plan.key],
        evidence: { plan: plan.key, state: draft.state },
        repair: call(
          'POST',
          ['flags', key, 'state'],
          'plan_contract_mismatch',
          { state: 'live' },
          draft.revision,
        ),
      })
    }),
  )
}

function retiredInPlans({ flags, plans }: CatalogRows): Finding[] {
  const retired = new Set(flags.filter(({ state }) => state === 'retired').map(({ key }) => key))
  return plans.flatMap((plan) => {
    const remaining = plan.flags.filter((key) => !retired.has(key))
    const body = { flags: remaining }
    return plan.flags
      .filter((key) => retired.has(key))
      .map((flag) =>
        finding('retired_flag_granted', {
          flag,
          detail: ['plan', plan.key],
          evidence: { plan: plan.key },
          repair: call('PATCH', ['plans', plan.key], 'retired_flag_granted', body, plan.revision),
        }),
      )
  })
}

function ownerGone({ flags, ownersGone }: CatalogRows): Finding[] {
  return flags
    .filter(({ state, owner }) => state !== 'retired' && ownersGone.has(owner))
    .map(({ key, owner, revision }) =>
      finding('owner_gone', {
        flag: key,
        evidence: { owner },
        repair: call('PATCH', ['flags', key], 'owner_gone', { owner: NEW_OWNER }, revision),
      }),
    )
}

/** People decide who takes over. */
export const NEW_OWNER = 'NEW_OWNER'
