/** Many rows in as few statements as they fit into: D1 limits the values of a statement, and the queries of an invocation. Pure. */
import { getTableColumns, sql } from 'drizzle-orm'
import type { BatchItem } from 'drizzle-orm/batch'
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { Database } from './client.ts'

export type Statement = BatchItem<'sqlite'>

/** D1 binds no more values than that in one statement. */
const MAX_PARAMETERS = 100

/** Inserts rows, no two of which have the same key, or sets these columns of those that are there. */
export function upsertAll<T extends SQLiteTable>(
  db: Database,
  table: T,
  key: readonly string[],
  rows: readonly T['$inferInsert'][],
  written?: readonly string[],
): Statement[] {
  const columns: Record<string, SQLiteColumn> = getTableColumns(table)
  const target = key.map((name) => columns[name] as SQLiteColumn)
  const set = Object.fromEntries(
    (written ?? Object.keys(columns)).map((name) => [name, sql.raw(`excluded."${columns[name]?.name}"`)]),
  )
  return inParts(table, rows).map((part) =>
    db
      .insert(table)
      .values(part)
      .onConflictDoUpdate({ target, set: set as never }),
  )
}

export const insertAll = <T extends SQLiteTable>(
  db: Database,
  table: T,
  rows: readonly T['$inferInsert'][],
): Statement[] => inParts(table, rows).map((part) => db.insert(table).values(part))

function inParts<T>(table: SQLiteTable, rows: readonly T[]): T[][] {
  const size = Math.floor(MAX_PARAMETERS / Object.keys(getTableColumns(table)).length)
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, n) => rows.slice(n * size, (n + 1) * size))
}
