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
} from '../entities/projection.ts'

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
  /** Epoch milliseconds. */
  readonly now: number
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

/**
 * The effective diff in full: what is different now, and every later moment at which something begins to be. A subject is
 * looked at whenever a window of its own begins or ends, before or after; between these nothing changes for it.
 */
export function effectOf(before: World, after: World, question: Question): FlagEffect[] {
  const worlds = { before: index(before), after: index(after) }
  return question.environments.flatMap((environment) => effectsIn(environment, worlds, question))
}

interface Worlds {
  readonly before: Indexed
  readonly after: Indexed
}

function effectsIn(environment: string, { before, after }: Worlds, question: Question): FlagEffect[] {
  const { now } = question
  const catalogs = [before, after].map(({ world }) => projectCatalog(environment, world, UNSTAMPED)) as [
    Catalog,
    Catalog,
  ]
  const found = new Map<string, Told>()
  const note = (kind: keyof Subjects, id: string, at: number, flag: string, side: Side) => {
    const key = `${at} ${flag}`
    const told = found.get(key) ?? { at, flag, gained: nobody(), lost: nobody() }
    told[side][kind].push(id)
    found.set(key, told)
  }
  const both = (subjects: [Subject, Subject], at: number): Difference =>
    differenceOf(evaluate(catalogs[0], subjects[0], at).flags, evaluate(catalogs[1], subjects[1], at).flags)
  const walk = (
    kind: keyof Subjects,
    id: string,
    subjects: [Subject, Subject],
    instants: readonly number[],
  ) => {
    let last: Difference = new Map()
    for (const at of instants) {
      const difference = both(subjects, at)
      for (const [flag, side] of difference) if (last.get(flag) !== side) note(kind, id, at, flag, side)
      last = difference
    }
  }

  const unknown = both([{}, {}], now)
  const rolledOut = percentages(catalogs)
  for (const orgId of question.organizations) {
    const documents = [before, after].map((side) => orgDocument(side, environment, orgId))
    if (documents.every((document) => document === null)) {
      // Nothing is recorded: only its bucket tells it from nobody in particular.
      const decidedByBucket = rolledOut.some(([flag, percentage]) => bucket(flag, orgId) < percentage)
      const difference = decidedByBucket ? both([{ orgId }, { orgId }], now) : unknown
      for (const [flag, side] of difference) note('organizations', orgId, now, flag, side)
    } else {
      const subjects: [Subject, Subject] = [
        { orgId, org: documents[0] },
        { orgId, org: documents[1] },
      ]
      walk('organizations', orgId, subjects, [now, ...bordersOf(documents, now)])
    }
  }
  for (const userId of question.users) {
    const documents = [before, after].map((side) => userDocument(side, environment, userId))
    const subjects: [Subject, Subject] = [
      { userId, user: documents[0] },
      { userId, user: documents[1] },
    ]
    walk('users', userId, subjects, [now, ...bordersOf(documents, now)])
  }
  return [...found.values()]
    .sort((a, b) => a.at - b.at || (a.flag < b.flag ? -1 : 1))
    .map(({ at, flag, gained, lost }) => ({
      ...{ environment, flag, at: at === now ? null : new Date(at).toISOString(), gained, lost },
    }))
}

type Side = 'gained' | 'lost'
type Difference = Map<string, Side>

interface Told {
  readonly at: number
  readonly flag: string
  readonly gained: { organizations: string[]; users: string[] }
  readonly lost: { organizations: string[]; users: string[] }
}

const nobody = () => ({ organizations: [] as string[], users: [] as string[] })

function differenceOf(had: readonly string[], has: readonly string[]): Difference {
  const difference: Difference = new Map()
  for (const flag of has) if (!had.includes(flag)) difference.set(flag, 'gained')
  for (const flag of had) if (!has.includes(flag)) difference.set(flag, 'lost')
  return difference
}

/** Every later moment at which a row of these documents begins or ends to count, ascending. */
function bordersOf(documents: readonly (OrgDocument | UserDocument | null)[], now: number): number[] {
  const borders = documents.flatMap((document) =>
    document === null
      ? []
      : [
          ...document.grants.flatMap(({ from, to }) => [from, to]),
          ...('contracts' in document
            ? document.contracts.flatMap(({ from, to, grace_until = null }) => [from, to, grace_until])
            : []),
        ],
  )
  const later = borders
    .flatMap((border) => (border === null ? [] : [Date.parse(border)]))
    .filter((at) => at > now)
  return [...new Set(later)].sort((a, b) => a - b)
}

/** Flags of which no organization may have two, in an environment. */
export interface Exclusion {
  readonly environment: string
  readonly flags: readonly string[]
}

/**
 * Whether an organization would have two flags that exclude each other, now or at a later moment, which it would not have
 * had. Kill switches are let be: an incident ends, and what was given behind it would show then.
 */
export function violates(
  before: World,
  after: World,
  question: Question,
  exclusions: readonly Exclusion[],
): boolean {
  if (exclusions.length === 0) return false
  const [was, is] = [before, after].map((world) => index(withoutKills(world))) as [Indexed, Indexed]
  return exclusions
    .filter(({ environment }) => question.environments.includes(environment))
    .some(({ environment, flags }) => {
      const catalogs = [was, is].map(({ world }) => projectCatalog(environment, world, UNSTAMPED))
      const held = (side: 0 | 1, subject: Subject, at: number): number =>
        evaluate(catalogs[side] as Catalog, subject, at).flags.filter((flag) => flags.includes(flag)).length
      return question.organizations.some((orgId) => {
        const documents = [was, is].map((side) => orgDocument(side, environment, orgId))
        return [question.now, ...bordersOf(documents, question.now)].some(
          (at) =>
            held(1, { orgId, org: documents[1] }, at) > 1 && held(0, { orgId, org: documents[0] }, at) < 2,
        )
      })
    })
}

const withoutKills = (world: World): World => ({
  ...world,
  rules: world.rules.map((rule) => ({ ...rule, killed: false })),
})

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
