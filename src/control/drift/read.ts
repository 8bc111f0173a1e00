/** The rows that the detectors check, read from D1 a page at a time. Does I/O. */
import { and, asc, gt, inArray, isNull, or, sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { ChangeItem } from '../db/schema.ts'
import { contracts, flags, grants, organizations, plans, rules } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { DAY_MS } from '../entities/fields.ts'
import { requiresApproval } from '../entities/policy.ts'
import { projectCatalog } from '../entities/projection.ts'
import { readPolicies } from '../ledger/policies.ts'
import type { CatalogRows, Promoted } from './catalog.ts'
import { TICKETED } from './grants.ts'
import type { OrganizationRows } from './organizations.ts'
import type { PublishedContext } from './published.ts'

/** Without a list of owners: how long an owner may be inactive, and the flag untouched. */
const SILENT_DAYS = 180

export interface Scope {
  readonly db: Database
  /** In the order of promotion. */
  readonly environments: readonly string[]
  /** Everybody who may own a flag; `undefined`: no list is configured. */
  readonly owners: ReadonlySet<string> | undefined
  /** Epoch milliseconds. */
  readonly now: number
}

/** The strict environments, in which contracts must hold: the last, and every other whose policy requires approval. */
export async function strictEnvironments({ db, environments }: Scope): Promise<string[]> {
  const policies = await readPolicies(db, environments)
  return policies
    .filter((policy) => policy.environment === environments.at(-1) || requiresApproval(policy))
    .map(({ environment }) => environment)
}

export async function readCatalogRows(scope: Scope): Promise<CatalogRows> {
  const { db, environments } = scope
  const [flagRows, ruleRows, planRows, promoted, silent] = await Promise.all([
    db.select().from(flags),
    db.select().from(rules),
    db.select().from(plans),
    readPromoted(db),
    readSilentOwners(scope),
  ])
  return {
    environments,
    flags: flagRows,
    plans: planRows,
    promoted,
    rules: ruleRows.filter(({ environment }) => environments.includes(environment)),
    ownersGone: scope.owners
      ? new Set(flagRows.map(({ owner }) => owner).filter((owner) => !scope.owners?.has(owner)))
      : silent,
  }
}

async function readPromoted(db: Database): Promise<Promoted[]> {
  const rows = await db.all<{ flag: string; environment: string; seq: number; items: string | null }>(
    sql`SELECT a.flag, a.environment, a.seq, c.items FROM audit a LEFT JOIN change_requests c ON c.id = a.change
        WHERE a.action = 'rule.promote' AND NOT EXISTS (
          SELECT 1 FROM audit b WHERE b.entity = a.entity AND b.seq > a.seq
            AND b.action IN ('rule.set', 'rule.promote'))`,
  )
  return rows.map(({ flag, environment, seq, items }) => {
    const commands = items === null ? [] : (JSON.parse(items) as ChangeItem[])
    const item = commands.find(
      ({ action, input }) => action === 'rule.promote' && input.flag === flag && input.to === environment,
    )
    return { flag, environment, seq, from: typeof item?.input.from === 'string' ? item.input.from : null }
  })
}

/** Only people, because teams do nothing themselves. What API keys do does not count as activity. */
async function readSilentOwners({ db, owners, now }: Scope): Promise<ReadonlySet<string>> {
  if (owners) return new Set()
  const since = new Date(now - SILENT_DAYS * DAY_MS).toISOString()
  const rows = await db.all<{ owner: string }>(
    sql`SELECT owner FROM flags WHERE owner LIKE 'user:%' AND state <> 'retired'
        GROUP BY owner HAVING max(updated_at) < ${since} AND NOT EXISTS (
          SELECT 1 FROM audit WHERE actor = flags.owner AND api_key IS NULL AND at >= ${since})`,
  )
  return new Set(rows.map(({ owner }) => owner))
}

/** A page of organizations, in the order of their ids, with all rows that decide what they have. */
export async function readOrganizations(
  scope: Scope,
  environments: readonly string[],
  cursor: string,
  limit: number,
): Promise<OrganizationRows> {
  const { db, now } = scope
  const page = sql`(SELECT id FROM organizations WHERE id > ${cursor} ORDER BY id LIMIT ${limit})`
  const [flagRows, ruleRows, planRows, orgRows, contractRows, grantRows] = await db.batch([
    db.select().from(flags),
    db
      .select()
      .from(rules)
      .where(inArray(rules.environment, list(environments))),
    db.select().from(plans),
    db
      .select({ id: organizations.id })
      .from(organizations)
      .where(gt(organizations.id, cursor))
      .orderBy(asc(organizations.id))
      .limit(limit),
    db.select().from(contracts).where(inArray(contracts.org, page)),
    db
      .select()
      .from(grants)
      .where(
        and(
          inArray(grants.subject_id, page),
          sql`subject_kind = 'org'`,
          inArray(grants.environment, list(environments)),
          or(isNull(grants.to), gt(grants.to, iso(now))),
        ),
      ),
  ])
  return {
    now,
    environments,
    flags: flagRows,
    rules: ruleRows,
    plans: planRows,
    organizations: orgRows.map(({ id }) => id),
    contracts: contractRows,
    grants: grantRows,
  }
}

/** The next grants that can be a finding on their own, with all flags; a clean system has none. */
export async function readGrants(
  { db, now }: Scope,
  environments: readonly string[],
  cursor: string,
  limit: number,
) {
  const at = iso(now)
  const strict = inArray(grants.environment, list(environments))
  const [grantRows, flagRows] = await db.batch([
    db
      .select()
      .from(grants)
      .where(
        and(
          gt(grants.id, cursor),
          or(isNull(grants.to), gt(grants.to, at)),
          or(
            and(
              sql`effect = 'allow'`,
              inArray(grants.flag, sql`(SELECT key FROM flags WHERE state = 'retired')`),
            ),
            and(strict, isNull(grants.ticket), inArray(grants.source, list(TICKETED))),
            and(strict, isNull(grants.to), sql`subject_kind = 'user' AND effect = 'allow'`),
          ),
        ),
      )
      .orderBy(asc(grants.id))
      .limit(limit),
    db.select({ key: flags.key, kind: flags.kind, state: flags.state }).from(flags),
  ])
  return { grants: grantRows, flags: flagRows }
}

/** The context in which published documents are evaluated. */
export async function readContext({ db, now }: Scope, environment: string): Promise<PublishedContext> {
  const [flagRows, ruleRows, planRows] = await db.batch([
    db.select().from(flags),
    db
      .select()
      .from(rules)
      .where(inArray(rules.environment, list([environment]))),
    db.select().from(plans),
  ])
  const rows = { flags: flagRows, rules: ruleRows, plans: planRows }
  const catalog = projectCatalog(environment, rows, { version: 0, changed_at: '' })
  return { environment, catalog, flags: flagRows, now }
}

const iso = (at: number): string => new Date(at).toISOString()
