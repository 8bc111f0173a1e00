/** Small pieces of SQL that tables and queries share. */
import { type SQL, sql } from 'drizzle-orm'
import { integer, text } from 'drizzle-orm/sqlite-core'

export const flagKeys = () => text({ mode: 'json' }).$type<string[]>()
export const bool = () => integer({ mode: 'boolean' })

/** A list as one bound value, of which a statement may have a hundred only: `WHERE key IN ${list(keys)}`. */
export const list = (values: readonly string[]): SQL =>
  sql`(SELECT value FROM json_each(${JSON.stringify(values)}))`
