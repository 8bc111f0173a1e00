/**
 * The rows that decide about the affected flags, and the gateway's documents made from them. Pure.
 *
 * A world is what D1 holds, or what it would hold after some edits: what is different between two of them is the effect.
 */
import type { Catalog, OrgDocument, UserDocument } from '../../core/documents.ts'
import type { FlagRow, PlanRow } from '../db/rows.ts'
import { type Edit, entityOf, nameOf, type Row } from '../entities/edit.ts'
import {
  type ContractColumns,
  type GrantColumns,
  projectCatalog,
  projectContract,
  projectGrant,
  type RuleColumns,
} from '../entities/projection.ts'

export interface World {
  readonly flags: readonly Pick<FlagRow, 'key' | 'kind' | 'state'>[]
  readonly rules: readonly RuleColumns[]
  readonly plans: readonly Pick<PlanRow, 'key' | 'flags'>[]
  readonly contracts: readonly ContractColumns[]
  readonly grants: readonly GrantColumns[]
}

/** The world with the edit's row in place of the old one. */
export function applyEdit(world: World, { table, after }: Edit): World {
  if (!entityOf(table).scope) return world
  const name = nameOf(table, after)
  const rows = world[table as keyof World] as readonly Row[]
  return { ...world, [table]: [...rows.filter((row) => nameOf(table, row) !== name), after] }
}

/** The same without some kill switches: an incident ends, and then what they hide would show. */
export const withoutKills = (
  world: World,
  isRevived: (rule: RuleColumns) => boolean = () => true,
): World => ({
  ...world,
  rules: world.rules.map((rule) => (isRevived(rule) ? { ...rule, killed: false } : rule)),
})

/** A world in one environment, as the gateway reads it. */
export interface Side {
  readonly catalog: Catalog
  /** `null`: it has no records. */
  org(id: string): OrgDocument | null
  user(id: string): UserDocument
}

/** Builds the sides of a world, one for each environment. */
export function sidesOf(world: World): (environment: string) => Side {
  const contracts = Map.groupBy(world.contracts, ({ org }) => org)
  const grants = Map.groupBy(world.grants, ({ environment, subject_kind, subject_id }) =>
    grantsKey(environment, subject_kind, subject_id),
  )
  return (environment) => {
    const grantsOf = (kind: 'org' | 'user', id: string) => grants.get(grantsKey(environment, kind, id))
    return {
      catalog: projectCatalog(environment, world, UNSTAMPED),
      org(id) {
        const [own, granted] = [contracts.get(id), grantsOf('org', id)]
        if (!own && !granted) return null
        return {
          ...HEADER,
          org_id: id,
          contracts: (own ?? []).map(projectContract),
          grants: (granted ?? []).map(projectGrant),
        }
      },
      user: (id) => ({ ...HEADER, user_id: id, grants: (grantsOf('user', id) ?? []).map(projectGrant) }),
    }
  }
}

const grantsKey = (environment: string, kind: string, id: string): string => `${environment}:${kind}:${id}`

/** For documents that are only evaluated here, never published. */
export const UNSTAMPED = { version: 0, changed_at: '' }
export const HEADER = { format: 1 as const, version: 0, published_at: '', not_before: 0 }

/** Every later moment at which a row of these documents starts or stops counting, ascending. */
export function bordersOf(documents: readonly (OrgDocument | UserDocument | null)[], now: number): number[] {
  const borders = documents.flatMap((document) => [
    ...(document?.grants ?? []).flatMap(({ from, to }) => [from, to]),
    ...(document && 'contracts' in document ? document.contracts : []).flatMap(
      ({ from, to, grace_until = null }) => [from, to, grace_until],
    ),
  ])
  const later = borders.flatMap((border) => (border === null ? [] : [Date.parse(border)]))
  return [...new Set(later)].filter((at) => at > now).sort((a, b) => a - b)
}
