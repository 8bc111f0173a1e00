/**
 * The result of a command: one row of one table, before and after; and everything that follows from it by the table's
 * descriptor. Pure.
 */
import type { InferSelectModel } from 'drizzle-orm'
import { canonical } from '../canonical.ts'
import { apiKey } from './api_key.ts'
import { changeRequest } from './change_request.ts'
import { contract } from './contract.ts'
import { type Entity, type Filing, NO_ONE, type Policy, type Scope } from './entity.ts'
import { finding } from './finding.ts'
import { flag } from './flag.ts'
import { grant } from './grant.ts'
import { mapping } from './mapping.ts'
import { organization } from './organization.ts'
import { person } from './person.ts'
import { plan } from './plan.ts'
import { policy, requiresApproval } from './policy.ts'
import type { DocumentRef } from './projection.ts'
import { rule } from './rule.ts'

/** Every table that commands write, by its name. */
export const ENTITIES = {
  flags: flag,
  rules: rule,
  plans: plan,
  organizations: organization,
  contracts: contract,
  grants: grant,
  api_keys: apiKey,
  policies: policy,
  change_requests: changeRequest,
  mappings: mapping,
  findings: finding,
  people: person,
}

export type Table = keyof typeof ENTITIES
export type RowOf<T extends Table> = InferSelectModel<(typeof ENTITIES)[T]['table']>

/** An edit of one of these tables. */
export type EditOf<T extends Table> = {
  readonly [Name in T]: {
    readonly table: Name
    readonly before: RowOf<Name> | null
    readonly after: RowOf<Name>
  }
}[T]
export type Edit = EditOf<Table>
export type Row = Edit['after']

/** An edit already pairs each descriptor with its own rows; the types cannot express it here. */
export const entityOf = (table: Table): Entity<Row> => ENTITIES[table] as unknown as Entity<Row>

/** What the audit log calls a row: `rule:production:new-editor`. */
export function nameOf(table: Table, row: Row): string {
  const { kind, key } = entityOf(table)
  return [kind, ...key.map((column) => row[column])].join(':')
}

const NOWHERE: Filing = { environment: null, flag: null, org: null, user: null }

/** The columns by which the audit log finds an edit. */
export const filingOf = ({ table, after }: Edit): Filing & { readonly entity: string } => ({
  ...NOWHERE,
  ...entityOf(table).filing?.(after),
  entity: nameOf(table, after),
})

export const environmentsOf = (edit: Edit, all: readonly string[]): readonly string[] =>
  entityOf(edit.table).environments(edit, all)

export const documentsOf = ({ table, after }: Edit, all: readonly string[]): readonly DocumentRef[] =>
  entityOf(table).documents?.(after, all) ?? []

export const scopeOf = (edit: Edit): Scope => entityOf(edit.table).scope?.(edit) ?? NO_ONE

/** The flags that an edit affects, whose owners may have to approve. */
export const flagsInQuestion = (edit: Edit): readonly string[] => entityOf(edit.table).flags?.(edit) ?? []

/**
 * The environments whose policies require approval of one of these edits, in their order. It follows from what an edit
 * does to a row, not from the route that it came through, so that a new way to change something cannot bypass it.
 */
export const guardedEnvironments = (edits: readonly Edit[], policies: readonly Policy[]): string[] => {
  const names = policies.map(({ environment }) => environment)
  return policies
    .filter(requiresApproval)
    .filter((one) =>
      edits.some(
        (edit) =>
          environmentsOf(edit, names).includes(one.environment) && entityOf(edit.table).guarded?.(edit, one),
      ),
    )
    .map(({ environment }) => environment)
}

/** A row as responses and the audit log show it. */
export function publicRow(edit: Edit, side: 'before' | 'after'): Record<string, unknown> | null {
  const { hidden = [] } = entityOf(edit.table)
  const row = edit[side]
  return row && Object.fromEntries(Object.entries(row).filter(([name]) => !hidden.includes(name as never)))
}

/** Members that say when and how often a row was touched, not what it is. */
export const marksOf = (table: Table): readonly string[] =>
  entityOf(table).sourceRevision ? ['updated_at', 'created_at'] : ['updated_at', 'created_at', 'revision']

/** The content of a row, without its timestamps and revision. */
export function contentOf(table: Table, row: Row | null): string {
  const marks = marksOf(table)
  return canonical(row && Object.fromEntries(Object.entries(row).filter(([name]) => !marks.includes(name))))
}

/** Whether the edit changes nothing except its own timestamps and revision. */
export const isUnchanged = ({ table, before, after }: Edit): boolean =>
  before !== null && contentOf(table, before) === contentOf(table, after)
