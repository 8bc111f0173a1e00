/** The tables of the mint log, the inbox with its mappings, and drift. */
import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { bool, flagKeys } from './sql.ts'

/** What was in the tokens: one row per mint, kept for 90 days. */
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

/** How many events the mint log lost, by environment and reason. */
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
    /** The name here; `null`: no longer mapped. */
    target: text(),
    updated_at: text().notNull(),
    revision: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.source, table.kind, table.external_id] })],
)

/** Every event that arrived, once, with its outcome. */
export const inbox = sqliteTable(
  'inbox',
  {
    source: text().notNull(),
    event_id: text().notNull(),
    type: text().notNull(),
    /**
     * `received`: kept, and not understood yet. `waiting`: for one that must come first. `superseded`: a later one was
     * applied. `dismissed`: somebody has said that nothing is to be done.
     */
    state: text({
      enum: ['received', 'applied', 'ignored', 'superseded', 'waiting', 'quarantined', 'dismissed'],
    }).notNull(),
    /** Why it is not applied: a code. */
    problem: text(),
    /** More about the problem: the unmapped name, or the place in the payload. */
    detail: text(),
    /** The subject of the event, if known: `contract:C-9`. */
    entity: text(),
    org: text(),
    /** The source's own order. */
    revision: integer(),
    /** The body as it came. */
    body: text().notNull(),
    /** SHA-256 of its bytes, hex. */
    digest: text().notNull(),
    /** SHA-256 of its meaning, hex: equal for two events with the same effect. `null`: it has no meaning here. */
    meaning: text(),
    occurred_at: text(),
    received_at: text().notNull(),
    settled_at: text(),
    attempts: integer().notNull(),
    /** The last audit row of its effect. */
    seq: integer(),
    /** The system behind the source that sent it. */
    system: text(),
    /** The person behind it, as the source names people. */
    person: text(),
    /** Who requested the query of the source. */
    asked_by: text(),
    /** The names that are not mapped yet: `org:acme-inc`. The event is retried when one of them is. */
    needs: text({ mode: 'json' }).$type<string[] | null>(),
    dismissed_by: text(),
    dismissed_reason: text(),
  },
  (table) => [
    primaryKey({ columns: [table.source, table.event_id] }),
    index('inbox_unsettled').on(table.received_at).where(sql`state = 'received'`),
    index('inbox_open').on(table.received_at).where(sql`state IN ('waiting', 'quarantined')`),
    index('inbox_entity').on(table.entity, table.revision),
    index('inbox_received').on(table.received_at),
  ],
)

/**
 * What a source has said last of each contract, in its own words: the rows of the contract are derived from it, today's and
 * those that a corrected mapping makes. Its revision is the source's; the rows count their own changes.
 */
export const agreements = sqliteTable(
  'agreements',
  {
    /** Our id of the contract. */
    contract: text().primaryKey(),
    source: text().notNull(),
    /** Which of the systems behind the source. */
    system: text(),
    /** The source's own number. */
    external_id: text().notNull(),
    /** The source's name of who pays. */
    customer: text(),
    revision: integer().notNull(),
    /** SHA-256 of what was said, hex. */
    meaning: text().notNull(),
    said: text({ mode: 'json' }).$type<unknown>().notNull(),
    /** Every name in it that a mapping may know: `price:price_1`. */
    names: text({ mode: 'json' }).$type<string[]>().notNull(),
    /** Whether the rows are all of it; otherwise an event waits for the rest. */
    whole: bool().notNull(),
    /** Since when it is past due, by the event's own time. */
    due_since: text(),
    /** The event that said it, which is kept as long as this. */
    event_source: text().notNull(),
    event_id: text().notNull(),
    /** When the rows were derived from it last. */
    derived_at: text().notNull(),
  },
  (table) => [
    index('agreements_number').on(table.source, table.external_id),
    index('agreements_customer').on(table.source, table.customer),
    index('agreements_event').on(table.event_source, table.event_id),
  ],
)

/** Where intent, contract, published document and minted claim disagree: one row per finding. */
export const findings = sqliteTable(
  'findings',
  {
    /** The kind and subject, so that the same finding is the same row. */
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
