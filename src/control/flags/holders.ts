/**
 * Who would lose a flag that leaves the catalog. Changing its state takes it from everybody at once, without naming them, so
 * that is refused while a rule, a grant or a contract still gives the flag to anybody. Kill switches are ignored, because an
 * incident ends. Reads through the state, so earlier commands of the same change request count.
 */
import { payingFor } from '../entities/contract.ts'
import { giving } from '../entities/grant.ts'
import { holding } from '../entities/plan.ts'
import type { Facts } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'

/** More than the commands of one commit. */
const MANY_ROWS = 200

export type Held = Extract<
  Refusal,
  'flag_on_for_all' | 'flag_on_by_percentage' | 'flag_granted' | 'flag_paid_for'
>

/** What gives the flag to anybody, now or later; `undefined`: nothing. */
export async function holderOf(
  key: string,
  { state, now, environments }: Pick<Facts, 'state' | 'now' | 'environments'>,
): Promise<Held | undefined> {
  const rules = await state.rows('rules').loadMany(environments.map((environment) => [environment, key]))
  if (rules.some(({ access }) => access === 'all')) return 'flag_on_for_all'
  const some = rules.filter(({ access }) => access === 'some')
  if (some.some(({ percentage }) => (percentage ?? 0) > 0)) return 'flag_on_by_percentage'
  // Where access is none, grants and contracts give nothing.
  const open = some.map(({ environment }) => environment)
  if (open.length === 0) return undefined
  const at = new Date(now).toISOString()
  const granted = await state.rows('grants').where(giving(key, at), MANY_ROWS)
  if (granted.some(({ environment }) => open.includes(environment))) return 'flag_granted'
  const plans = await state.rows('plans').by(holding, [key])
  const paying = payingFor(
    key,
    plans.map((plan) => plan.key),
    at,
  )
  return (await state.rows('contracts').where(paying, MANY_ROWS)).length > 0 ? 'flag_paid_for' : undefined
}
