/** How many events need a person, since when, and from which source: for the inbox, drift and `/healthz`. Does I/O. */
import { z } from '@hono/zod-openapi'
import { sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import { storedInstant } from '../entities/fields.ts'

export const quarantineSchema = z.object({
  count: z.int(),
  oldest_at: storedInstant.nullable(),
  sources: z.array(
    z.object({
      source: z.string(),
      count: z.int(),
      oldest_at: storedInstant,
      oldest_event: z.string(),
      problems: z.record(z.string(), z.int()),
    }),
  ),
})

export type Quarantine = z.infer<typeof quarantineSchema>

export async function readQuarantine(db: Database): Promise<Quarantine> {
  // SQLite takes the other columns of a group from the row that has the minimum.
  const rows = await db.all<{
    source: string
    problem: string
    events: number
    oldest: string
    event_id: string
  }>(
    sql`SELECT source, coalesce(problem, 'unknown') AS problem, count(*) AS events, min(received_at) AS oldest, event_id
        FROM inbox WHERE state = 'quarantined' GROUP BY source, problem ORDER BY oldest`,
  )
  const bySource = [...Map.groupBy(rows, ({ source }) => source)]
  return {
    count: rows.reduce((sum, { events }) => sum + events, 0),
    oldest_at: rows[0]?.oldest ?? null,
    sources: bySource.map(([source, own]) => ({
      source,
      count: own.reduce((sum, { events }) => sum + events, 0),
      oldest_at: own[0]?.oldest ?? '',
      oldest_event: own[0]?.event_id ?? '',
      problems: Object.fromEntries(own.map(({ problem, events }) => [problem, events])),
    })),
  }
}
