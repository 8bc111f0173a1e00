/** The tables of approvals: policies and change requests. */
import { sql } from 'drizzle-orm'
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { bool, flagKeys } from './sql.ts'

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
    /** The environments that it changes something in. */
    environments: text({ mode: 'json' }).$type<string[]>().notNull(),
    /** The flags in question that the author does not own: whose owners are asked where a policy wants it. */
    flags: flagKeys().notNull(),
    /** How many approvals the policies asked for when it was last looked at. */
    required: integer().notNull(),
    /** The effective diff. */
    effect: text({ mode: 'json' }).notNull(),
    /** SHA-256 over what is asked for, the rows and the whole effective diff, hex: what an approval is for. */
    digest: text().notNull(),
    approvals: text({ mode: 'json' }).$type<Approval[]>().notNull(),
    /** When it is to be applied; `null`: when somebody says so. */
    apply_at: text(),
    reason: text().notNull(),
    ticket: text(),
    /** Why it became stale, or was not applied at its time: a code. */
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
