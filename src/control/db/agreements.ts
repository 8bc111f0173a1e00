/** The tables of approvals: policies and change requests. */
import { sql } from 'drizzle-orm'
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { OnBehalfOf } from './people.ts'
import { bool, flagKeys } from './sql.ts'

/** How changes are approved in an environment. An environment gets a row when it is first seen. */
export const policies = sqliteTable('policies', {
  environment: text().primaryKey(),
  /** How many people besides the author must approve; 0: changes are applied at once. */
  approvals: integer().notNull(),
  /** Whether the owner of every affected flag must be among them. */
  owner_approves: bool().notNull(),
  /** Sets of flags of which no organization may have two. */
  exclusive: text({ mode: 'json' }).$type<string[][]>().notNull(),
  updated_at: text().notNull(),
  /** 0: the default that came into force with the environment. */
  revision: integer().notNull(),
  /** What else is required for flags of a kind; `null`: nothing. */
  kinds: text({ mode: 'json' }).$type<KindPolicies | null>(),
  /** How many people must approve changes of single flags; `null`: as many as for others. */
  flags: text({ mode: 'json' }).$type<Record<string, number> | null>(),
})

export interface KindPolicies {
  readonly entitlement?: {
    readonly approvals?: number | undefined
    /** The longest time between two reviews. */
    readonly review_days?: number | undefined
  }
  readonly rollout?: {
    readonly approvals?: number | undefined
    /** How long after its creation a rollout must be retired. */
    readonly lifetime_days?: number | undefined
  }
}

/** A requested change, and who approved exactly that. A break-glass change is one that was applied without a request. */
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
    /** Everybody who may have been behind the author, including the creator of the API key. */
    people: text({ mode: 'json' }).$type<string[]>().notNull(),
    /** The commands, as data. */
    items: text({ mode: 'json' }).$type<ChangeItem[]>().notNull(),
    /** What the commands do to which rows. */
    rows: text({ mode: 'json' }).$type<RowChange[]>().notNull(),
    /** The environments that it changes something in. */
    environments: text({ mode: 'json' }).$type<string[]>().notNull(),
    /** The affected flags that the author does not own: their owners must approve where the policy says so. */
    flags: flagKeys().notNull(),
    /** How many approvals the policies required when it was last assessed. */
    required: integer().notNull(),
    /** The effective diff. */
    effect: text({ mode: 'json' }).notNull(),
    /** SHA-256 over the commands, the rows and the whole effective diff, hex: what an approval covers. */
    digest: text().notNull(),
    approvals: text({ mode: 'json' }).$type<Approval[]>().notNull(),
    /** When it is applied automatically; `null`: only on request. */
    apply_at: text(),
    reason: text().notNull(),
    ticket: text(),
    /** Why it became stale, or was not applied when due: a code. */
    problem: text(),
    applied_at: text(),
    /** Who reviewed a break-glass change, and what they found. */
    reviewed_at: text(),
    reviewed_by: text(),
    review: text(),
    created_at: text().notNull(),
    updated_at: text().notNull(),
    revision: integer().notNull(),
    /** Who started the pipeline in which the author's API key was used; `null`: the request says nothing of it. */
    on_behalf_of: text({ mode: 'json' }).$type<OnBehalfOf | null>(),
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
  /** Members that differ, before and after; a new row has no `before`. */
  readonly members: Readonly<Record<string, { readonly before?: unknown; readonly after: unknown }>>
}

export interface Approval {
  readonly actor: string
  readonly api_key: string | null
  /** Everybody who may have been behind the approver. */
  readonly people: readonly string[]
  /** The affected flags that the approver owns. */
  readonly owns: readonly string[]
  readonly digest: string
  readonly at: string
}
