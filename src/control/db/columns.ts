/** Columns that several tables have. */
import { integer, text } from 'drizzle-orm/sqlite-core'

export const flagKeys = () => text({ mode: 'json' }).$type<string[]>()
export const bool = () => integer({ mode: 'boolean' })
