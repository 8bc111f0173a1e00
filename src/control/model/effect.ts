/**
 * The effective diff: who gains or loses which flag by an edit, and when. Pure.
 *
 * It evaluates the world before and the world after with the gateway's own `evaluate`, never reads it off the edit: a
 * grant to somebody whose contract has the flag anyway changes nothing. Subjects about whom nothing is recorded differ
 * by their bucket only, so that they are evaluated one by one only where a percentage decides.
 */
import { bucket } from '../../core/bucket.ts'
import type { Catalog, OrgDocument, UserDocument } from '../../core/documents.ts'
import { evaluate, type Subject } from '../../core/evaluate.ts'
import type { FlagRow, PlanRow } from '../db/rows.ts'
import {
  type ContractColumns,
  type GrantColumns,
  projectCatalog,
  projectContract,
  projectGrant,
  type RuleColumns,
} from './projection.ts'

/** The rows that decide about the flags in question. */
export interface World {
  readonly flags: readonly Pick<FlagRow, 'key' | 'kind' | 'state'>[]
  readonly rules: readonly RuleColumns[]
  readonly plans: readonly Pick<PlanRow, 'key' | 'flags'>[]
  readonly contracts: readonly ContractColumns[]
  readonly grants: readonly GrantColumns[]
}

export interface Question {
  readonly environments: readonly string[]
  readonly organizations: readonly string[]
  readonly users: readonly string[]
  /** Epoch milliseconds, ascending; the first is now. */
  readonly instants: readonly number[]
}

/** Who gains, or who loses: ids, sorted. */
export interface Subjects {
  readonly organizations: readonly string[]
  readonly users: readonly string[]
}

export interface FlagEffect {
  readonly environment: string
  readonly flag: string
  /** When it begins, RFC 3339; `null`: at once. */
  readonly at: string | null
  readonly gained: Subjects
  readonly lost: Subjects
}

/** The effective diff in full; the same difference that lasts over several instants is told once. */
export function effectOf(before: World, after: World, question: Question): FlagEffect[] {
  const told = new Map<string, string>()
  const effects: FlagEffect[] = []
  const worlds = { before: index(before), after: index(after) }
  for (const environment of question.environments) {
    for (const [position, instant] of question.instants.entries()) {
      const at = position === 0 ? null : new Date(instant).toISOString()
      for (const [flag, change] of compare(worlds.before, worlds.after, question, environment, instant)) {
        const digest = JSON.stringify(change)
        const id = `${environment}:${flag}`
        if (told.get(id) !== digest && !isEmpty(change)) effects.push({ environment, flag, at, ...change })
        told.set(id, digest)
      }
    }
  }
  return effects
}

/** Flags of which no organization may have two, in an environment. */
export interface Exclusion {
  readonly environment: string
  readonly flags: readonly string[]
}

/** Whether an organization that gains something has two flags after it that exclude each other. */
export function violates(
  after: World,
  effects: readonly FlagEffect[],
  exclusions: readonly Exclusion[],
  now: number,
): boolean {
  const world = index(after)
  return exclusions.some(({ environment, flags }) =>
    effects
      .filter((effect) => effect.environment === environment && flags.includes(effect.flag))
      .some(({ gained, at }) => {
        const instant = at === null ? now : Date.parse(at)
        const catalog = projectCatalog(environment, after, UNSTAMPED)
        return gained.organizations.some((orgId) => {
          const subject = { orgId, org: orgDocument(world, environment, orgId) }
          return evaluate(catalog, subject, instant).flags.filter((flag) => flags.includes(flag)).length > 1
        })
      }),
  )
}

export interface Indexed {
  readonly world: World
  readonly contracts: Map<string, ContractColumns[]>
  /** By environment, kind and id of the subject. */
  readonly grants: Map<string, GrantColumns[]>
}

