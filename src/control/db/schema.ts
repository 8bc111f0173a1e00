/**
 * The tables of D1, the source of truth; `npm run db:generate` makes the migrations from them.
 *
 * Columns have the names that the API and the audit log use, so that a row means the same wherever it is read. Instants
 * are RFC 3339 in UTC with milliseconds, so that they sort as text. A row is never deleted: it gets an end, or a
 * state. The exceptions are idempotency records and the mint log, which expire.
 */
import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, real, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { bool, flagKeys } from './sql.ts'

export * from './agreements.ts'
export * from './people.ts'
export * from './records.ts'

export const flags = sqliteTable(
  'flags',
  {
    key: text().primaryKey(),
    name: text().notNull(),
    description: text().notNull(),
    kind: text({ enum: ['entitlement', 'rollout'] }).notNull(),
    owner: text().notNull(),
    tags: flagKeys().notNull(),
    state: text({ enum: ['draft', 'live', 'retiring', 'retired'] }).notNull(),
    no_plan_reason: text(),
    review_every_days: integer(),
    reviewed_at: text(),
    retire_by: text(),
    extensions: integer().notNull(),
    /** Whether losing the flag with a contract also voids earlier tokens, for live verification. */
    revoke_on_loss: bool().notNull().default(false),
    created_at: text().notNull(),
    updated_at: text().notNull(),
    revision: integer().notNull(),
  },
  (table) => [index('flags_owner').on(table.owner), index('flags_state').on(table.state)],
)

/** A flag without a row in an environment has access `none` there. */
export const rules = sqliteTable(
  'rules',
  {
    flag: text().notNull(),
    environment: text().notNull(),
    access: text({ enum: ['none', 'some', 'all'] }).notNull(),
    percentage: real(),
    killed: bool().notNull(),
    updated_at: text().notNull(),
    revision: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.flag, table.environment] })],
)

export const plans = sqliteTable('plans', {
  key: text().primaryKey(),
  name: text().notNull(),
  description: text().notNull(),
  flags: flagKeys().notNull(),
  /** For how many days a contract that is past due still grants. */
  grace_days: integer().notNull(),
  created_at: text().notNull(),
  updated_at: text().notNull(),
  revision: integer().notNull(),
})

export const organizations = sqliteTable('organizations', {
  id: text().primaryKey(),
  name: text().notNull(),
  /** Epoch seconds: live verification refuses tokens that were issued earlier. */
  not_before: integer().notNull(),
  created_at: text().notNull(),
  updated_at: text().notNull(),
  revision: integer().notNull(),
})

export const contracts = sqliteTable(
  'contracts',
  {
    id: text().primaryKey(),
    org: text().notNull(),
    plan: text(),
    status: text({
      enum: ['trialing', 'active', 'past_due', 'paused', 'unpaid', 'cancelled', 'expired'],
    }).notNull(),
    from: text().notNull(),
    to: text(),
    grace_until: text(),
    /** Add-ons: flags that are paid for in addition to the plan's. */
    add: flagKeys().notNull(),
    source: text().notNull(),
    updated_at: text().notNull(),
    /** The source's own number; it only goes up. */
    revision: integer().notNull(),
  },
  (table) => [index('contracts_org').on(table.org), index('contracts_plan').on(table.plan)],
)

export const grants = sqliteTable(
  'grants',
  {
    id: text().primaryKey(),
    environment: text().notNull(),
    subject_kind: text({ enum: ['org', 'user'] }).notNull(),
    subject_id: text().notNull(),
    flag: text().notNull(),
    effect: text({ enum: ['allow', 'deny'] }).notNull(),
    source: text({ enum: ['override', 'beta', 'support', 'import'] }).notNull(),
    reason: text().notNull(),
    ticket: text(),
    from: text().notNull(),
    to: text(),
    created_by: text().notNull(),
    created_at: text().notNull(),
    updated_at: text().notNull(),
    revoked_at: text(),
    revoked_by: text(),
    revision: integer().notNull(),
  },
  (table) => [
    index('grants_subject').on(table.subject_id, table.subject_kind, table.environment),
    index('grants_flag').on(table.flag, table.environment),
  ],
)

/** One row per command, each hashed with its predecessor. A trigger in the migrations refuses updates and deletions. */
export const audit = sqliteTable(
  'audit',
  {
    seq: integer().primaryKey(),
    at: text().notNull(),
    actor: text().notNull(),
    /** The API key that acted for the actor. */
    api_key: text(),
    action: text().notNull(),
    /** What changed: `rule:production:new-editor`. */
    entity: text().notNull(),
    environment: text(),
    flag: text(),
    org: text(),
    user: text(),
    before: text(),
    after: text(),
    /** The effective diff. */
    effect: text().notNull(),
    reason: text().notNull(),
    ticket: text(),
    request_id: text().notNull(),
    /** The change request that it belongs to. */
    change: text(),
    prev: text().notNull(),
    hash: text().notNull(),
    /** Who started the pipeline in which the API key was used. */
    on_behalf_of: text(),
  },
  (table) => [
    index('audit_at').on(table.at),
    index('audit_entity').on(table.entity, table.seq),
    index('audit_change').on(table.change, table.seq),
    index('audit_flag').on(table.flag, table.seq),
    index('audit_org').on(table.org, table.seq),
    index('audit_actor').on(table.actor, table.seq),
    index('audit_action').on(table.action, table.seq),
  ],
)

/**
 * The outbox, one row a KV document: the version that it should have, which is the `seq` of the last command that
 * touched it, and the one that was written.
 */
export const documents = sqliteTable(
  'documents',
  {
    key: text().primaryKey(),
    environment: text().notNull(),
    kind: text({ enum: ['catalog', 'org', 'user'] }).notNull(),
    subject: text().notNull(),
    version: integer().notNull(),
    changed_at: text().notNull(),
    published_version: integer().notNull().default(0),
    published_at: text(),
    attempts: integer().notNull().default(0),
    retry_at: text(),
    error: text(),
  },
  (table) => [
    index('documents_pending').on(table.environment, table.version).where(sql`published_version < version`),
  ],
)

export const api_keys = sqliteTable('api_keys', {
  id: text().primaryKey(),
  name: text().notNull(),
  /** The owner, for whom the key acts. */
  owner: text().notNull(),
  /** Its creator, who can have a copy of it. `null`: unknown. */
  created_by: text(),
  role: text({ enum: ['viewer', 'editor', 'approver', 'admin'] }).notNull(),
  /** `null`: all of them. */
  environments: text({ mode: 'json' }).$type<string[] | null>(),
  /** SHA-256 of the secret, hex. */
  secret_hash: text().notNull(),
  created_at: text().notNull(),
  updated_at: text().notNull(),
  ends_at: text().notNull(),
  revoked_at: text(),
  revision: integer().notNull(),
})

export const idempotency = sqliteTable(
  'idempotency',
  {
    actor: text().notNull(),
    key: text().notNull(),
    /** SHA-256 of method, path and body, hex. */
    request: text().notNull(),
    status: integer().notNull(),
    etag: text(),
    body: text().notNull(),
    created_at: text().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.actor, table.key] }),
    index('idempotency_created').on(table.created_at),
  ],
)
