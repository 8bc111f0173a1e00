/**
 * The tables of D1, the source of truth; `npm run db:generate` makes the migrations from them.
 *
 * Columns have the names that the API and the audit log use, so that a row means the same wherever it is read. Instants
 * are RFC 3339 in UTC with milliseconds, so that they sort as text. A row is never deleted: what ends gets an end, or a
 * state. The exceptions are idempotency records and the mint log, which expire.
 */
import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, real, sqliteTable, text } from 'drizzle-orm/sqlite-core'

const flagKeys = () => text({ mode: 'json' }).$type<string[]>()
const bool = () => integer({ mode: 'boolean' })

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
    /** Whether a contract that stops to hold the flag also ends the tokens that are out, for live verification. */
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
  /** How long a contract that is past due still grants. */
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
    /** Add-ons: flags that are paid for besides the plan's. */
    add: flagKeys().notNull(),
    source: text().notNull(),
    updated_at: text().notNull(),
    /** The source's own: it only goes up. */
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

/** One row a command, each hashed with its predecessor. A trigger of the migrations refuses updates and deletions. */
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
  /** Who the key acts for. */
  owner: text().notNull(),
  /** Who made it, and so can have a copy of it. `null`: not known. */
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

/** How changes are agreed to in an environment. Without a row: `changes/policy.ts`. */
export const policies = sqliteTable('policies', {
  environment: text().primaryKey(),
  /** How many people besides the author must agree; 0: changes are made at once. */
  approvals: integer().notNull(),
  /** Whether the owner of every flag in question must be among them. */
  owner_approves: bool().notNull(),
  /** Sets of flags of which no organization may have two. */
  exclusive: text({ mode: 'json' }).$type<string[][]>().notNull(),
  updated_at: text().notNull(),
  revision: integer().notNull(),
})

/** What somebody wants to change, and who agreed to exactly that. A break-glass change is one that was not asked for. */
export const change_requests = sqliteTable(
  'change_requests',
  {
    id: text().primaryKey(),
    kind: text({ enum: ['change', 'break_glass'] }).notNull(),
    state: text({
      enum: ['draft', 'in_review', 'approved', 'scheduled', 'applied', 'rejected', 'cancelled', 'stale'],
    }).notNull(),
    author: text().notNull(),
    author_key: text(),
    /** Everybody who may have been behind the author: whoever made the API key included. */
    people: text({ mode: 'json' }).$type<string[]>().notNull(),
    /** The commands, as data. */
    items: text({ mode: 'json' }).$type<ChangeItem[]>().notNull(),
    /** What the commands do to which rows. */
    rows: text({ mode: 'json' }).$type<RowChange[]>().notNull(),
    /** The environments whose policies ask for approval. */
    environments: text({ mode: 'json' }).$type<string[]>().notNull(),
    /** The flags whose owners are asked where a policy wants it. */
    flags: flagKeys().notNull(),
    /** The effective diff. */
    effect: text({ mode: 'json' }).notNull(),
    /** SHA-256 over items, rows and the whole effective diff, hex: what an approval is for. */
    digest: text().notNull(),
    approvals: text({ mode: 'json' }).$type<Approval[]>().notNull(),
    /** When it is to be applied; `null`: when somebody says so. */
    apply_at: text(),
    reason: text().notNull(),
    ticket: text(),
    /** Why it became stale: a code. */
    problem: text(),
    applied_at: text(),
    /** Who looked at a break-glass change afterwards, and what they found. */
    reviewed_at: text(),
    reviewed_by: text(),
    review: text(),
    created_at: text().notNull(),
    updated_at: text().notNull(),
    revision: integer().notNull(),
  },
  (table) => [
    index('change_requests_state').on(table.state, table.apply_at),
    index('change_requests_unreviewed').on(table.id).where(sql`kind = 'break_glass' AND reviewed_at IS NULL`),
  ],
)

export interface ChangeItem {
  readonly action: string
  readonly input: Readonly<Record<string, unknown>>
}

export interface RowChange {
  /** `rule:production:new-editor` */
  readonly entity: string
  readonly action: string
  /** Members that differ, before and after; `before` is absent of a row that is new. */
  readonly members: Readonly<Record<string, { readonly before?: unknown; readonly after: unknown }>>
}

