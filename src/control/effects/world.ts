/**
 * What edits could change, read from D1 in one round trip: the rows that decide about the flags in question, and the
 * subjects that the edits can touch. Does I/O.
 *
 * A subject that no rule, contract or grant in question is about is not read at all, unless an edit can open the flag
 * to everybody or to a percentage.
 */
import { sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { FlagRow, PlanRow } from '../db/rows.ts'
import { list } from '../db/sql.ts'
import { type Edit, environmentsOf, isEntitling } from '../entities/edit.ts'
import {
  type ContractColumns,
  type GrantColumns,
  isPublished,
  type RuleColumns,
} from '../entities/projection.ts'
import type { Question, World } from './diff.ts'

export interface Slice {
  readonly before: World
  readonly after: World
  readonly question: Question
  /** The flags that each edit could change something about, in the order of the edits. */
  readonly flags: readonly (readonly string[])[]
}

interface Scope {
  readonly flags: readonly string[]
  /** `null`: everybody whom the flags' rules, contracts and grants concern. */
  readonly only: { readonly organizations: readonly string[]; readonly users: readonly string[] } | null
  /** Plans whose contracts count although they do not hold the flags yet. */
  readonly plans: readonly string[]
}

const NOTHING: Scope = { flags: [], only: { organizations: [], users: [] }, plans: [] }

/**
 * @param together - sets of flags of which one decides about another
 * @param everyContract - read all contracts, not only those that hold the flags in question
 * @returns `undefined` when the edits are none that can change what anybody has
 */
export async function loadSlice(
  db: Database,
  edits: readonly Edit[],
  environments: readonly string[],
  now: number,
  together: readonly (readonly string[])[] = [],
  everyContract = false,
): Promise<Slice | undefined> {
  const held = await flagsOfPlans(db, edits)
  const scopes = edits.map((edit) => scopeOf(edit, held))
  const scope = scopes.reduce<Scope>(unite, NOTHING)
  if (scope.flags.length === 0) return undefined
  const wanted = { ...scope, flags: withPartners(scope.flags, together) }
  const touched = environments.filter((name) =>
    edits.some((edit) => environmentsOf(edit, environments).includes(name)),
  )
  const before = await loadWorld(db, wanted, touched, everyContract)
  const after = edits.reduce(applyEdit, before)
  const everybody = scope.only === null && opensToAnybody([before, after], touched)
  const organizations = await organizationsOf(db, scope, [before, after], everybody)
  const users = scope.only?.users ?? subjects([before, after], 'user')
  return {
    before,
    after,
    question: { environments: touched, organizations, users, now },
    flags: scopes.map(({ flags }) => flags),
  }
}

function unite(one: Scope, other: Scope): Scope {
  const both = (a: readonly string[], b: readonly string[]) => [...new Set([...a, ...b])]
  // What no edit is about widens nothing.
  if (other.flags.length === 0) return one
  return {
    flags: both(one.flags, other.flags),
    only:
      one.only === null || other.only === null
        ? null
        : {
            organizations: both(one.only.organizations, other.only.organizations),
            users: both(one.only.users, other.only.users),
          },
    plans: both(one.plans, other.plans),
  }
}

const withPartners = (flags: readonly string[], together: readonly (readonly string[])[]): string[] => [
  ...new Set([...flags, ...together.filter((set) => set.some((flag) => flags.includes(flag))).flat()]),
]

function scopeOf(edit: Edit, held: ReadonlyMap<string, readonly string[]>): Scope {
  if (!isEntitling(edit)) return NOTHING
  switch (edit.table) {
    case 'flags': {
      const published = [edit.before, edit.after].map((flag) => flag !== null && isPublished(flag))
      return published[0] === published[1] ? NOTHING : { flags: [edit.after.key], only: null, plans: [] }
    }
    case 'rules':
      return { flags: [edit.after.flag], only: null, plans: [] }
    case 'plans': {
      const [had, has] = [edit.before?.flags ?? [], edit.after.flags]
      const flags = [...had.filter((f) => !has.includes(f)), ...has.filter((f) => !had.includes(f))]
      return { flags, only: null, plans: [edit.after.key] }
    }
    case 'contracts': {
      const { before, after } = edit
      const plans = [before?.plan, after.plan].flatMap((plan) => held.get(plan ?? '') ?? [])
      const flags = new Set([...plans, ...(before?.add ?? []), ...after.add])
      return { flags: [...flags], only: { organizations: [after.org], users: [] }, plans: [] }
    }
    case 'grants': {
      const { flag, subject_kind, subject_id } = edit.after
      const only =
        subject_kind === 'org'
          ? { organizations: [subject_id], users: [] }
          : { organizations: [], users: [subject_id] }
      return { flags: [flag], only, plans: [] }
    }
  }
}

/** What the plans hold that edits of contracts name. */
async function flagsOfPlans(db: Database, edits: readonly Edit[]): Promise<Map<string, string[]>> {
  const plans = edits.flatMap((edit) =>
    edit.table === 'contracts'
      ? [edit.before?.plan, edit.after.plan].filter((plan) => typeof plan === 'string')
      : [],
  )
  if (plans.length === 0) return new Map()
  const rows = await db.all<{ key: string; flags: string }>(
    sql`SELECT key, flags FROM plans WHERE key IN ${list([...new Set(plans)])}`,
  )
  return new Map(rows.map(({ key, flags }) => [key, JSON.parse(flags) as string[]]))
}

type Loose<T, K extends keyof T> = Omit<T, K> & Record<K, string>

type C = ContractColumns
type ContractValues = [
  C['id'],
  C['org'],
  C['plan'],
  C['status'],
  C['from'],
  C['to'],
  C['grace_until'],
  string,
]

async function loadWorld(
  db: Database,
  scope: Scope,
  environments: readonly string[],
  everyContract: boolean,
): Promise<World> {
  const flags = list(scope.flags)
  const org = scope.only === null ? sql`` : sql` AND org IN ${list(scope.only.organizations)}`
  const subject =
    scope.only === null
      ? sql``
      : sql` AND subject_id IN ${list([...scope.only.organizations, ...scope.only.users])}`
  const [flagRows, ruleRows, planRows, contractRows, grantRows] = await Promise.all([
    db.all<Pick<FlagRow, 'key' | 'kind' | 'state'>>(
      sql`SELECT key, kind, state FROM flags WHERE key IN ${flags}`,
    ),
    db.all<Omit<RuleColumns, 'killed'> & { killed: number }>(
      sql`SELECT flag, environment, access, percentage, killed FROM rules
          WHERE flag IN ${flags} AND environment IN ${list(environments)}`,
    ),
    db.all<Loose<Pick<PlanRow, 'key' | 'flags'>, 'flags'>>(sql`SELECT key, flags FROM plans`),
    // As arrays: there may be as many of these as organizations.
    db.values<ContractValues>(
      sql`SELECT id, org, plan, status, "from", "to", grace_until, "add" FROM contracts
          WHERE (${everyContract ? 1 : 0} OR plan IN ${list(scope.plans)} OR plan IN (
              SELECT p.key FROM plans p, json_each(p.flags) j WHERE j.value IN ${flags})
            OR ("add" <> '[]' AND EXISTS (
              SELECT 1 FROM json_each(contracts."add") j WHERE j.value IN ${flags})))${org}`,
    ),
    db.all<GrantColumns>(
      sql`SELECT id, environment, subject_kind, subject_id, flag, effect, source, "from", "to" FROM grants
          WHERE flag IN ${flags} AND environment IN ${list(environments)}${subject}`,
    ),
  ])
  const inQuestion = new Set(scope.flags)
  return {
    flags: flagRows,
    rules: ruleRows.map((rule) => ({ ...rule, killed: Boolean(rule.killed) })),
    plans: planRows.map(({ key, flags: held }) => ({
      key,
      flags: (JSON.parse(held) as string[]).filter((flag) => inQuestion.has(flag)),
    })),
    contracts: contractRows.map(([id, org, plan, status, from, to, grace_until, add]) => ({
      ...{ id, org, plan, status, from, to, grace_until },
      add: add === '[]' ? NO_FLAGS : (JSON.parse(add) as string[]),
    })),
    grants: grantRows,
  }
}

const NO_FLAGS: string[] = []

/** The world with the edit's row in the place of the old one; plans keep to the flags in question. */
export function applyEdit(world: World, edit: Edit): World {
  if (!isEntitling(edit)) return world
  switch (edit.table) {
    case 'flags':
      return { ...world, flags: [...world.flags.filter(({ key }) => key !== edit.after.key), edit.after] }
    case 'rules': {
      const { flag, environment } = edit.after
      const others = world.rules.filter((rule) => rule.flag !== flag || rule.environment !== environment)
      return { ...world, rules: [...others, edit.after] }
    }
    case 'plans':
      return { ...world, plans: [...world.plans.filter(({ key }) => key !== edit.after.key), edit.after] }
    case 'contracts':
      return {
        ...world,
        contracts: [...world.contracts.filter(({ id }) => id !== edit.after.id), edit.after],
      }
    case 'grants':
      return { ...world, grants: [...world.grants.filter(({ id }) => id !== edit.after.id), edit.after] }
  }
}

/** Whether a rule of these worlds gives a flag to subjects about whom nothing is recorded. */
function opensToAnybody(worlds: readonly World[], environments: readonly string[]): boolean {
  return worlds.some(({ rules }) =>
    rules.some(
      ({ environment, access, percentage, killed }) =>
        environments.includes(environment) &&
        !killed &&
        (access === 'all' || (access === 'some' && (percentage ?? 0) > 0)),
    ),
  )
}

async function organizationsOf(
  db: Database,
  scope: Scope,
  worlds: readonly World[],
  everybody: boolean,
): Promise<readonly string[]> {
  if (scope.only) return scope.only.organizations
  const recorded = [
    ...new Set([
      ...subjects(worlds, 'org'),
      ...worlds.flatMap(({ contracts }) => contracts.map(({ org }) => org)),
    ]),
  ].sort()
  if (!everybody) return recorded
  const rows = await db.values<[string]>(sql`SELECT id FROM organizations ORDER BY id`)
  return rows.map(([id]) => id)
}

const subjects = (worlds: readonly World[], kind: 'org' | 'user'): string[] =>
  [
    ...new Set(
      worlds.flatMap(({ grants }) =>
        grants.filter(({ subject_kind }) => subject_kind === kind).map(({ subject_id }) => subject_id),
      ),
    ),
  ].sort()
