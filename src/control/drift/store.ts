/**
 * Findings as rows: stored when they are found, resolved when a complete pass does not find them. Does I/O.
 *
 * Finding something is not a change, so it writes no audit row; accepting it does. An acceptance covers that finding only: if
 * it goes and comes back, or becomes worse, it is open again.
 */
import { sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import { DAY_MS } from '../entities/fields.ts'
import type { Finding } from './kinds.ts'

/** How many findings one statement writes. */
const STATEMENT_FINDINGS = 500
/** A wrong token cannot be minted again, so it is reported for a limited time. */
const MINT_DAYS = 1

/** @param now - RFC 3339 */
export async function keepFindings(db: Database, findings: readonly Finding[], now: string): Promise<void> {
  for (let start = 0; start < findings.length; start += STATEMENT_FINDINGS) {
    const rows = JSON.stringify(findings.slice(start, start + STATEMENT_FINDINGS))
    const member = (name: string) => sql`json_extract(value, ${`$.${name}`})`
    // Compared with the existing row: whether it is a new finding by now, and whether its content differs.
    const reopened = sql.raw('(findings.resolved_at IS NOT NULL OR findings.severity <> excluded.severity)')
    const changed = sql`(${reopened} OR findings.evidence <> excluded.evidence)`
    const kept = (column: string) => sql`iif(${reopened}, NULL, ${sql.raw(`findings.${column}`)})`
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
 * Resolves what a complete pass did not find.
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
