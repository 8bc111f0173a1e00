/**
 * Whose edits made what a finding is about: the last audit row of each row that its evidence names, with everybody who may
 * have been behind it. Does I/O.
 */
import { and, inArray, sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { FindingRow } from '../db/rows.ts'
import { api_keys, audit, change_requests } from '../db/schema.ts'
import { list } from '../db/sql.ts'

export async function authorsOf(
  finding: FindingRow,
  environments: readonly string[],
  db: Database,
): Promise<string[]> {
  const last = await db
    .select({
      actor: audit.actor,
      api_key: audit.api_key,
      change: audit.change,
      on_behalf_of: audit.on_behalf_of,
    })
    .from(audit)
    .where(
      and(
        inArray(audit.entity, list(rowsOf(finding, environments))),
        sql`${audit.seq} = (SELECT max(later.seq) FROM audit AS later WHERE later.entity = ${audit.entity})`,
      ),
    )
  const [keys, changes] = await db.batch([
    db
      .select({ owner: api_keys.owner, created_by: api_keys.created_by })
      .from(api_keys)
      .where(inArray(api_keys.id, list(present(last.map(({ api_key }) => api_key))))),
    db
      .select({ people: change_requests.people })
      .from(change_requests)
      .where(inArray(change_requests.id, list(present(last.map(({ change }) => change))))),
  ])
  return present([
    ...last.flatMap(({ actor, on_behalf_of }) => [actor, on_behalf_of]),
    ...keys.flatMap(({ owner, created_by }) => [owner, created_by]),
    ...changes.flatMap(({ people }) => people),
  ])
}

/** The names in the audit log of the rows that a finding is about. */
function rowsOf({ flag, evidence }: FindingRow, environments: readonly string[]): string[] {
  const named = ['grant', 'contract', 'plan'].flatMap((kind) => {
    const key = evidence[kind]
    return typeof key === 'string' ? [`${kind}:${key}`] : []
  })
  // Where the evidence names a grant, a contract or a plan, that is what is wrong, not the rule.
  if (named.length > 0 || flag === null) return named
  return [`flag:${flag}`, ...environments.map((environment) => `rule:${environment}:${flag}`)]
}

const present = (values: readonly (string | null)[]): string[] => values.filter((value) => value !== null)
