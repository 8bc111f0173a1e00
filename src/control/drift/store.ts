/**
 * Findings as rows: kept when they are seen, resolved when a complete pass has not seen them. Does I/O.
 *
 * That something was seen is no change of anything, so that it leaves no audit row; that somebody accepts it does. What
 * was accepted is that finding: if it goes and comes back, or becomes worse, it is open again.
 */
import { sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import { DAY_MS } from '../entities/fields.ts'
import type { Finding } from './kinds.ts'

/** Findings of one statement. */
const STATEMENT_FINDINGS = 500
/** A token cannot be minted anew, so that one which was wrong is told for as long as somebody may want to know. */
const MINT_DAYS = 1

/** @param now - RFC 3339 */
export async function keepFindings(db: Database, findings: readonly Finding[], now: string): Promise<void> {
  for (let start = 0; start < findings.length; start += STATEMENT_FINDINGS) {
    const rows = JSON.stringify(findings.slice(start, start + STATEMENT_FINDINGS))
    const member = (name: string) => sql`json_extract(value, ${`$.${name}`})`
    // Of the row that is there: whether it is another finding by now, and whether it says something else.
    const anew = sql.raw('(findings.resolved_at IS NOT NULL OR findings.severity <> excluded.severity)')
    const changed = sql`(${anew} OR findings.evidence <> excluded.evidence)`
    const kept = (column: string) => sql`iif(${anew}, NULL, ${sql.raw(`findings.${column}`)})`
    await db.run(
      sql`INSERT INTO findings (id, kind, severity, environment, org, flag, evidence, repair, first_seen, last_seen,
            updated_at, revision)
          SELECT ${member('id')}, ${member('kind')}, ${member('severity')}, ${member('environment')},
            ${member('org')}, ${member('flag')}, ${member('evidence')}, ${member('repair')}, ${now}, ${now}, ${now}, 1
          FROM json_each(${rows}) WHERE true
          ON CONFLICT (id) DO UPDATE SET
            revision = findings.revision + ${changed},
            updated_at = iif(${changed}, excluded.updated_at, findings.updated_at),
            first_seen = iif(findings.resolved_at IS NULL, findings.first_seen, excluded.first_seen),
            accepted_by = ${kept('accepted_by')},
            accepted_reason = ${kept('accepted_reason')},
            accepted_until = ${kept('accepted_until')},
            severity = excluded.severity, evidence = excluded.evidence, repair = excluded.repair,
            last_seen = excluded.last_seen, resolved_at = NULL`,
    )
  }
}

/**
 * Resolves what a complete pass has not seen.
 *
 * @param startedAt - of the pass
 */
export async function resolveUnseen(db: Database, startedAt: string, now: number): Promise<void> {
  const at = new Date(now).toISOString()
  const mints = new Date(now - MINT_DAYS * DAY_MS).toISOString()
  await db.run(
    sql`UPDATE findings SET resolved_at = ${at}, updated_at = ${at}, revision = revision + 1
        WHERE resolved_at IS NULL
          AND last_seen < iif(kind = 'minted_claim_disagrees', ${mints}, ${startedAt})`,
  )
}
