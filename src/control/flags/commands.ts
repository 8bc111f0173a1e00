/**
 * The commands about flags and rules: what they read of D1, and the decision they hand it to.
 */
import { and, eq, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { Command, Facts } from '../changes/command.ts'
import type { Database } from '../db/client.ts'
import type { FlagRow, RuleRow } from '../db/rows.ts'
import { flags, rules } from '../db/schema.ts'
import type { Edit } from '../model/edit.ts'
import type { Refusal } from '../refusals.ts'
import {
  createFlag,
  extendFlag,
  type FlagChange,
  moveFlag,
  type NewFlag,
  reviewFlag,
  updateFlag,
} from './lifecycle.ts'

type Why = Pick<Command, 'reason' | 'ticket'>
export type FlagEdit = Extract<Edit, { table: 'flags' }>
export type RuleEdit = Extract<Edit, { table: 'rules' }>

export const createFlagCommand = (flag: NewFlag, why: Why): Command<FlagEdit> => ({
  action: 'flag.create',
  ...why,
  async decide({ db, now }) {
    const created = createFlag(await findFlag(db, flag.key), flag, now)
    return created.ok ? ok({ table: 'flags', before: null, after: created.value }) : created
  },
})

export const updateFlagCommand = (key: string, change: FlagChange, why: Why): Command<FlagEdit> =>
  flagCommand('flag.update', key, why, (flag, inPlan, now) => updateFlag(flag, change, inPlan, now))

export const moveFlagCommand = (key: string, state: FlagRow['state'], why: Why): Command<FlagEdit> =>
  flagCommand('flag.move', key, why, (flag, inPlan, now) => moveFlag(flag, state, inPlan, now))

export const extendFlagCommand = (key: string, retireBy: number, why: Why): Command<FlagEdit> =>
  flagCommand('flag.extend', key, why, (flag, _, now) => extendFlag(flag, retireBy, now))

export const reviewFlagCommand = (key: string, why: Why): Command<FlagEdit> =>
  flagCommand('flag.review', key, why, (flag, _, now) => reviewFlag(flag, now))

function flagCommand(
  action: string,
  key: string,
  why: Why,
  decide: (flag: FlagRow, inPlan: boolean, now: number) => Result<FlagRow, Refusal>,
): Command<FlagEdit> {
  return {
    action,
    ...why,
    async decide({ db, now }) {
      const before = await findFlag(db, key)
      if (!before) return err('not_found')
      const decided = decide(before, await isInPlan(db, key), now)
      return decided.ok ? ok({ table: 'flags', before, after: decided.value }) : decided
    },
  }
}

export type RuleChange = Partial<Pick<RuleRow, 'access' | 'percentage' | 'killed'>>

/** `rule.set`, `rule.kill`, `rule.revive`: what is named changes, the rest of the rule stays. */
export const ruleCommand = (
  action: 'rule.set' | 'rule.kill' | 'rule.revive',
  flag: string,
  environment: string,
  change: RuleChange,
  why: Why,
): Command<RuleEdit> => ({
  action,
  ...why,
  async decide({ db, now, environments }: Facts) {
    if (!environments.includes(environment)) return err('environment_unknown')
    const existing = await findFlag(db, flag)
    if (!existing) return err('not_found')
    if (existing.state === 'retired') return err('flag_retired')
    const before = await findRule(db, flag, environment)
    const { updated_at: _, ...current } = before ?? unsetRule(flag, environment)
    return ok({
      table: 'rules',
      before: before ?? null,
      after: {
        ...current,
        ...change,
        updated_at: new Date(now).toISOString(),
        revision: current.revision + 1,
      },
    })
  },
})

/** A rule that nobody has set yet. */
export const unsetRule = (flag: string, environment: string) => ({
  flag,
  environment,
  access: 'none' as const,
  percentage: null,
  killed: false,
  updated_at: null,
  revision: 0,
})

export async function findFlag(db: Database, key: string): Promise<FlagRow | undefined> {
  const [flag] = await db.select().from(flags).where(eq(flags.key, key))
  return flag
}

async function findRule(db: Database, flag: string, environment: string): Promise<RuleRow | undefined> {
  const [rule] = await db
    .select()
    .from(rules)
    .where(and(eq(rules.flag, flag), eq(rules.environment, environment)))
  return rule
}

async function isInPlan(db: Database, flag: string): Promise<boolean> {
  const found = await db.all(
    sql`SELECT 1 FROM plans, json_each(plans.flags) AS held WHERE held.value = ${flag} LIMIT 1`,
  )
  return found.length > 0
}
