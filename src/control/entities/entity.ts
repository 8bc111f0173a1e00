/**
 * The descriptor of a table: how its rows are found, named in the audit log and published, which changes a policy guards, and
 * what evaluation reads of them. Types, and the two ways to find rows.
 *
 * A descriptor is plain data with pure functions. Everything that follows from a write is derived from it (`edit.ts`),
 * so that a new table or command cannot forget any of it.
 */
import { type SQL, sql } from 'drizzle-orm'
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { PolicyRow } from '../db/rows.ts'
import { list } from '../db/sql.ts'
import type { DocumentRef } from './projection.ts'

export interface Change<Row> {
  readonly before: Row | null
  readonly after: Row
}

/** The columns by which the audit log finds a row, besides its name. */
export interface Filing {
  readonly environment: string | null
  readonly flag: string | null
  readonly org: string | null
  readonly user: string | null
}

export type Policy = Omit<PolicyRow, 'updated_at'>

/** The flags that an edit can affect. */
export interface About {
  readonly flags: readonly string[]
  /** Plans whose flags are affected too. */
  readonly flagsOf?: readonly string[]
  /** Plans whose contracts count although the plans do not hold the flags yet. */
  readonly contractsOf?: readonly string[]
}

/** Who can gain or lose something by an edit. */
export type Scope =
  | { readonly kind: 'none' }
  | ({ readonly kind: 'everyone' } & About)
  | ({
      readonly kind: 'subjects'
      readonly organizations: readonly string[]
      readonly users: readonly string[]
    } & About)

export const NO_ONE: Scope = { kind: 'none' }

export interface Entity<Row extends object> {
  readonly table: SQLiteTable
  /** What the audit log calls a row: `flag:new-editor`. A stored name. */
  readonly kind: string
  /** The primary key, in the order in which the audit log names it. */
  readonly key: readonly (keyof Row & string)[]
  filing?(row: Row): Partial<Filing>
  /** The environments that it can affect, or in which a key with this row may act. */
  environments(change: Change<Row>, all: readonly string[]): readonly string[]
  /** The documents that it changes. */
  documents?(row: Row, all: readonly string[]): readonly DocumentRef[]
  /** Whether a policy that requires approval guards this change. Without it, none does. */
  guarded?(change: Change<Row>, policy: Policy): boolean
  /** The flags whose owners may have to approve. */
  flags?(change: Change<Row>): readonly string[]
  /** For a table that evaluation reads: the world has its rows under the table's name. */
  scope?(change: Change<Row>): Scope
  /** Columns that no response and no audit row shows. */
  readonly hidden?: readonly (keyof Row & string)[]
  /** The revision comes from its source, and so is content. */
  readonly sourceRevision?: true
  /** The columns that a command changes, if not all. */
  readonly written?: readonly (keyof Row & string)[]
}

/** The values of a key: one, or several in the order of its columns. */
export type Key = string | readonly string[]

/** A way to find rows: the keys of a row, and the condition that finds all rows of some keys in one statement. */
export interface Index<Row> {
  readonly name: string
  keysOf(row: Row): readonly Key[]
  where(keys: readonly Key[]): SQL
}

/** Rows by a condition: in D1, and among edited rows that are not written yet. */
export interface Selection<Row> {
  readonly where: SQL | undefined
  matches(row: Row): boolean
}

/** Rows by the values of columns. */
export const byColumns = <Row>(...columns: readonly SQLiteColumn[]): Index<Row> => {
  const textIn = (row: Row, { name }: SQLiteColumn) => String((row as Record<string, unknown>)[name])
  const [first, ...others] = columns as readonly [SQLiteColumn, ...SQLiteColumn[]]
  const single = others.length === 0
  return {
    name: columns.map(({ name }) => name).join(),
    keysOf: (row) => [single ? textIn(row, first) : columns.map((column) => textIn(row, column))],
    where: (keys) =>
      single
        ? sql`${first} IN ${list(keys as readonly string[])}`
        : sql`(${sql.join([...columns], sql`, `)}) IN (SELECT ${sql.join(
            columns.map((_, position) => sql.raw(`json_extract(value, '$[${position}]')`)),
            sql`, `,
          )} FROM json_each(${JSON.stringify(keys)}))`,
  }
}

export const catalogsOf = (environments: readonly string[]): DocumentRef[] =>
  environments.map((environment) => ({ kind: 'catalog', environment, subject: environment }))

export const orgDocumentsOf = (subject: string, environments: readonly string[]): DocumentRef[] =>
  environments.map((environment) => ({ kind: 'org', environment, subject }))

/** What is in only one of the two. */
export const difference = (one: readonly string[] = [], other: readonly string[]): string[] => [
  ...one.filter((value) => !other.includes(value)),
  ...other.filter((value) => !one.includes(value)),
]