export interface Approval {
  readonly actor: string
  readonly api_key: string | null
  /** Everybody who may have been behind the approver. */
  readonly people: readonly string[]
  /** The flags among those in question that the approver owns. */
  readonly owns: readonly string[]
  readonly digest: string
  readonly at: string
}

/** What was in the tokens: one row a mint, kept 90 days. */
export const mints = sqliteTable(
  'mints',
  {
    jti: text().primaryKey(),
    upstream_jti: text(),
    environment: text().notNull(),
    org: text(),
    sub: text(),
    sid: text(),
    client: text(),
    flags: flagKeys().notNull(),
    /** The versions of the documents: `87.12`. */
    ver: text().notNull(),
    src: text({ enum: ['fresh', 'stale', 'degraded'] }).notNull(),
    /** The instant of evaluation, with milliseconds. */
    minted_at: text().notNull(),
    expires_at: text().notNull(),
    request_id: text().notNull(),
  },
  (table) => [
    index('mints_org').on(table.org, table.minted_at, table.jti),
    index('mints_at').on(table.minted_at),
  ],
)

/** What could not be put into the mint log, by environment and reason: counted, as it is not there to be seen. */
export const mint_losses = sqliteTable(
  'mint_losses',
  {
    environment: text().notNull(),
    reason: text({ enum: ['dropped', 'unreadable'] }).notNull(),
    count: integer().notNull(),
    last_at: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.environment, table.reason] })],
)

/** Names of other systems: which plan a price is, which organization a customer. */
export const mappings = sqliteTable(
  'mappings',
  {
    source: text().notNull(),
    kind: text({ enum: ['plan', 'flag', 'org'] }).notNull(),
    /** What the other system calls it: a price, a lookup key, a customer. */
    external_id: text().notNull(),
    /** Ours; `null`: no longer mapped. */
    target: text(),
    updated_at: text().notNull(),
    revision: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.source, table.kind, table.external_id] })],
)

/** Every event that came in, once, with what became of it. */
export const inbox = sqliteTable(
  'inbox',
  {
    source: text().notNull(),
    event_id: text().notNull(),
    type: text().notNull(),
    /** `waiting`: for one that must come first. `superseded`: a later one was applied. */
    state: text({ enum: ['applied', 'ignored', 'superseded', 'waiting', 'quarantined'] }).notNull(),
    /** Why it is not applied: a code. */
    problem: text(),
    /** What the event is about, as far as it is known: `contract:C-9`. */
    entity: text(),
    org: text(),
    /** The source's own order. */
    revision: integer(),
    /** The event as the source told it. */
    body: text().notNull(),
    /** SHA-256 of it, hex. */
    digest: text().notNull(),
    occurred_at: text(),
    received_at: text().notNull(),
    settled_at: text(),
    attempts: integer().notNull(),
    /** The last audit row of its effect. */
    seq: integer(),
  },
  (table) => [
    primaryKey({ columns: [table.source, table.event_id] }),
    index('inbox_open').on(table.received_at).where(sql`state IN ('waiting', 'quarantined')`),
    index('inbox_entity').on(table.entity, table.revision),
    index('inbox_received').on(table.received_at),
  ],
)

/** Where intent, contract, published document and minted claim disagree: one row a finding, seen first and last. */
export const findings = sqliteTable(
  'findings',
  {
    /** The kind and what it is about, so that the same finding is the same row. */
    id: text().primaryKey(),
    kind: text().notNull(),
    severity: text({ enum: ['over_grant', 'under_grant', 'metadata'] }).notNull(),
    environment: text(),
    org: text(),
    flag: text(),
    evidence: text({ mode: 'json' }).$type<Record<string, unknown>>().notNull(),
    repair: text(),
    first_seen: text().notNull(),
    last_seen: text().notNull(),
    resolved_at: text(),
    accepted_by: text(),
    accepted_reason: text(),
    accepted_until: text(),
    updated_at: text().notNull(),
    revision: integer().notNull(),
  },
  (table) => [index('findings_open').on(table.kind, table.id).where(sql`resolved_at IS NULL`)],
)
