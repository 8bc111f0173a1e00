/** A list as one bound value, of which a statement may have a hundred only: `WHERE key IN ${list(keys)}`. */
import { type SQL, sql } from 'drizzle-orm'

export const list = (values: readonly string[]): SQL =>
  sql`(SELECT value FROM json_each(${JSON.stringify(values)}))`
