/** The routes of publishing: the lag of the documents, and a rebuild of all of them. */
import { z } from '@hono/zod-openapi'
import { and, asc, eq, lt, sql } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import { documents } from '../db/schema.ts'
import { environmentName, storedInstant } from '../entities/fields.ts'
import { act } from '../http/action.ts'
import type { Api, Control } from '../http/context.ts'
import { read } from '../http/read.ts'
import { ADMINS, READERS } from '../roles.ts'

/** How many documents out of step are named. */
const MAX_NAMED = 50

const rebuildSchema = z
  .object({
    total: z.int(),
    written: z.int(),
    started_at: storedInstant,
    finished_at: storedInstant.nullable(),
  })
  .openapi('RebuildProgress')

const statusSchema = z
  .object({
    environment: z.string(),
    documents: z.int(),
    out_of_step: z.int(),
    lag_seconds: z.number().openapi({ description: 'Age of the oldest unpublished change; 0: none.' }),
    last_published_at: storedInstant.nullable(),
    last_error: z.object({ key: z.string(), error: z.string(), attempts: z.int() }).nullable(),
    pending: z.array(
      z.object({
        key: z.string(),
        version: z.int(),
        published_version: z.int(),
        changed_at: storedInstant,
        attempts: z.int(),
        retry_at: storedInstant.nullable(),
        error: z.string().nullable(),
      }),
    ),
    rebuild: rebuildSchema.nullable(),
  })
  .openapi('PublishingStatus')

export function publishRoutes(api: Api): void {
  read(api, {
    path: '/publishing',
    tag: 'Publishing',
    summary: 'Get lag, last error and documents out of step, by environment',
    roles: READERS,
    answer: z.object({ data: z.array(statusSchema) }),
    async read({ control, actor }) {
      const names = environmentsFor(actor, control.config.environments)
      const data = await Promise.all(names.map((name) => status(control, name)))
      return ok({ data })
    },
  })

  act(api, {
    path: '/publishing/{environment}/rebuild',
    tag: 'Publishing',
    summary: 'Rebuild: write every document of an environment again from D1',
    description: 'Continues in the background; `GET /publishing` shows its progress.',
    roles: ADMINS,
    params: z.object({ environment: environmentName }),
    answer: rebuildSchema,
    async act({ params: { environment }, control }) {
      if (!control.config.environments.includes(environment)) return err('environment_unknown')
      const publisher = control.publisher(environment)
      await publisher.rebuild(environment)
      const progress = await publisher.progress(environment)
      return progress ? ok(progress) : err('not_found')
    },
  })
}

async function status({ db, clock, publisher }: Control, environment: string) {
  const behind = and(
    eq(documents.environment, environment),
    lt(documents.published_version, documents.version),
  )
  const [[totals], pending, [failed]] = await db.batch([
    db
      .select({
        documents: sql<number>`count(*)`,
        out_of_step: sql<number>`count(*) FILTER (WHERE published_version < version)`,
        oldest: sql<string | null>`min(changed_at) FILTER (WHERE published_version < version)`,
        last_published_at: sql<string | null>`max(published_at)`,
      })
      .from(documents)
      .where(eq(documents.environment, environment)),
    db.select().from(documents).where(behind).orderBy(asc(documents.version)).limit(MAX_NAMED),
    db
      .select()
      .from(documents)
      .where(and(behind, sql`${documents.error} IS NOT NULL`))
      .orderBy(sql`${documents.attempts} DESC`)
      .limit(1),
  ])
  const oldest = totals?.oldest ?? null
  return {
    environment,
    documents: totals?.documents ?? 0,
    out_of_step: totals?.out_of_step ?? 0,
    lag_seconds: oldest === null ? 0 : Math.max(0, clock() - Date.parse(oldest)) / 1000,
    last_published_at: totals?.last_published_at ?? null,
    last_error: failed?.error ? { key: failed.key, error: failed.error, attempts: failed.attempts } : null,
    pending: pending.map(({ key, version, published_version, changed_at, attempts, retry_at, error }) => ({
      key,
      version,
      published_version,
      changed_at,
      attempts,
      retry_at,
      error,
    })),
    rebuild: await publisher(environment).progress(environment),
  }
}
