/**
 * What a command comes down to: one row, before and after. Pure.
 *
 * All that follows from a mutation (who is touched, which documents, how the audit log files it) is derived here from
 * the rows, in one place, so that a new command cannot forget any of it.
 */
import { canonical } from '../canonical.ts'
import type {
  ApiKeyRow,
  ChangeRequestRow,
  ContractRow,
  FindingRow,
  FlagRow,
  GrantRow,
  MappingRow,
  OrganizationRow,
  PlanRow,
  PolicyRow,
  RuleRow,
} from '../db/rows.ts'
import type { DocumentRef } from './projection.ts'

interface Change<Table extends string, Row> {
  readonly table: Table
  readonly before: Row | null
  readonly after: Row
}

export type Edit =
  | Change<'flags', FlagRow>
  | Change<'rules', RuleRow>
  | Change<'plans', PlanRow>
  | Change<'organizations', OrganizationRow>
  | Change<'contracts', ContractRow>
  | Change<'grants', GrantRow>
  | Change<'api_keys', ApiKeyRow>
  | Change<'policies', PolicyRow>
  | Change<'change_requests', ChangeRequestRow>
  | Change<'mappings', MappingRow>
  | Change<'findings', FindingRow>

/** Whether evaluation reads such a row. Which edits need approval is another matter: see `guardedEnvironments`. */
const ENTITLES = {
  ...{ flags: true, rules: true, plans: true, contracts: true, grants: true },
  ...{ organizations: false, api_keys: false, policies: false, change_requests: false },
  ...{ mappings: false, findings: false },
} as const satisfies Record<Edit['table'], boolean>

type EntitlingTable = {
  [Table in Edit['table']]: (typeof ENTITLES)[Table] extends true ? Table : never
}[Edit['table']]

/** An edit that can change what customers have. */
export type EntitlingEdit = Extract<Edit, { readonly table: EntitlingTable }>

export const isEntitling = (edit: Edit): edit is EntitlingEdit => ENTITLES[edit.table]

export interface Filing {
  readonly entity: string
  readonly environment: string | null
  readonly flag: string | null
  readonly org: string | null
  readonly user: string | null
}

const NOWHERE = { environment: null, flag: null, org: null, user: null }

/** Under what the audit log files an edit. */
export function filingOf(edit: Edit): Filing {
  switch (edit.table) {
    case 'flags':
      return { ...NOWHERE, entity: `flag:${edit.after.key}`, flag: edit.after.key }
    case 'rules': {
      const { flag, environment } = edit.after
      return { ...NOWHERE, entity: `rule:${environment}:${flag}`, flag, environment }
    }
    case 'plans':
      return { ...NOWHERE, entity: `plan:${edit.after.key}` }
    case 'organizations':
      return { ...NOWHERE, entity: `organization:${edit.after.id}`, org: edit.after.id }
    case 'contracts':
      return { ...NOWHERE, entity: `contract:${edit.after.id}`, org: edit.after.org }
    case 'grants': {
      const { id, environment, flag, subject_kind, subject_id } = edit.after
      const subject = subject_kind === 'org' ? { org: subject_id } : { user: subject_id }
      return { ...NOWHERE, entity: `grant:${id}`, environment, flag, ...subject }
    }
    case 'api_keys':
      return { ...NOWHERE, entity: `api_key:${edit.after.id}` }
    case 'policies': {
      const { environment } = edit.after
      return { ...NOWHERE, entity: `policy:${environment}`, environment }
    }
    case 'change_requests': {
      const { id, environments } = edit.after
      const [only = null, ...others] = environments
      return { ...NOWHERE, entity: `change:${id}`, environment: others.length === 0 ? only : null }
    }
    case 'mappings': {
      const { source, kind, external_id } = edit.after
      return { ...NOWHERE, entity: `mapping:${source}:${kind}:${external_id}` }
    }
    case 'findings': {
      const { id, environment, flag, org } = edit.after
      return { ...NOWHERE, entity: `finding:${id}`, environment, flag, org }
    }
  }
}

/** The environments that an edit is about: what it can change there, or what a key that it is about may do there. */
export function environmentsOf(edit: Edit, all: readonly string[]): readonly string[] {
  switch (edit.table) {
    case 'rules':
    case 'grants':
    case 'policies':
      return [edit.after.environment]
    case 'flags':
    case 'plans':
    case 'organizations':
    case 'contracts':
    case 'mappings':
      return all
    case 'change_requests':
      return [...new Set([...(edit.before?.environments ?? []), ...edit.after.environments])]
    case 'api_keys':
      return edit.after.environments ?? all
    case 'findings':
      return edit.after.environment === null ? all : [edit.after.environment]
  }
}

/** The documents that an edit changes. */
export function documentsOf(edit: Edit, all: readonly string[]): readonly DocumentRef[] {
  const catalogs = (environments: readonly string[]): DocumentRef[] =>
    environments.map((environment) => ({ kind: 'catalog', environment, subject: environment }))
  switch (edit.table) {
    case 'flags':
    case 'plans':
      return catalogs(all)
    case 'rules':
      return catalogs([edit.after.environment])
    case 'organizations':
      return all.map((environment) => ({ kind: 'org', environment, subject: edit.after.id }))
    case 'contracts':
      return all.map((environment) => ({ kind: 'org', environment, subject: edit.after.org }))
    case 'grants': {
      const { environment, subject_kind, subject_id } = edit.after
      return [{ kind: subject_kind, environment, subject: subject_id }]
    }
    case 'api_keys':
    case 'policies':
    case 'change_requests':
    case 'mappings':
    case 'findings':
      return []
  }
}

/**
 * A row as the audit log and answers show it: without what only serves to check a secret. Of a change request without the
 * effective diff, which its digest stands for, and which the audit row of its application has.
 */
export function publicRow(edit: Edit, side: 'before' | 'after'): Record<string, unknown> | null {
  const row = edit[side]
  if (row === null) return null
  switch (edit.table) {
    case 'api_keys': {
      const { secret_hash: _, ...shown } = row as ApiKeyRow
      return shown
    }
    case 'change_requests': {
      const { effect: _, ...shown } = row as ChangeRequestRow
      return shown
    }
    default:
      return { ...row }
  }
}

/**
 * Whether the edit leaves everything as it is but the marks of the edit itself. A contract's revision is its source's,
 * and is content.
 */
export function isUnchanged({ table, before, after }: Edit): boolean {
  if (before === null) return false
  if (table === 'contracts' && before.revision !== after.revision) return false
  return sameContent(before, after)
}

export function sameContent(one: Edit['before'], other: Edit['before']): boolean {
  const content = (row: Edit['before']) => {
    if (row === null) return null
    const { updated_at: _, revision: __, ...rest } = row
    return canonical(rest)
  }
  return content(one) === content(other)
}
