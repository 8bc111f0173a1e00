/**
 * The differences between the rules of two environments, and which of them a promotion includes. Pure but for reading them.
 *
 * A kill switch belongs to an incident and stays in its environment. A rule that was never set has nothing to promote.
 */
import { inArray } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { RuleRow } from '../db/rows.ts'
import { flags, rules } from '../db/schema.ts'
import { isPublished } from '../entities/projection.ts'
import type { Refusal } from '../refusals.ts'

export type Side = Pick<RuleRow, 'access' | 'percentage' | 'killed' | 'revision'>

export interface Differing {
  readonly flag: string
  readonly from: Side
  readonly to: Side
}

export interface Selection {
  /** Only these; `undefined`: all. */
  readonly flags?: readonly string[] | undefined
  readonly leave_out: readonly string[]
}

export interface Comparison {
  readonly taken: readonly Differing[]
  readonly leftOut: readonly Differing[]
}

/** Whether the second environment is the one after the first. */
export function isNext(from: string, to: string, environments: readonly string[]): Result<true, Refusal> {
  const [at, next] = [environments.indexOf(from), environments.indexOf(to)]
  if (at < 0 || next < 0) return err('environment_unknown')
  return next === at + 1 ? ok(true) : err('promotion_not_next')
}

export const UNSET: Side = { access: 'none', percentage: null, killed: false, revision: 0 }

export async function compare(
  db: Database,
  from: string,
  to: string,
  selection: Selection,
): Promise<Result<Comparison, Refusal>> {
  const [known, both] = await Promise.all([
    db.select({ key: flags.key, state: flags.state }).from(flags),
    db
      .select()
      .from(rules)
      .where(inArray(rules.environment, [from, to])),
  ])
  const keys = new Set(known.map(({ key }) => key))
  const named = [...selection.leave_out, ...(selection.flags ?? [])]
  if (!named.every((key) => keys.has(key))) return err('flag_unknown')
  const published = known.filter(isPublished).map(({ key }) => key)
  return ok(select(differing(published, both, from, to), selection))
}

export function differing(
  published: readonly string[],
  all: readonly RuleRow[],
  from: string,
  to: string,
): Differing[] {
  const sides = new Map(all.map((rule) => [`${rule.environment}:${rule.flag}`, sideOf(rule)]))
  return published.toSorted().flatMap((flag) => {
    const [source, target = UNSET] = [sides.get(`${from}:${flag}`), sides.get(`${to}:${flag}`)]
    if (!source || (source.access === target.access && source.percentage === target.percentage)) return []
    return [{ flag, from: source, to: target }]
  })
}

const sideOf = ({ access, percentage, killed, revision }: RuleRow): Side => ({
  access,
  percentage,
  killed,
  revision,
})

function select(all: readonly Differing[], { flags: only, leave_out }: Selection): Comparison {
  const isTaken = ({ flag }: Differing) =>
    !leave_out.includes(flag) && (only === undefined || only.includes(flag))
  return { taken: all.filter(isTaken), leftOut: all.filter((one) => !isTaken(one)) }
}
