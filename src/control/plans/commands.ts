/** The commands about plans: what they read of D1, and what they decide. */
import { eq, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { Command } from '../changes/command.ts'
import type { Database } from '../db/client.ts'
import type { PlanRow } from '../db/rows.ts'
import { plans } from '../db/schema.ts'
import type { Edit } from '../model/edit.ts'
import type { Refusal } from '../refusals.ts'

export type PlanEdit = Extract<Edit, { table: 'plans' }>
type Why = Pick<Command, 'reason' | 'ticket'>
type Content = Pick<PlanRow, 'name' | 'description' | 'flags' | 'grace_days'>

export const createPlanCommand = (key: string, content: Content, why: Why): Command<PlanEdit> => ({
  action: 'plan.create',
  ...why,
  async decide({ db, now }) {
    if (await findPlan(db, key)) return err('plan_exists')
    const usable = await checkFlags(db, content.flags)
    if (!usable.ok) return usable
    const at = new Date(now).toISOString()
    const after = {
      key,
      ...content,
      flags: content.flags.toSorted(),
      created_at: at,
      updated_at: at,
      revision: 1,
    }
    return ok({ table: 'plans', before: null, after })
  },
})

export const updatePlanCommand = (
  key: string,
  change: { readonly [Member in keyof Content]?: Content[Member] | undefined },
  why: Why,
): Command<PlanEdit> => ({
  action: 'plan.update',
  ...why,
  async decide({ db, now }) {
    const before = await findPlan(db, key)
    if (!before) return err('not_found')
    const flags = change.flags?.toSorted() ?? before.flags
    const usable = await checkFlags(
      db,
      flags.filter((flag) => !before.flags.includes(flag)),
    )
    if (!usable.ok) return usable
    const dropped = before.flags.filter((flag) => !flags.includes(flag))
    if (await leavesUnfunded(db, key, dropped)) return err('flag_unfunded')
    const after = {
      ...before,
      name: change.name ?? before.name,
      description: change.description ?? before.description,
      grace_days: change.grace_days ?? before.grace_days,
      flags,
      updated_at: new Date(now).toISOString(),
      revision: before.revision + 1,
    }
    return ok({ table: 'plans', before, after })
  },
})

export async function findPlan(db: Database, key: string): Promise<PlanRow | undefined> {
  const [plan] = await db.select().from(plans).where(eq(plans.key, key))
  return plan
}

async function checkFlags(db: Database, keys: readonly string[]): Promise<Result<true, Refusal>> {
  if (keys.length === 0) return ok(true)
  const known = await db.all<{ state: string }>(
    sql`SELECT state FROM flags WHERE key IN (SELECT value FROM json_each(${JSON.stringify(keys)}))`,
  )
  if (known.length < keys.length) return err('flag_unknown')
  return known.some(({ state }) => state === 'retired') ? err('flag_retired') : ok(true)
}

/** Whether a live entitlement among the flags would be in no plan any more, without a note why. */
async function leavesUnfunded(db: Database, plan: string, dropped: readonly string[]): Promise<boolean> {
  if (dropped.length === 0) return false
  const unfunded = await db.all(
    sql`SELECT 1 FROM flags f WHERE f.key IN (SELECT value FROM json_each(${JSON.stringify(dropped)}))
        AND f.kind = 'entitlement' AND f.state = 'live' AND f.no_plan_reason IS NULL
        AND NOT EXISTS (SELECT 1 FROM plans p, json_each(p.flags) AS held
                        WHERE p.key <> ${plan} AND held.value = f.key) LIMIT 1`,
  )
  return unfunded.length > 0
}
