/**
 * The routes of the audit log: read, filtered, and verified.
 */
import { z } from '@hono/zod-openapi'
import { and, asc, desc, eq, gt, gte, inArray, lt, type SQL } from 'drizzle-orm'
import { ok } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import { audit } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { effectSchema } from '../effects/view.ts'
import { externalId, flagKey, instant, storedInstant } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { type AuditEntry, GENESIS, toEntry, verifyChain } from '../ledger/audit_chain.ts'
import { READERS } from '../roles.ts'

/** Rows that one call verifies, in about a tenth of a second. */
const VERIFY_ROWS = 5_000
const VERIFY_PAGE = 500

const row = z.record(z.string(), z.unknown()).nullable()

const entrySchema = z
  .object({
    seq: z.int(),
    at: storedInstant,
    actor: z.string(),
    api_key: z.string().nullable(),
    action: z.string(),
    entity: z.string(),
    environment: z.string().nullable(),
    flag: z.string().nullable(),
    org: z.string().nullable(),
    user: z.string().nullable(),
    before: row,
    after: row,
    effect: effectSchema,
    reason: z.string(),
    ticket: z.string().nullable(),
    request_id: z.string(),
    change: z.string().nullable().openapi({ description: 'The change request that it belongs to.' }),
    on_behalf_of: z.string().nullable().openapi({
      description: 'Who started the pipeline in which the API key was used, as the CI system says.',
    }),
    prev: z.string(),
    hash: z.string(),
  })
  .openapi('AuditEntry')

const verdictSchema = z
  .object({
    intact: z.boolean(),
    checked: z.object({ from: z.int(), to: z.int() }),
    head: z.object({ seq: z.int(), hash: z.string() }).nullable(),
    problem: z.object({ seq: z.int(), kind: z.enum(['gap', 'broken_link', 'altered']) }).nullable(),
    next: z
      .int()
      .nullable()
      .openapi({ description: '`from` of the next call; null: everything is checked.' }),
  })
  .openapi('AuditVerdict')

const seqNumber = z.coerce.number().int().min(1)

export function auditRoutes(api: Api): void {
  read(api, {
    path: '/audit',
    tag: 'Audit',
    summary: 'List the audit log, latest first by default',
    roles: READERS,
    query: z.object({
      ...pageQuery,
      order: z.enum(['desc', 'asc']).default('desc'),
      flag: flagKey.optional(),
      org: externalId.optional(),
      user: externalId.optional(),
      actor: z.string().max(256).optional(),
      action: z.string().max(64).optional(),
      environment: z.string().max(32).optional(),
      since: instant.optional(),
      until: instant.optional(),
    }),
    answer: pageOf(entrySchema),
    async read({ query, control, actor }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const seq = after.value === undefined ? undefined : Number(after.value)
      if (seq !== undefined && !Number.isSafeInteger(seq)) return { ok: false, reason: 'cursor_invalid' }
      const ascending = query.order === 'asc'
      const conditions: SQL[] = []
      if (seq !== undefined) conditions.push(ascending ? gt(audit.seq, seq) : lt(audit.seq, seq))
      for (const name of ['flag', 'org', 'user', 'actor', 'action', 'environment'] as const) {
        if (query[name]) conditions.push(eq(audit[name], query[name]))
      }
      // A row without an environment concerns all of them, and so does its effective diff.
      if (actor.environments !== null) conditions.push(inArray(audit.environment, list(actor.environments)))
      if (query.since) conditions.push(gte(audit.at, query.since))
      if (query.until) conditions.push(lt(audit.at, query.until))
      const rows = await control.db
        .select()
        .from(audit)
        .where(and(...conditions))
        .orderBy(ascending ? asc(audit.seq) : desc(audit.seq))
        .limit(query.limit + 1)
      const page = toPage(rows, query.limit, ({ seq }) => String(seq))
      return ok({ ...page, data: page.data.map((kept) => shown(toEntry(kept))) })
    },
  })

  read(api, {
    path: '/audit/verify',
    tag: 'Audit',
    summary: 'Verify the chain of hashes',
    description: `Checks up to ${VERIFY_ROWS} rows per call; follow \`next\` for the rest.`,
    roles: READERS,
    query: z.object({ from: seqNumber.default(1) }),
    answer: verdictSchema,
    read: async ({ query, control }) => ok(await verify(control.db, query.from)),
  })
}

const shown = (entry: AuditEntry) => entry as z.input<typeof entrySchema>

async function verify(db: Database, from: number): Promise<z.input<typeof verdictSchema>> {
  const [previous] = await db
    .select({ seq: audit.seq, hash: audit.hash })
    .from(audit)
    .where(eq(audit.seq, from - 1))
  if (!previous && from > 1) return broken(from, { seq: from - 1, problem: 'gap' })
  let head = { seq: from - 1, hash: previous?.hash ?? GENESIS }
  for (let checked = 0; checked < VERIFY_ROWS; checked += VERIFY_PAGE) {
    const rows = await db
      .select()
      .from(audit)
      .where(gt(audit.seq, head.seq))
      .orderBy(asc(audit.seq))
      .limit(VERIFY_PAGE)
    const verdict = await verifyChain(rows.map(toEntry), head)
    if (!verdict.intact) return broken(from, verdict)
    head = verdict.head
    if (rows.length < VERIFY_PAGE) {
      return { intact: true, checked: { from, to: head.seq }, head, problem: null, next: null }
    }
  }
  return { intact: true, checked: { from, to: head.seq }, head, problem: null, next: head.seq + 1 }
}

const broken = (
  from: number,
  { seq, problem }: { seq: number; problem: 'gap' | 'broken_link' | 'altered' },
) => ({
  intact: false,
  checked: { from, to: seq },
  head: null,
  problem: { seq, kind: problem },
  next: null,
})
