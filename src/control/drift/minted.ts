/**
 * Drift between tokens and the documents that they name: what was minted, against evaluation at that time. Reads D1, a
 * page of mints at a time.
 *
 * Past rows are reconstructed as in `ledger/history.ts`, but for all subjects of a page together, so that a page costs as
 * many statements as one token. Tokens with the same cause are one finding.
 */
import { and, eq, gt, inArray, isNull, or, type SQL, sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { MintRow } from '../db/rows.ts'
import { audit, contracts, flags, grants, mints, organizations, plans, rules } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import type { SubjectRows } from '../effects/explain.ts'
import { compareMint, mintSubject, VERSIONS, versionsOf } from '../effects/minted.ts'
import { rewind } from '../ledger/history.ts'
import { call, type Finding, finding, rebuildCommand } from './kinds.ts'

export type Mint = Pick<
  MintRow,
  'jti' | 'environment' | 'org' | 'sub' | 'flags' | 'ver' | 'src' | 'minted_at'
> & {
  /** In order of arrival. */
  readonly position: number
}

export async function mintsAfter(db: Database, position: number, limit: number): Promise<Mint[]> {
  const { jti, environment, org, sub, flags: held, ver, src, minted_at } = mints
  return db
    .select({
      jti,
      environment,
      org,
      sub,
      flags: held,
      ver,
      src,
      minted_at,
      position: sql<number>`mints.rowid`,
    })
    .from(mints)
    .where(sql`mints.rowid > ${position}`)
    .orderBy(sql`mints.rowid`)
    .limit(limit)
}

/** The end of the mint log, and how many tokens follow a position. */
export async function mintsLeft(db: Database, position: number): Promise<{ last: number; left: number }> {
  const [row] = await db.all<{ last: number | null }>(sql`SELECT max(rowid) AS last FROM mints`)
  const last = row?.last ?? 0
  // When all of them have expired, positions start from the beginning.
  return last < position ? { last, left: last } : { last, left: last - position }
}

export async function mintFindings(db: Database, page: readonly Mint[]): Promise<Finding[]> {
  const readable = page.filter(({ ver }) => VERSIONS.test(ver))
  if (readable.length === 0) return []
  const { rowsOf, revisions } = await readPast(db, readable)
  const found = new Map<string, Finding>()
  for (const mint of readable) {
    const { extra, missing } = compareMint(rowsOf(mint), mint)
    for (const one of [
      ...extra.map((flag) => disagrees(mint, flag, 'extra', revisions.get(mint.org ?? ''))),
      ...missing.map((flag) => disagrees(mint, flag, 'missing', undefined)),
    ]) {
      found.set(one.id, one)
    }
  }
  return [...found.values()]
}

/** @param revision - the current one of the organization; `undefined`: there is none */
function disagrees(
  mint: Mint,
  flag: string,
  direction: 'extra' | 'missing',
  revision: number | undefined,
): Finding {
  const { environment, org, sub, jti, ver, src, minted_at } = mint
  return finding('minted_claim_disagrees', {
    severity: direction === 'extra' ? 'over_grant' : 'under_grant',
    environment,
    flag,
    ...(org !== null && { org }),
    detail: [...(org === null ? [sub ?? 'nobody'] : []), direction],
    evidence: { direction, last: { jti, sub, ver, src, minted_at } },
    // Raising `not_before` makes live verification refuse earlier tokens; a rebuild writes a wrong document again.
    repair:
      org !== null && revision !== undefined
        ? call(
            ...(['PATCH', ['orgs', org], 'minted_claim_disagrees'] as const),
            { not_before: Math.floor(Date.parse(minted_at) / 1000) + 1 },
            revision,
          )
        : rebuildCommand(environment),
  })
}

/** Reads what all of them need in one batch. */
async function readPast(db: Database, page: readonly Mint[]): Promise<Past> {
  const subjects = page.map((mint) => ({ ...mintSubject(mint), versions: versionsOf(mint.ver) }))
  const orgs = oldest(subjects.map(({ orgId, versions }) => [orgId, versions.org]))
  const users = oldest(subjects.map(({ userId, versions }) => [userId, versions.user]))
  const catalog = Math.min(...subjects.map(({ versions }) => versions.catalog))
  const ids = (pairs: readonly [string, number][]): SQL => list(pairs.map(([id]) => id))
  const environments = list([...new Set(page.map(({ environment }) => environment))])
  const granted = (kind: 'org' | 'user', wanted: SQL) =>
    and(
      eq(grants.subject_kind, kind),
      inArray(grants.environment, environments),
      inArray(grants.subject_id, wanted),
    )
  const touched = {
    entity: audit.entity,
    seq: audit.seq,
    before: audit.before,
    environment: audit.environment,
  }
  const ranges = ['flag', 'plan', 'rule'].map(
    (name) => sql`(${audit.entity} >= ${`${name}:`} AND ${audit.entity} < ${`${name};`})`,
  )
  const pairs = JSON.stringify(orgs)
  const [
    flagRows,
    ruleRows,
    planRows,
    contractRows,
    orgGrants,
    userGrants,
    ofCatalog,
    ofOrgs,
    ofUsers,
    orgRows,
  ] = await db.batch([
    db.select().from(flags),
    db.select().from(rules).where(inArray(rules.environment, environments)),
    db.select().from(plans),
    db
      .select()
      .from(contracts)
      .where(inArray(contracts.org, ids(orgs))),
    db
      .select()
      .from(grants)
      .where(granted('org', ids(orgs))),
    db
      .select()
      .from(grants)
      .where(granted('user', ids(users))),
    db
      .select(touched)
      .from(audit)
      .where(and(gt(audit.seq, catalog), or(...ranges))),
    db
      .select({ ...touched, org: audit.org })
      .from(audit)
      .innerJoin(
        sql`json_each(${pairs}) AS wanted`,
        sql`${audit.org} = json_extract(wanted.value, '$[0]') AND ${audit.seq} > json_extract(wanted.value, '$[1]')`,
      )
      .where(or(isNull(audit.environment), inArray(audit.environment, environments))),
    db
      .select(touched)
      .from(audit)
      .where(
        and(
          gt(audit.seq, Math.min(...users.map(([, version]) => version), Number.MAX_SAFE_INTEGER)),
          inArray(
            audit.entity,
            db
              .select({ entity: sql`'grant:' || ${grants.id}` })
              .from(grants)
              .where(granted('user', ids(users))),
          ),
        ),
      ),
    db
      .select({ id: organizations.id, revision: organizations.revision })
      .from(organizations)
      .where(inArray(organizations.id, ids(orgs))),
  ])
  const contractsByOrg = Map.groupBy(contractRows, ({ org }) => org)
  const grantsBySubject = Map.groupBy([...orgGrants, ...userGrants], subjectKey)
  const touchedByOrg = Map.groupBy(ofOrgs, ({ org }) => org)
  const catalogs = new Map<string, Pick<SubjectRows, 'flags' | 'rules' | 'plans'>>()

  return { rowsOf, revisions: new Map(orgRows.map(({ id, revision }) => [id, revision])) }

  function rowsOf(mint: Mint): SubjectRows {
    const { environment, orgId, userId } = mintSubject(mint)
    const versions = versionsOf(mint.ver)
    const own = touchedByOrg.get(orgId ?? '')?.filter((row) => isAbout(row, environment)) ?? []
    const past = rewind([...firstAfter(own, versions.org), ...firstAfter(ofUsers, versions.user)])
    const granted = [
      ...(grantsBySubject.get(`${environment}:org:${orgId}`) ?? []),
      ...(grantsBySubject.get(`${environment}:user:${userId}`) ?? []),
    ]
    // An undone row may belong to another user or environment of the page.
    const mine = past('grant', granted, ({ id }) => id).filter(
      (grant) =>
        grant.environment === environment &&
        grant.subject_id === (grant.subject_kind === 'org' ? orgId : userId),
    )
    return {
      organization: undefined,
      ...catalogOf(environment, versions.catalog),
      contracts: past('contract', contractsByOrg.get(orgId ?? '') ?? [], ({ id }) => id),
      grants: mine,
    }
  }

  function catalogOf(environment: string, version: number) {
    const key = `${environment}:${version}`
    const known = catalogs.get(key)
    if (known) return known
    const past = rewind(firstAfter(ofCatalog, version))
    const made = {
      flags: past('flag', flagRows, (flag) => flag.key),
      rules: past('rule', ruleRows, (rule) => `${rule.environment}:${rule.flag}`),
      plans: past('plan', planRows, (plan) => plan.key),
    }
    catalogs.set(key, made)
    return made
  }
}

const subjectKey = (grant: { environment: string; subject_kind: string; subject_id: string }): string =>
  `${grant.environment}:${grant.subject_kind}:${grant.subject_id}`

const isAbout = (row: { environment: string | null }, environment: string): boolean =>
  row.environment === null || row.environment === environment

interface Past {
  /** The past rows about the subject of a token. */
  rowsOf(mint: Mint): SubjectRows
  /** The current revisions of organizations. */
  readonly revisions: ReadonlyMap<string, number>
}

interface Touched {
  readonly entity: string
  readonly seq: number
  readonly before: string | null
}

/** The first row of each entity after a version. */
function firstAfter(rows: readonly Touched[], version: number): Touched[] {
  const first = new Map<string, Touched>()
  for (const row of rows) {
    const known = first.get(row.entity)
    if (row.seq > version && (!known || row.seq < known.seq)) first.set(row.entity, row)
  }
  return [...first.values()]
}

/** Each id once, with the lowest of its versions. */
function oldest(pairs: readonly (readonly [string | undefined, number])[]): [string, number][] {
  const lowest = new Map<string, number>()
  for (const [id, version] of pairs) {
    if (id !== undefined) lowest.set(id, Math.min(version, lowest.get(id) ?? version))
  }
  return [...lowest]
}
