/** The commands about plans: what they read from D1, and their decisions. */
import { err, ok, type Result } from '../../core/result.ts'
import type { EditOf } from '../entities/edit.ts'
import { isFunded } from '../entities/flag.ts'
import { holding } from '../entities/plan.ts'
import { commandKind, commandRegistry } from '../ledger/command.ts'
import type { State } from '../ledger/state.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS } from '../roles.ts'
import { planCreation, planParams, planUpdate } from './schemas.ts'

export type PlanEdit = EditOf<'plans'>

const WHY = { reason: true, ticket: true } as const

export const planCreate = commandKind({
  action: 'plan.create',
  roles: EDITORS,
  input: planCreation.omit(WHY),
  async decide({ key, ...content }, { state, now }): Promise<Result<PlanEdit, Refusal>> {
    if (await state.rows('plans').load(key)) return err('plan_exists')
    const usable = await checkFlags(state, content.flags)
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

export const planUpdating = commandKind({
  action: 'plan.update',
  roles: EDITORS,
  input: planParams.extend(planUpdate.omit(WHY).shape),
  async decide({ plan: key, ...change }, { state, now }): Promise<Result<PlanEdit, Refusal>> {
    const before = await state.rows('plans').load(key)
    if (!before) return err('not_found')
    const flags = change.flags?.toSorted() ?? before.flags
    const usable = await checkFlags(
      state,
      flags.filter((flag) => !before.flags.includes(flag)),
    )
    if (!usable.ok) return usable
    const dropped = before.flags.filter((flag) => !flags.includes(flag))
    if (await leavesUnfunded(state, key, dropped)) return err('flag_unfunded')
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

export const planCommands = commandRegistry(planCreate, planUpdating)

async function checkFlags(state: State, keys: readonly string[]): Promise<Result<true, Refusal>> {
  const known = await state.rows('flags').loadMany(keys)
  if (known.length < keys.length) return err('flag_unknown')
  return known.some((flag) => flag.state === 'retired') ? err('flag_retired') : ok(true)
}

/** Whether a live entitlement among the flags would be in no plan any more and has no `no_plan_reason`. */
async function leavesUnfunded(state: State, plan: string, dropped: readonly string[]): Promise<boolean> {
  if (dropped.length === 0) return false
  const [flags, holders] = await Promise.all([
    state.rows('flags').loadMany(dropped),
    state.rows('plans').by(holding, dropped),
  ])
  const others = holders.filter(({ key }) => key !== plan)
  return flags.some(
    (flag) =>
      !isFunded(
        flag,
        others.some((other) => other.flags.includes(flag.key)),
      ),
  )
}
