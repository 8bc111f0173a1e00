/**
 * What edits could change, read from D1 in one round trip: the rows that decide about the affected flags, and the
 * subjects that the edits can touch. Does I/O.
 *
 * A subject without an affected rule, contract or grant is not read at all, unless an edit can open the flag to everybody
 * or to a percentage.
 */
import { sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { FlagRow } from '../db/rows.ts'
import { list } from '../db/sql.ts'
import { type Edit, environmentsOf, scopeOf } from '../entities/edit.ts'
import type { Scope } from '../entities/entity.ts'
import type { ContractColumns, GrantColumns, RuleColumns } from '../entities/projection.ts'
import type { Question } from './diff.ts'
import { type Concerned, concernsSomebody, union, unite, withPartners } from './scope.ts'
import { applyEdit, type World } from './world.ts'

export interface Slice {
  readonly before: World
  readonly after: World
  readonly question: Question
  /** The flags that each edit could affect, in the order of the edits. */
  readonly flags: readonly (readonly string[])[]
}

export interface SliceOptions {
  readonly environments: readonly string[]
  /** Epoch milliseconds. */
  readonly now: number
  /** Sets of flags of which one decides about another. */
  readonly together: readonly (readonly string[])[]
  /** Reads all contracts, not only those that hold the affected flags. */
  readonly everyContract: boolean
}

/** @returns `undefined` if the edits cannot change what anybody has */
export async function loadSlice(
  db: Database,
  edits: readonly Edit[],
  { environments, now, together, everyContract }: SliceOptions,
): Promise<Slice | undefined> {
  const scopes = edits.map(scopeOf)
  const scope = unite(scopes)
  if (!concernsSomebody(scope)) return undefined
  const held = await flagsOfPlans(db, scope.flagsOf ?? [])
  const flagsOf = (one: Scope): string[] =>
    one.kind === 'none'
      ? []
      : union(
          one.flags,
          one.flagsOf?.flatMap((plan) => held.get(plan) ?? []),
        )
  const flags = flagsOf(scope)
  if (flags.length === 0) return undefined
  const touched = environments.filter((name) =>
    edits.some((edit) => environmentsOf(edit, environments).includes(name)),
  )
  const before = await loadWorld(db, scope, withPartners(flags, together), touched, everyContract)
  const after = edits.reduce(applyEdit, before)
  const subjects = await subjectsOf(db, scope, [before, after], touched)
  return {
    before,
    after,
    question: { environments: touched, ...subjects, now },
    flags: scopes.map(flagsOf),
  }
}

async function flagsOfPlans(db: Database, plans: readonly string[]): Promise<Map<string, string[]>> {
  if (plans.length === 0) return new Map()
  const rows = await db.all<{ key: string; flags: string }>(
    sql`SELECT key, flags FROM plans WHERE key IN ${list(plans)}`,
  )
  return new Map(rows.map(({ key, flags }) => [key, JSON.parse(flags) as string[]]))
}

/** The columns in the order of the statement: as arrays, because there can be as many contracts as organizations. */
type ContractValues = [
  ...(readonly [id: string, org: string, plan: string | null, status: ContractColumns['status']]),
  ...(readonly [from: string, to: string | null, grace_until: string | null, add: string]),
]

async function loadWorld(
  db: Database,
  scope: Concerned,
  wanted: readonly string[],
  environments: readonly string[],
  everyContract: boolean,
): Promise<World> {
  const flags = list(wanted)
  const within = list(environments)
  const [ofOrgs, ofSubjects] =
    scope.kind === 'everyone'
      ? [sql``, sql``]
      : [
          sql` AND org IN ${list(scope.organizations)}`,
          sql` AND subject_id IN ${list([...scope.organizations, ...scope.users])}`,
        ]
  const [flagRows, ruleRows, planRows, contractRows, grantRows] = await Promise.all([
    db.all<Pick<FlagRow, 'key' | 'kind' | 'state'>>(
      sql`SELECT key, kind, state FROM flags WHERE key IN ${flags}`,
    ),
    db.all<Omit<RuleColumns, 'killed'> & { killed: number }>(
      sql`SELECT flag, environment, access, percentage, killed FROM rules
          WHERE flag IN ${flags} AND environment IN ${within}`,
    ),
    db.all<{ key: string; flags: string }>(sql`SELECT key, flags FROM plans`),
    db.values<ContractValues>(
      sql`SELECT id, org, plan, status, "from", "to", grace_until, "add" FROM contracts
          WHERE (${everyContract ? 1 : 0} OR plan IN ${list(scope.contractsOf ?? [])} OR plan IN (
              SELECT p.key FROM plans p, json_each(p.flags) j WHERE j.value IN ${flags})
            OR ("add" <> '[]' AND EXISTS (
              SELECT 1 FROM json_each(contracts."add") j WHERE j.value IN ${flags})))${ofOrgs}`,
    ),
    db.all<GrantColumns>(
      sql`SELECT id, environment, subject_kind, subject_id, flag, effect, source, "from", "to" FROM grants
          WHERE flag IN ${flags} AND environment IN ${within}${ofSubjects}`,
    ),
  ])
  const inQuestion = new Set(wanted)
  return {
    flags: flagRows,
    rules: ruleRows.map((rule) => ({ ...rule, killed: Boolean(rule.killed) })),
    plans: planRows.map(({ key, flags: held }) => ({
      key,
      flags: (JSON.parse(held) as string[]).filter((flag) => inQuestion.has(flag)),
    })),
    contracts: contractRows.map(([id, org, plan, status, from, to, grace_until, add]) => ({
      id,
      org,
      plan,
      status,
      from,
      to,
      grace_until,
      add: add === '[]' ? NO_FLAGS : (JSON.parse(add) as string[]),
    })),
    grants: grantRows,
  }
}

const NO_FLAGS: string[] = []

/** The subjects that the edits can touch, sorted: those they name, those with an affected row, or all. */
async function subjectsOf(
  db: Database,
  scope: Concerned,
  worlds: readonly World[],
  environments: readonly string[],
): Promise<Pick<Question, 'organizations' | 'users'>> {
  if (scope.kind === 'subjects') return scope
  const granted = Map.groupBy(
    worlds.flatMap(({ grants }) => grants),
    ({ subject_kind }) => subject_kind,
  )
  const idsOf = (kind: 'org' | 'user') => (granted.get(kind) ?? []).map(({ subject_id }) => subject_id)
  const users = [...new Set(idsOf('user'))].sort()
  if (opensToAnybody(worlds, environments)) {
    const rows = await db.values<[string]>(sql`SELECT id FROM organizations ORDER BY id`)
    return { organizations: rows.map(([id]) => id), users }
  }
  const organizations = new Set(idsOf('org'))
  for (const { contracts } of worlds) for (const { org } of contracts) organizations.add(org)
  return { organizations: [...organizations].sort(), users }
}

/** Whether a rule of these worlds gives a flag to subjects without records. */
const opensToAnybody = (worlds: readonly World[], environments: readonly string[]): boolean =>
  worlds.some(({ rules }) =>
    rules.some(
      ({ environment, access, percentage, killed }) =>
        environments.includes(environment) &&
        !killed &&
        (access === 'all' || (access === 'some' && (percentage ?? 0) > 0)),
    ),
  )
