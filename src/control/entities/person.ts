/** People: who an operator is besides a log-in. Names and addresses are in no audit row; subjects and identities are. */
import { sql } from 'drizzle-orm'
import { people } from '../db/people.ts'
import type { PersonRow } from '../db/rows.ts'
import { list } from '../db/sql.ts'
import type { Entity, Index } from './entity.ts'

export const person = {
  table: people,
  kind: 'person',
  key: ['subject'],
  environments: (_, all) => all,
  hidden: ['name', 'email', 'names'],
} satisfies Entity<PersonRow>

/** The form in which names are compared: spellings that differ in case or in the form of an accent are equal. */
export const foldName = (name: string): string =>
  name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')

export const foldNames = (names: readonly string[]): string[] => [...new Set(names.map(foldName))]

/** People by any of their folded names. */
export const byName: Index<PersonRow> = {
  name: 'name',
  keysOf: ({ names }) => names,
  where: (keys) =>
    sql`EXISTS (SELECT 1 FROM json_each(${people.names}) AS known WHERE known.value IN ${list(keys as readonly string[])})`,
}
