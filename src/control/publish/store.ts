/**
 * What the publisher reads and writes in D1: the documents, and which version was published. Does I/O.
 *
 * A document's rows and its version are read in one batch, which is one transaction, so a version always means the same
 * content.
 */
import { and, asc, eq, gt, inArray, isNull, lt, lte, or, type SQL, sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { DocumentRow } from '../db/rows.ts'
import { contracts, documents, flags, grants, organizations, plans, rules } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { projectCatalog, projectOrg, projectUser } from '../entities/projection.ts'

export interface Projected {
  readonly key: string
  readonly version: number
  readonly text: string
}

export interface Failure {
  readonly key: string
  /** A code; never the platform's message. */
  readonly error: 'kv_failed'
  /** RFC 3339. */
  readonly retry_at: string
}

/** Documents that are out of step and may be written now, catalogs first. */
export async function pendingKeys(
  db: Database,
  environment: string,
  now: string,
  since: number,
  limit: number,
): Promise<string[]> {
  const rows = await db
    .select({ key: documents.key })
    .from(documents)
    .where(
      and(
        eq(documents.environment, environment),
        lt(documents.published_version, documents.version),
        gt(documents.version, since),
        or(isNull(documents.retry_at), lte(documents.retry_at, now)),
      ),
    )
    .orderBy(sql`${documents.kind} <> 'catalog'`, asc(documents.version))
    .limit(limit)
  return rows.map(({ key }) => key)
}

/** When the next failed document may be retried. */
export async function nextRetry(db: Database, environment: string, since: number): Promise<string | null> {
  const [row] = await db.all<{ at: string | null }>(
    sql`SELECT min(retry_at) AS at FROM documents
        WHERE environment = ${environment} AND version > ${since} AND published_version < version`,
  )
  return row?.at ?? null
}

/** The current documents of the keys, from D1. */
export async function projectKeys(
  db: Database,
  environment: string,
  keys: readonly string[],
): Promise<Projected[]> {
  const wanted = list(keys)
  const subjects = (kind: DocumentRow['kind']): SQL =>
    sql`(SELECT subject FROM documents WHERE kind = ${kind} AND key IN ${wanted})`
  const grantsOf = (kind: 'org' | 'user') =>
    db
      .select()
      .from(grants)
      .where(
        and(
          eq(grants.environment, environment),
          eq(grants.subject_kind, kind),
          inArray(grants.subject_id, subjects(kind)),
        ),
      )
  const withCatalog = keys.some((key) => key.startsWith('catalog:'))
  const catalogOnly = <T extends { where(condition: SQL): unknown }>(query: T) =>
    query.where(withCatalog ? sql`true` : sql`false`) as ReturnType<T['where']>
  const [refs, orgRows, contractRows, orgGrants, userGrants, flagRows, ruleRows, planRows] = await db.batch([
    db.select().from(documents).where(inArray(documents.key, wanted)),
    db
      .select()
      .from(organizations)
      .where(inArray(organizations.id, subjects('org'))),
    db
      .select()
      .from(contracts)
      .where(inArray(contracts.org, subjects('org'))),
    // Two queries, as SQLite reads the whole table for an OR of two subqueries.
    grantsOf('org'),
    grantsOf('user'),
    catalogOnly(db.select().from(flags)),
    catalogOnly(db.select().from(rules)),
    catalogOnly(db.select().from(plans)),
  ])
  const orgs = new Map(orgRows.map((org) => [org.id, org]))
  const contractsByOrg = Map.groupBy(contractRows, ({ org }) => org)
  const grantRows = [...orgGrants, ...userGrants]
  const grantsBySubject = Map.groupBy(grantRows, (grant) => `${grant.subject_kind}:${grant.subject_id}`)
  return refs.map((ref) => {
    const granted = grantsBySubject.get(`${ref.kind}:${ref.subject}`) ?? []
    return { key: ref.key, version: ref.version, text: JSON.stringify(project(ref, granted)) }
  })

  function project(ref: DocumentRow, granted: typeof grantRows) {
    switch (ref.kind) {
      case 'catalog':
        return projectCatalog(environment, { flags: flagRows, rules: ruleRows, plans: planRows }, ref)
      case 'org': {
        const org = orgs.get(ref.subject) ?? { id: ref.subject, not_before: 0 }
        return projectOrg(org, contractsByOrg.get(ref.subject) ?? [], granted, ref)
      }
      case 'user':
        return projectUser(ref.subject, granted, ref)
    }
  }
}

/** Records what was written and what failed. */
export async function notePublished(
  db: Database,
  written: readonly Projected[],
  failed: readonly Failure[],
  now: string,
): Promise<void> {
  if (written.length > 0) {
    const done = JSON.stringify(written.map(({ key, version }) => [key, version]))
    await db.run(
      sql`UPDATE documents SET published_version = max(published_version, json_extract(done.value, '$[1]')),
            published_at = ${now}, attempts = 0, retry_at = NULL, error = NULL
          FROM json_each(${done}) AS done WHERE documents.key = json_extract(done.value, '$[0]')`,
    )
  }
  if (failed.length > 0) {
    const failures = JSON.stringify(failed.map(({ key, retry_at }) => [key, retry_at]))
    await db.run(
      sql`UPDATE documents SET attempts = attempts + 1, retry_at = json_extract(failed.value, '$[1]'),
            error = 'kv_failed'
          FROM json_each(${failures}) AS failed WHERE documents.key = json_extract(failed.value, '$[0]')`,
    )
  }
}

/** How many times in a row the documents of these keys have failed. */
export async function attemptsOf(db: Database, keys: readonly string[]): Promise<Map<string, number>> {
  const rows = await db
    .select({ key: documents.key, attempts: documents.attempts })
    .from(documents)
    .where(inArray(documents.key, list(keys)))
  return new Map(rows.map(({ key, attempts }) => [key, attempts]))
}

/**
 * Adds an outbox row for every subject of an environment, for a rebuild or a new environment.
 *
 * @returns the number of documents, and the latest version that any of them can have
 */
export async function enrol(
  db: Database,
  environment: string,
  now: string,
): Promise<{ total: number; head: number }> {
  const [{ head } = { head: 1 }] = await db.all<{ head: number }>(
    sql`SELECT max(1, coalesce((SELECT max(seq) FROM audit), 1)) AS head`,
  )
  const insert = (select: SQL) =>
    db.run(
      sql`INSERT INTO documents (key, environment, kind, subject, version, changed_at) ${select}
          ON CONFLICT (key) DO NOTHING`,
    )
  const columns = (kind: string, id: SQL) =>
    sql`${`${kind}:${environment}:`} || ${id}, ${environment}, ${kind}, ${id}, ${head}, ${now}`
  await insert(sql`SELECT ${`catalog:${environment}`}, ${environment}, 'catalog', ${environment}, ${head}, ${now}
                   WHERE true`)
  await insert(sql`SELECT ${columns('org', sql`id`)} FROM organizations WHERE true`)
  await insert(sql`SELECT DISTINCT ${columns('user', sql`subject_id`)} FROM grants
                   WHERE subject_kind = 'user' AND environment = ${environment}`)
  return { total: await db.$count(documents, eq(documents.environment, environment)), head }
}

/** Keys in order, from after the cursor. */
export async function keysAfter(
  db: Database,
  environment: string,
  cursor: string,
  limit: number,
): Promise<string[]> {
  const rows = await db
    .select({ key: documents.key })
    .from(documents)
    .where(and(eq(documents.environment, environment), gt(documents.key, cursor)))
    .orderBy(asc(documents.key))
    .limit(limit)
  return rows.map(({ key }) => key)
}