export const index = (world: World): Indexed => ({
  world,
  contracts: Map.groupBy(world.contracts, ({ org }) => org),
  grants: Map.groupBy(world.grants, (grant) =>
    grantsKey(grant.environment, grant.subject_kind, grant.subject_id),
  ),
})

const grantsKey = (environment: string, kind: string, id: string): string => `${environment}:${kind}:${id}`

type Sides = { gained: Subjects; lost: Subjects }

const isEmpty = ({ gained, lost }: Sides): boolean =>
  [gained, lost].every(({ organizations, users }) => organizations.length + users.length === 0)

function compare(
  before: Indexed,
  after: Indexed,
  question: Question,
  environment: string,
  at: number,
): Map<string, Sides> {
  const catalogs = [before, after].map(({ world }) => projectCatalog(environment, world, UNSTAMPED)) as [
    Catalog,
    Catalog,
  ]
  const flags = [...new Set(catalogs.flatMap((catalog) => Object.keys(catalog.flags)))].sort()
  const sides = new Map(
    flags.map((flag) => [
      flag,
      {
        gained: { organizations: [] as string[], users: [] as string[] },
        lost: { organizations: [] as string[], users: [] as string[] },
      },
    ]),
  )
  const note = (kind: keyof Subjects, id: string, [had, has]: [readonly string[], readonly string[]]) => {
    for (const flag of has) if (!had.includes(flag)) sides.get(flag)?.gained[kind].push(id)
    for (const flag of had) if (!has.includes(flag)) sides.get(flag)?.lost[kind].push(id)
  }
  const both = (subjects: [Subject, Subject]): [readonly string[], readonly string[]] => [
    evaluate(catalogs[0], subjects[0], at).flags,
    evaluate(catalogs[1], subjects[1], at).flags,
  ]

  const nobody = both([{}, {}])
  const rolledOut = percentages(catalogs)
  for (const orgId of question.organizations) {
    const documents = [before, after].map((side) => orgDocument(side, environment, orgId))
    if (documents.every((document) => document === null)) {
      const decidedByBucket = rolledOut.some(([flag, percentage]) => bucket(flag, orgId) < percentage)
      note('organizations', orgId, decidedByBucket ? both([{ orgId }, { orgId }]) : nobody)
    } else {
      note(
        'organizations',
        orgId,
        both([
          { orgId, org: documents[0] },
          { orgId, org: documents[1] },
        ]),
      )
    }
  }
  for (const userId of question.users) {
    const [had, has] = [before, after].map((side) => userDocument(side, environment, userId))
    note(
      'users',
      userId,
      both([
        { userId, user: had },
        { userId, user: has },
      ]),
    )
  }
  return sides
}

const UNSTAMPED = { version: 0, changed_at: '' }

/** The flags that a bucket can decide about, with the widest percentage of both sides. */
function percentages(catalogs: readonly Catalog[]): [string, number][] {
  const widest = new Map<string, number>()
  for (const catalog of catalogs) {
    for (const [flag, { access, killed, percentage = 0 }] of Object.entries(catalog.flags)) {
      if (access === 'some' && !killed && percentage > 0) {
        widest.set(flag, Math.max(percentage, widest.get(flag) ?? 0))
      }
    }
  }
  return [...widest]
}

export function orgDocument(
  { contracts, grants }: Indexed,
  environment: string,
  orgId: string,
): OrgDocument | null {
  const own = contracts.get(orgId)
  const granted = grants.get(grantsKey(environment, 'org', orgId))
  if (!own && !granted) return null
  return {
    ...HEADER,
    org_id: orgId,
    contracts: (own ?? []).map(projectContract),
    grants: (granted ?? []).map(projectGrant),
    not_before: 0,
  }
}

function userDocument({ grants }: Indexed, environment: string, userId: string): UserDocument {
  const granted = grants.get(grantsKey(environment, 'user', userId)) ?? []
  return { ...HEADER, user_id: userId, grants: granted.map(projectGrant), not_before: 0 }
}

const HEADER = { format: 1 as const, version: 0, published_at: '' }
