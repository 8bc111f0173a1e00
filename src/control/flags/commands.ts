/**
 * The commands about flags and rules: what they read from D1, and the decision that uses it.
 */

import { err, ok, type Result } from '../../core/result.ts'
import type { FlagRow, RuleRow } from '../db/rows.ts'
import type { EditOf } from '../entities/edit.ts'
import { holding } from '../entities/plan.ts'
import { flagLimits } from '../entities/policy.ts'
import { type Clearance, commandKind, commandRegistry, type Facts } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS, RESPONDERS } from '../roles.ts'
import { holderOf } from './holders.ts'
import { createFlag, extendFlag, leavesCatalog, moveFlag, reviewFlag, updateFlag } from './lifecycle.ts'
import {
  flagCreation,
  flagExtension,
  flagParams,
  flagTransition,
  flagUpdate,
  ruleChange,
  ruleParams,
} from './schemas.ts'

export type FlagEdit = EditOf<'flags'>
export type RuleEdit = EditOf<'rules'>

const WHY = { reason: true, ticket: true } as const

export const flagCreate = commandKind({
  action: 'flag.create',
  roles: EDITORS,
  input: flagCreation.omit(WHY),
  // Its time starts when it is requested, not when it is approved.
  freeze: (input, edit: FlagEdit) => ({
    ...input,
    ...(edit.after.retire_by !== null && { retire_by: edit.after.retire_by }),
  }),
  async decide(flag, { state, now, policies }): Promise<Result<FlagEdit, Refusal>> {
    const existing = await state.rows('flags').load(flag.key)
    const created = createFlag(existing, flag, now, flagLimits(policies))
    return created.ok ? ok({ table: 'flags', before: null, after: created.value }) : created
  },
})

export const flagUpdating = commandKind({
  action: 'flag.update',
  roles: EDITORS,
  input: flagParams.extend(flagUpdate.omit(WHY).shape),
  decide: ({ flag: key, ...change }, facts) =>
    decideFlag(key, facts, (flag, inPlan, now) =>
      updateFlag(flag, change, inPlan, now, flagLimits(facts.policies)),
    ),
})

export const flagMove = commandKind({
  action: 'flag.move',
  roles: EDITORS,
  input: flagParams.extend(flagTransition.omit(WHY).shape),
  async decide({ flag: key, state }, facts): Promise<Result<FlagEdit, Refusal>> {
    const flag = await facts.state.rows('flags').load(key)
    const held = flag && leavesCatalog(flag, state) ? await holderOf(key, facts) : undefined
    return decideFlag(key, facts, (before, inPlan, now) => moveFlag(before, state, inPlan, held, now))
  },
})

export const flagExtend = commandKind({
  action: 'flag.extend',
  roles: EDITORS,
  input: flagParams.extend(flagExtension.omit(WHY).shape),
  decide: ({ flag: key, retire_by }, facts) =>
    decideFlag(key, facts, (flag, _, now) =>
      extendFlag(flag, Date.parse(retire_by), now, flagLimits(facts.policies)),
    ),
})

export const flagReview = commandKind({
  action: 'flag.review',
  roles: EDITORS,
  input: flagParams,
  decide: ({ flag: key }, facts) => decideFlag(key, facts, (flag, _, now) => reviewFlag(flag, now)),
})

async function decideFlag(
  key: string,
  { state, now }: Facts,
  decide: (flag: FlagRow, inPlan: boolean, now: number) => Result<FlagRow, Refusal>,
): Promise<Result<FlagEdit, Refusal>> {
  const before = await state.rows('flags').load(key)
  if (!before) return err('not_found')
  const decided = decide(before, (await state.rows('plans').by(holding, [key])).length > 0, now)
  return decided.ok ? ok({ table: 'flags', before, after: decided.value }) : decided
}

export const ruleSet = commandKind({
  action: 'rule.set',
  roles: EDITORS,
  input: ruleParams.extend(ruleChange.omit(WHY).shape),
  decide: ({ flag, environment, access, percentage }, facts) =>
    decideRule(flag, environment, { access, percentage }, facts),
})

/** Needs no approval: it only takes away, and an incident does not wait. */
export const ruleKill = killSwitch('rule.kill', true, 'kill')
export const ruleRevive = killSwitch('rule.revive', false)

function killSwitch(action: 'rule.kill' | 'rule.revive', killed: boolean, clearance?: Clearance) {
  return commandKind({
    action,
    roles: killed ? RESPONDERS : EDITORS,
    input: ruleParams,
    ...(clearance && { clearance }),
    decide: ({ flag, environment }, facts) => decideRule(flag, environment, { killed }, facts),
  })
}

export const flagCommands = commandRegistry(
  ...[flagCreate, flagUpdating, flagMove, flagExtend, flagReview],
  ...[ruleSet, ruleKill, ruleRevive],
)

/** Changes the given members and keeps the rest of the rule. */
async function decideRule(
  flag: string,
  environment: string,
  change: Partial<Pick<RuleRow, 'access' | 'percentage' | 'killed'>>,
  { state, now, environments }: Facts,
): Promise<Result<RuleEdit, Refusal>> {
  if (!environments.includes(environment)) return err('environment_unknown')
  const existing = await state.rows('flags').load(flag)
  if (!existing) return err('not_found')
  if (existing.state === 'retired') return err('flag_retired')
  const before = await state.rows('rules').load([environment, flag])
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
}

/** A rule that was never set. */
export const unsetRule = (flag: string, environment: string) => ({
  flag,
  environment,
  access: 'none' as const,
  percentage: null,
  killed: false,
  updated_at: null,
  revision: 0,
})
