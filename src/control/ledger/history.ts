/**
 * The current or past rows about one subject. Does I/O.
 *
 * Past rows are the current ones, with every row that changed since reset to the `before` of its first later audit row. That
 * needs no second copy of history, and no replay from the beginning. The past is given as one audit row per document,
 * because a token's documents can be of different moments.
 */
import { and, eq, gt, gte, inArray, isNull, lt, min, or, type SQL, sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import { audit, contracts, flags, grants, organizations, plans, rules } from '../db/schema.ts'
import type { SubjectRows } from '../effects/explain.ts'
import type { Versions } from '../effects/minted.ts'

/** RFC 3339; or the last audit row of each document; or the present. */
export type Moment = { readonly at: string } | { readonly versions: Versions } | 'now'

export interface SubjectQuery {
  readonly environment: string
  readonly orgId: string | undefined
  readonly userId: string | undefined
  readonly moment: Moment
}

export async function readSubject(db: Database, query: SubjectQuery): Promise<SubjectRows> {
  const { orgId, userId, environment } = query
  const since = lastRows(query.moment)
  const granted = (kind: 'org' | 'user', id: string | undefined) =>
    id === undefined
      ? sql`false`
      : and(eq(grants.environment, environment), eq(grants.subject_kind, kind), eq(grants.subject_id, id))
  // SQLite takes the other columns of a group from the row that has the minimum.
  const touched = (after: SQL | number, condition: SQL | undefined) =>
    db
      .select({ entity: audit.entity, before: audit.before, first: min(audit.seq) })
      .from(audit)
      .where(and(gt(audit.seq, after), condition))
      .groupBy(audit.entity)

  const [organization, flagRows, ruleRows, planRows, contractRows, orgGrants, userGrants, ...undone] =
    await db.batch([
      db
        .select()
        .from(organizations)
        .where(eq(organizations.id, orgId ?? '')),
      db.select().from(flags),
      db.select().from(rules).where(eq(rules.environment, environment)),
      db.select().from(plans),
      db
        .select()
        .from(contracts)
        .where(eq(contracts.org, orgId ?? '')),
      db.select().from(grants).where(granted('org', orgId)),
      db.select().from(grants).where(granted('user', userId)),
      touched(since.catalog, or(...['flag', 'plan', `rule:${environment}`].map(entitiesOf))),
      touched(
        since.org,
        and(eq(audit.org, orgId ?? ''), or(isNull(audit.environment), eq(audit.environment, environment))),
      ),
      // There is no index by user. Grants are never deleted, so the current rows name them all.
      touched(
        since.user,
        inArray(
          audit.entity,
          db
            .select({ entity: sql`'grant:' || ${grants.id}` })
            .from(grants)
            .where(granted('user', userId)),
        ),
      ),
    ])
  const past = rewind(undone.flat())
  return {
    organization: past('organization', organization, ({ id }) => id)[0],
    flags: past('flag', flagRows, ({ key }) => key),
    rules: past('rule', ruleRows, (rule) => `${rule.environment}:${rule.flag}`),
    plans: past('plan', planRows, ({ key }) => key),
    // Before it moved here, a contract was another organization's.
    contracts: past('contract', contractRows, ({ id }) => id).filter(({ org }) => org === orgId),
    grants: past('grant', [...orgGrants, ...userGrants], ({ id }) => id),
  }
}

/** For each document, the last audit row that counts. */
function lastRows(moment: Moment): Record<keyof Versions, SQL | number> {
  if (moment === 'now') {
    const last = Number.MAX_SAFE_INTEGER
    return { catalog: last, org: last, user: last }
  }
  if ('versions' in moment) return moment.versions
  const last = sql`coalesce((SELECT seq FROM audit WHERE at <= ${moment.at} ORDER BY at DESC, seq DESC LIMIT 1), 0)`
  return { catalog: last, org: last, user: last }
}

/** From `flag:` to the character after the colon: a range that the index on entities can use. */
const entitiesOf = (prefix: string) => and(gte(audit.entity, `${prefix}:`), lt(audit.entity, `${prefix};`))

/** @param touched - the first later audit row of each entity */
export function rewind(touched: readonly { entity: string; before: string | null }[]) {
  return function past<T>(kind: string, rows: readonly T[], id: (row: T) => string): T[] {
    const prefix = `${kind}:`
    const ofKind = touched.filter(({ entity }) => entity.startsWith(prefix))
    const changed = new Set(ofKind.map(({ entity }) => entity))
    const restored = ofKind.flatMap(({ before }) => (before === null ? [] : [JSON.parse(before) as T]))
    return [...rows.filter((row) => !changed.has(prefix + id(row))), ...restored]
  }
}
