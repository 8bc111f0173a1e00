/** The tables of operators: people, and the secrets that a deployment was bootstrapped with. */
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { Role } from '../roles.ts'

/** What is known of operators besides their log-in. Names and addresses are here only, so that they can be erased. */
export const people = sqliteTable('people', {
  /** As the audit log has it: `user:` and the subject of the identity provider, or the address behind Cloudflare Access. */
  subject: text().primaryKey(),
  name: text(),
  email: text(),
  /** Roles besides those that the identity provider sends. */
  roles: text({ mode: 'json' }).$type<Role[]>().notNull(),
  /** The person's names elsewhere: `github:octocat`, another `user:…`. */
  identities: text({ mode: 'json' }).$type<string[]>().notNull(),
  /** Subject and identities in the form in which names are compared. */
  names: text({ mode: 'json' }).$type<string[]>().notNull(),
  /** Since when the person may do nothing any more. */
  gone_at: text(),
  created_at: text().notNull(),
  updated_at: text().notNull(),
  revision: integer().notNull(),
})

/** Each bootstrap secret that was used: it is good for one bootstrap. */
export const bootstraps = sqliteTable('bootstraps', {
  /** SHA-256 of the secret, hex. */
  secret_hash: text().primaryKey(),
  used_at: text().notNull(),
})

/** Who started the pipeline in which an API key was used, as the CI system says. */
export interface OnBehalfOf {
  /** `github:octocat` */
  readonly identity: string
  /** The subject in `people`; `null`: unknown there. */
  readonly person: string | null
}
