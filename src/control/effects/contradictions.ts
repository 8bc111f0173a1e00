/**
 * Where a rule that is carried from one environment to the next contradicts a contract: it would take from an organization
 * what its contract pays for, or give it for nothing what others buy. Pure.
 *
 * The gateway's own `evaluate` finds it, on the world before and the one after, without kill switches.
 */
import type { Catalog, Contract } from '../../core/documents.ts'
import { type Decision, evaluate } from '../../core/evaluate.ts'
import type { RuleRow } from '../db/rows.ts'
import { projectCatalog } from '../entities/projection.ts'
import { isInForce } from './candidates.ts'
import { HEADER, type Side, sidesOf, UNSTAMPED, type World, withoutKills } from './world.ts'

export interface Contradiction {
  /** A flag that a contract in force pays for would be lost; or one that is sold would be given without a contract. */
  readonly kind: 'paid_lost' | 'unpaid_given'
  readonly environment: string
  readonly flag: string
  /** Ids, sorted. */
  readonly organizations: readonly string[]
}

/**
 * @param after - with everything that is committed together, and all contracts of the affected organizations
 * @param at - epoch milliseconds
 */
export function contradictionsOf(
  before: World,
  after: World,
  rules: readonly Pick<RuleRow, 'flag' | 'environment'>[],
  at: number,
): Contradiction[] {
  const organizations = [...new Set(after.contracts.map(({ org }) => org))].sort()
  return [...Map.groupBy(rules, ({ environment }) => environment)].flatMap(([environment, carried]) => {
    const flags = [...new Set(carried.map(({ flag }) => flag))].sort()
    const revived = (world: World): Side =>
      sidesOf(withoutKills(world, (rule) => rule.environment === environment && flags.includes(rule.flag)))(
        environment,
      )
    const [was, is] = [revived(before), revived(after)]
    const paying = payingCatalog(environment, after, flags)
    const cases = organizations.flatMap((orgId) => {
      const contracts = is.org(orgId)?.contracts ?? []
      if (!contracts.some((contract) => isInForce(contract, at))) return []
      const [had, has] = [decisionsOf(was, orgId, at), decisionsOf(is, orgId, at)]
      const paid = paidFor(paying, contracts, at)
      return flags.map((flag) => ({
        orgId,
        flag,
        paid: paid.has(flag),
        had: had.get(flag),
        has: has.get(flag),
      }))
    })
    return flags.flatMap((flag) => {
      const own = cases.filter((one) => one.flag === flag)
      const lost = own.filter(({ paid, had, has }) => paid && had?.on && has?.reason === 'rule_none')
      const given = own.filter(({ paid, had, has }) => !paid && isByRule(has) && !isByRule(had))
      return [
        { kind: 'paid_lost' as const, found: lost },
        { kind: 'unpaid_given' as const, found: isSold(after, flag) ? given : [] },
      ].flatMap(({ kind, found }) =>
        found.length === 0
          ? []
          : [{ kind, environment, flag, organizations: found.map(({ orgId }) => orgId) }],
      )
    })
  })
}

function decisionsOf({ catalog, org }: Side, orgId: string, at: number): Map<string, Decision> {
  const { decisions } = evaluate(catalog, { orgId, org: org(orgId) }, at)
  return new Map(decisions.map((decision) => [decision.flag, decision]))
}

const isByRule = (decision: Decision | undefined): boolean =>
  decision?.on === true && (decision.reason === 'rule_all' || decision.reason === 'rollout')

const isSold = ({ flags, plans }: World, key: string): boolean =>
  flags.some((flag) => flag.key === key && flag.kind === 'entitlement') &&
  plans.some(({ flags }) => flags.includes(key))

/** A catalog in which only contracts decide. */
function payingCatalog(environment: string, world: World, flags: readonly string[]): Catalog {
  const rules = flags.map((flag) => ({
    flag,
    environment,
    access: 'some' as const,
    percentage: null,
    killed: false,
  }))
  return projectCatalog(environment, { ...world, rules }, UNSTAMPED)
}

function paidFor(catalog: Catalog, contracts: readonly Contract[], at: number): Set<string> {
  const org = { ...HEADER, org_id: '', contracts: [...contracts], grants: [] }
  return new Set(evaluate(catalog, { org }, at).flags)
}
