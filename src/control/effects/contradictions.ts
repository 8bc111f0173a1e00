/**
 * Where a rule that is carried from one environment to the next contradicts a contract: it would take from an organization
 * what its contract pays for, or give it for nothing what others buy. Pure.
 *
 * It is found with the gateway's own `evaluate`, on the world before and the one after. A kill switch is let be: an
 * incident ends, and what was agreed to behind it would show then.
 */
import type { Catalog } from '../../core/documents.ts'
import { type Decision, evaluate } from '../../core/evaluate.ts'
import type { RuleRow } from '../db/rows.ts'
import { projectCatalog, projectContract } from '../entities/projection.ts'
import { type Indexed, index, orgDocument, type World } from './diff.ts'

export interface Contradiction {
  /** What a contract in force pays for would be lost; or it would be had without that, though it is sold. */
  readonly kind: 'paid_lost' | 'unpaid_given'
  readonly environment: string
  readonly flag: string
  /** Ids, sorted. */
  readonly organizations: readonly string[]
}

type Carried = Pick<RuleRow, 'flag' | 'environment'>

/**
 * @param after - with all that is committed together; its contracts are all those of the organizations in question
 * @param at - epoch milliseconds
 */
export function contradictionsOf(
  before: World,
  after: World,
  rules: readonly Carried[],
  at: number,
): Contradiction[] {
  return [...Map.groupBy(rules, ({ environment }) => environment)].flatMap(([environment, carried]) => {
    const flags = [...new Set(carried.map(({ flag }) => flag))].sort()
    const worlds = [revived(before, environment, flags), revived(after, environment, flags)] as const
    const catalogs = worlds.map((world) => projectCatalog(environment, world, UNSTAMPED))
    const indexed = worlds.map(index)
    const paying = payingCatalog(environment, after, flags)
    const sold = flags.filter((flag) => isSold(after, flag))
    const lost = new Map(flags.map((flag): [string, string[]] => [flag, []]))
    const given = new Map(flags.map((flag): [string, string[]] => [flag, []]))
    for (const orgId of [...(indexed[1]?.contracts.keys() ?? [])].sort()) {
      const paid = paidFor(paying, indexed[1], orgId, at)
      if (!paid.has(IN_FORCE)) continue
      const [was, is] = catalogs.map((catalog, side) => {
        const org = orgDocument(indexed[side] as Indexed, environment, orgId)
        const { decisions } = evaluate(catalog, { orgId, org }, at)
        return new Map(decisions.map((decision) => [decision.flag, decision]))
      })
      for (const flag of flags) {
        const [had, has] = [was?.get(flag), is?.get(flag)]
        if (paid.has(flag) && had?.on && has?.reason === 'rule_none') lost.get(flag)?.push(orgId)
        if (!paid.has(flag) && sold.includes(flag) && byRule(has) && !byRule(had))
          given.get(flag)?.push(orgId)
      }
    }
    return flags.flatMap((flag) => [
      ...told({ kind: 'paid_lost', environment, flag, organizations: lost.get(flag) ?? [] }),
      ...told({ kind: 'unpaid_given', environment, flag, organizations: given.get(flag) ?? [] }),
    ])
  })
}

const UNSTAMPED = { version: 0, changed_at: '' }

/** What every contract in force pays for; no flag has this key. */
const IN_FORCE = '#in-force'

const told = (contradiction: Contradiction): Contradiction[] =>
  contradiction.organizations.length === 0 ? [] : [contradiction]

const byRule = (decision: Decision | undefined): boolean =>
  decision?.on === true && (decision.reason === 'rule_all' || decision.reason === 'rollout')

const isSold = ({ flags, plans }: World, key: string): boolean =>
  flags.some((flag) => flag.key === key && flag.kind === 'entitlement') &&
  plans.some(({ flags }) => flags.includes(key))

const revived = (world: World, environment: string, flags: readonly string[]): World => ({
  ...world,
  rules: world.rules.map((rule) =>
    rule.environment === environment && flags.includes(rule.flag) ? { ...rule, killed: false } : rule,
  ),
})

/** A catalog by which contracts alone decide. */
function payingCatalog(environment: string, world: World, flags: readonly string[]): Catalog {
  const rules = flags.map((flag) => ({
    ...{ flag, environment, access: 'some' as const, percentage: null, killed: false },
  }))
  const catalog = projectCatalog(environment, { ...world, rules }, UNSTAMPED)
  return { ...catalog, flags: { ...catalog.flags, [IN_FORCE]: { kind: 'entitlement', access: 'some' } } }
}

function paidFor(catalog: Catalog, world: Indexed | undefined, orgId: string, at: number): Set<string> {
  const contracts = (world?.contracts.get(orgId) ?? [])
    .map(projectContract)
    .map((contract) => ({ ...contract, add: [...contract.add, IN_FORCE] }))
  const org = {
    ...{ format: 1 as const, version: 0, published_at: '', org_id: orgId },
    ...{ contracts, grants: [], not_before: 0 },
  }
  return new Set(evaluate(catalog, { org }, at).flags)
}
