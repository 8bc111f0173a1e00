/**
 * The mint log in D1: storing, finding, counting losses, and deleting. Does I/O.
 *
 * A batch of the queue is stored as JSON in single parameters, of which D1 takes 100 per statement, in one transaction with
 * the counted losses. So a batch that is delivered again finds either nothing of itself or all of it.
 */
import { and, asc, eq, gte, inArray, lt, type SQL, sql } from 'drizzle-orm'
import type { BatchItem } from 'drizzle-orm/batch'
import type { Database } from '../db/client.ts'
import type { MintRow } from '../db/rows.ts'
import { idempotency, mint_losses, mints } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { DAY_MS } from '../entities/fields.ts'

/** How long mints are kept. */
export const MINT_LOG_DAYS = 90
/** Rows deleted by one statement, and statements per run of the cron: 20,000 rows per minute. */
const FORGET_ROWS = 2_000
const FORGET_STATEMENTS = 10
/** D1 takes parameters of up to 2 MB. */
const PARAMETER_BYTES = 1_000_000
/** The actor of counted messages among the idempotency records, so that each counts once. */
const COUNTED_BY = 'queue:mint-log'
/** For losses of gateways that did not report their environment. */
export const UNKNOWN_ENVIRONMENT = 'unknown'

export interface Loss {
  /** The queue's id of the message; the same when it is delivered again. */
  readonly message: string
  readonly environment: string
  readonly reason: 'dropped' | 'unreadable'
  readonly count: number
  /** RFC 3339. */
  readonly at: string
}

/** @param now - RFC 3339 */
export async function storeMints(
  db: Database,
  rows: readonly MintRow[],
  losses: readonly Loss[],
  now: string,
): Promise<void> {
  // The columns of the SELECT are in the order of the schema.
  const statements: BatchItem<'sqlite'>[] = parametersOf(rows).map((json) =>
    db
      .insert(mints)
      .select(
        sql`SELECT value ->> 'jti', value ->> 'upstream_jti', value ->> 'environment', value ->> 'org',
              value ->> 'sub', value ->> 'sid', value ->> 'client', value -> 'flags', value ->> 'ver',
              value ->> 'src', value ->> 'minted_at', value ->> 'expires_at', value ->> 'request_id'
            FROM json_each(${json}) WHERE true`,
      )
      .onConflictDoNothing({ target: mints.jti }),
  )
  if (losses.length > 0) {
    const fresh = sql`json_each(${JSON.stringify(losses)}) AS told WHERE NOT EXISTS
      (SELECT 1 FROM idempotency WHERE actor = ${COUNTED_BY} AND key = told.value ->> 'message')`
    statements.push(
      db
        .insert(mint_losses)
        .select(
          sql`SELECT value ->> 'environment', value ->> 'reason', sum(value ->> 'count'), max(value ->> 'at')
              FROM ${fresh} GROUP BY 1, 2`,
        )
        .onConflictDoUpdate({
          target: [mint_losses.environment, mint_losses.reason],
          set: {
            count: sql`${mint_losses.count} + excluded.count`,
            last_at: sql`max(${mint_losses.last_at}, excluded.last_at)`,
          },
        }),
      db
        .insert(idempotency)
        .select(sql`SELECT ${COUNTED_BY}, value ->> 'message', '', 200, NULL, '', ${now} FROM ${fresh}`)
        .onConflictDoNothing(),
    )
  }
  const [first, ...rest] = statements
  if (first) await db.batch([first, ...rest])
}

/** The rows as JSON arrays, each small enough for one parameter. */
function parametersOf(rows: readonly MintRow[]): string[] {
  const encoder = new TextEncoder()
  const parameters: string[] = []
  let group: string[] = []
  let bytes = 0
  for (const text of rows.map((row) => JSON.stringify(row))) {
    const length = encoder.encode(text).byteLength + 1
    if (group.length > 0 && bytes + length > PARAMETER_BYTES) {
      parameters.push(`[${group.join()}]`)
      ;[group, bytes] = [[], 0]
    }
    group.push(text)
    bytes += length
  }
  if (group.length > 0) parameters.push(`[${group.join()}]`)
  return parameters
}

/** Deletes expired rows. @param now - epoch milliseconds */
export async function forgetMints(db: Database, now: number): Promise<void> {
  const before = new Date(now - MINT_LOG_DAYS * DAY_MS).toISOString()
  for (let i = 0; i < FORGET_STATEMENTS; i++) {
    const { meta } = await db.run(
      sql`DELETE FROM mints WHERE jti IN
            (SELECT jti FROM mints WHERE minted_at < ${before} ORDER BY minted_at LIMIT ${FORGET_ROWS})`,
    )
    if (meta.changes < FORGET_ROWS) return
  }
}

export async function findMint(db: Database, jti: string): Promise<MintRow | undefined> {
  const [mint] = await db.select().from(mints).where(eq(mints.jti, jti))
  return mint
}

export interface MintQuery {
  readonly org: string
  /** `null`: every environment. */
  readonly environments: readonly string[] | null
  /** The environments whose losses are reported; `null`: all. */
  readonly lossesOf: readonly string[] | null
  readonly flag: string | undefined
  readonly sub: string | undefined
  /** RFC 3339, `[since, until)`. */
  readonly since: string | undefined
  readonly until: string | undefined
  /** The last row of the previous page. */
  readonly after: Pick<MintRow, 'minted_at' | 'jti'> | undefined
  readonly limit: number
}

/** Newest first, one row more than the limit if there are more; and the losses in the environments. */
export async function listMints(db: Database, query: MintQuery) {
  const { environments, lossesOf, flag, sub, since, until, after } = query
  const conditions: (SQL | undefined)[] = [
    eq(mints.org, query.org),
    environments === null ? undefined : inArray(mints.environment, list(environments)),
    flag === undefined
      ? undefined
      : sql`EXISTS (SELECT 1 FROM json_each(${mints.flags}) WHERE value = ${flag})`,
    sub === undefined ? undefined : eq(mints.sub, sub),
    since === undefined ? undefined : gte(mints.minted_at, since),
    until === undefined ? undefined : lt(mints.minted_at, until),
    after && sql`(${mints.minted_at}, ${mints.jti}) < (${after.minted_at}, ${after.jti})`,
  ]
  const [rows, losses] = await db.batch([
    db
      .select()
      .from(mints)
      .where(and(...conditions))
      .orderBy(sql`${mints.minted_at} DESC, ${mints.jti} DESC`)
      .limit(query.limit + 1),
    db
      .select()
      .from(mint_losses)
      .where(lossesOf === null ? undefined : inArray(mint_losses.environment, list(lossesOf)))
      .orderBy(asc(mint_losses.environment), asc(mint_losses.reason)),
  ])
  return { rows, losses }
}
