/**
 * The rows about one subject as they are, or as they were at a time in the past. Does I/O.
 *
 * The past is the present with every row that was touched since then put back to what the first of those audit rows says
 * was before. That needs no second copy of history, and no replay from the beginning.
 */
import { and, eq, gt, isNull, min, or } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { ContractRow, FlagRow, GrantRow, OrganizationRow, PlanRow, RuleRow } from '../db/rows.ts'
import { audit, contracts, flags, grants, organizations, plans, rules } from '../db/schema.ts'

export interface SubjectRows {
  readonly organization: OrganizationRow | undefined
  readonly flags: readonly FlagRow[]
  readonly rules: readonly RuleRow[]
  readonly plans: readonly PlanRow[]
  readonly contracts: readonly ContractRow[]
  readonly grants: readonly GrantRow[]
}

export interface SubjectQuery {
  readonly org: string
  readonly user: string | undefined
  readonly environment: string
  /** RFC 3339; `undefined`: as the rows are now. */
  readonly asOf: string | undefined
}

/** Later than any instant that is written with four digits for the year. */
const END_OF_TIME = '9999-12-31T23:59:59.999Z'

export async function readSubject(db: Database, query: SubjectQuery): Promise<SubjectRows> {
  const { org, user, environment, asOf } = query
  const [organization, flagRows, ruleRows, planRows, contractRows, grantRows, touched] = await db.batch([
    db.select().from(organizations).where(eq(organizations.id, org)),
    db.select().from(flags),
    db.select().from(rules).where(eq(rules.environment, environment)),
    db.select().from(plans),
    db.select().from(contracts).where(eq(contracts.org, org)),
    db
      .select()
      .from(grants)
      .where(
        and(
          eq(grants.environment, environment),
          or(
            and(eq(grants.subject_kind, 'org'), eq(grants.subject_id, org)),
            user === undefined
              ? undefined
              : and(eq(grants.subject_kind, 'user'), eq(grants.subject_id, user)),
          ),
        ),
      ),
    db
      // SQLite takes the other columns of a group from the row that has the minimum.
      .select({ entity: audit.entity, before: audit.before, first: min(audit.seq) })
      .from(audit)
      .where(
        and(
          gt(audit.at, asOf ?? END_OF_TIME),
          or(isNull(audit.environment), eq(audit.environment, environment)),
          or(
            eq(audit.org, org),
            user === undefined ? undefined : eq(audit.user, user),
            and(isNull(audit.org), isNull(audit.user)),
          ),
        ),
      )
      .groupBy(audit.entity),
  ])
  const past = rewind(touched)
  return {
    organization: past('organization', organization, ({ id }) => id)[0],
    flags: past('flag', flagRows, ({ key }) => key),
    rules: past('rule', ruleRows, (rule) => `${rule.environment}:${rule.flag}`),
    plans: past('plan', planRows, ({ key }) => key),
    contracts: past('contract', contractRows, ({ id }) => id),
    grants: past('grant', grantRows, ({ id }) => id),
  }
}

function rewind(touched: readonly { entity: string; before: string | null }[]) {
  return function past<T>(kind: string, rows: readonly T[], id: (row: T) => string): T[] {
    const prefix = `${kind}:`
    const ofKind = touched.filter(({ entity }) => entity.startsWith(prefix))
    const changed = new Set(ofKind.map(({ entity }) => entity))
    const restored = ofKind.flatMap(({ before }) => (before === null ? [] : [JSON.parse(before) as T]))
    return [...rows.filter((row) => !changed.has(prefix + id(row))), ...restored]
  }
}
