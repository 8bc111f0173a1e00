/**
 * Who would lose a flag that leaves the catalog. Changing its state takes it from everybody at once, without naming them, so
 * that is refused while a rule, a grant or a contract still gives the flag to anybody. Kill switches are ignored, because an
 * incident ends. Reads through the state, so earlier commands of the same change request count.
 */
import type { Facts } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'

export type Held = Extract<
  Refusal,
  'flag_on_for_all' | 'flag_on_by_percentage' | 'flag_granted' | 'flag_paid_for'
>

/** What gives the flag to anybody, now or later; `undefined`: nothing. */
export async function holderOf(
  key: string,
  { state, now, environments }: Pick<Facts, 'state' | 'now' | 'environments'>,
): Promise<Held | undefined> {
  const rules = await Promise.all(environments.map((environment) => state.rule(key, environment)))
  if (rules.some((rule) => rule?.access === 'all')) return 'flag_on_for_all'
  const some = rules.filter((rule) => rule?.access === 'some')
  if (some.some((rule) => (rule?.percentage ?? 0) > 0)) return 'flag_on_by_percentage'
  // Where access is none, grants and contracts give nothing.
  const open = some.flatMap((rule) => rule?.environment ?? [])
  if (open.length === 0) return undefined
  const at = new Date(now).toISOString()
  const granted = await state.grantsGiving(key, at)
  if (granted.some(({ environment }) => open.includes(environment))) return 'flag_granted'
  return (await state.contractsGiving(key, at)).length > 0 ? 'flag_paid_for' : undefined
}
