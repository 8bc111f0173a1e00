/**
 * The inventory: flags with their rules and plans, in a number of queries that does not depend on the number of flags.
 */
import { and, asc, eq, gt, inArray, type SQL, sql } from 'drizzle-orm'
import { ok, type Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { FlagRow, RuleRow } from '../db/rows.ts'
import { flags, rules } from '../db/schema.ts'
import { afterCursor, toPage } from '../http/page.ts'
import { unsetRule } from './commands.ts'

export interface InventoryQuery {
  readonly limit: number
  readonly cursor?: string | undefined
  readonly kind?: FlagRow['kind'] | undefined
  readonly state?: FlagRow['state'] | undefined
  readonly owner?: string | undefined
  readonly tag?: string | undefined
  readonly plan?: string | undefined
}

export async function listFlags(db: Database, query: InventoryQuery, environments: readonly string[]) {
  const after = afterCursor(query.cursor)
  if (!after.ok) return after
  const conditions: SQL[] = []
  if (after.value !== undefined) conditions.push(gt(flags.key, after.value))
  if (query.kind) conditions.push(eq(flags.kind, query.kind))
  if (query.state) conditions.push(eq(flags.state, query.state))
  if (query.owner) conditions.push(eq(flags.owner, query.owner))
  if (query.tag) {
    conditions.push(sql`EXISTS (SELECT 1 FROM json_each(${flags.tags}) AS t WHERE t.value = ${query.tag})`)
  }
  if (query.plan) {
    conditions.push(sql`${flags.key} IN (
      SELECT held.value FROM plans, json_each(plans.flags) AS held WHERE plans.key = ${query.plan})`)
  }
  const rows = await db
    .select()
    .from(flags)
    .where(and(...conditions))
    .orderBy(asc(flags.key))
    .limit(query.limit + 1)
  const page = toPage(rows, query.limit, ({ key }) => key)
  return ok({ ...page, data: await withRulesAndPlans(db, page.data, environments) })
}

export async function showFlag(
  db: Database,
  flag: FlagRow,
  environments: readonly string[],
): Promise<Result<Awaited<ReturnType<typeof withRulesAndPlans>>[number], 'not_found'>> {
  const [shown] = await withRulesAndPlans(db, [flag], environments)
  return shown ? ok(shown) : { ok: false, reason: 'not_found' }
}

async function withRulesAndPlans(db: Database, page: readonly FlagRow[], environments: readonly string[]) {
  const keys = JSON.stringify(page.map(({ key }) => key))
  const wanted = sql`(SELECT value FROM json_each(${keys}))`
  const [ruleRows, held] = await Promise.all([
    db.select().from(rules).where(inArray(rules.flag, wanted)),
    db.all<{ flag: string; plan: string }>(
      sql`SELECT held.value AS flag, plans.key AS plan FROM plans, json_each(plans.flags) AS held
          WHERE held.value IN ${wanted} ORDER BY plans.key`,
    ),
  ])
  const rulesByFlag = Map.groupBy(ruleRows, ({ flag }) => flag)
  const plansByFlag = Map.groupBy(held, ({ flag }) => flag)
  return page.map((flag) => ({
    ...flag,
    rules: environments.map((environment) => ruleOf(rulesByFlag.get(flag.key), flag.key, environment)),
    plans: (plansByFlag.get(flag.key) ?? []).map(({ plan }) => plan),
  }))
}

const ruleOf = (all: readonly RuleRow[] | undefined, flag: string, environment: string) =>
  all?.find((rule) => rule.environment === environment) ?? unsetRule(flag, environment)
