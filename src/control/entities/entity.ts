/**
 * What a descriptor of a table says: how its rows are found, filed in the audit log and published, what a policy guards of
 * them, and what evaluation reads of them. Types, and the two ways to find rows.
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

/** Under what the audit log files a row, besides its name. */
export interface Filing {
  readonly environment: string | null
  readonly flag: string | null
  readonly org: string | null
  readonly user: string | null
}

export type Policy = Omit<PolicyRow, 'updated_at'>

/** The flags that an edit can change something about. */
export interface About {
  readonly flags: readonly string[]
  /** Plans whose flags are in question too. */
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
  /** The environments that it can change something in, or that a key with this row may act in. */
  environments(change: Change<Row>, all: readonly string[]): readonly string[]
  /** The documents that it changes. */
  documents?(row: Row, all: readonly string[]): readonly DocumentRef[]
  /** Whether a policy that requires approval guards this change. Without it, none does. */
  guarded?(change: Change<Row>, policy: Policy): boolean
  /** The flags whose owners a policy may ask. */
  flags?(change: Change<Row>): readonly string[]
  /** Of a table that evaluation reads: the world has its rows under the table's name. */
  scope?(change: Change<Row>): Scope
  /** Columns that no answer and no audit row shows. */
  readonly hidden?: readonly (keyof Row & string)[]
  /** The revision is its source's, and so content. */
  readonly sourceRevision?: true
  /** The columns that a command changes, where not all. */
  readonly written?: readonly (keyof Row & string)[]
}

/** The values of a key: one, or several in the order of its columns. */
export type Key = string | readonly string[]

/** A way to find rows: under which keys a row is found, and the condition that finds them all in one statement. */
export interface Index<Row> {
  readonly name: string
  keysOf(row: Row): readonly Key[]
  where(keys: readonly Key[]): SQL
}

/** Rows by a condition: in D1, and of rows that are edited and not written yet. */
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
