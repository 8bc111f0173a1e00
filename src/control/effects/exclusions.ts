/** Flags of which no organization may have two, in an environment, as its policy says. Pure. */
import { evaluate } from '../../core/evaluate.ts'
import type { Question } from './diff.ts'
import { bordersOf, type Side, sidesOf, type World, withoutKills } from './world.ts'

export interface Exclusion {
  readonly environment: string
  readonly flags: readonly string[]
}

/**
 * Whether an organization would have two flags that exclude each other, now or at a later moment, which it would not have
 * had. Kill switches do not count.
 */
export function violates(
  before: World,
  after: World,
  { environments, organizations, now }: Question,
  exclusions: readonly Exclusion[],
): boolean {
  if (exclusions.length === 0) return false
  const [was, is] = [sidesOf(withoutKills(before)), sidesOf(withoutKills(after))]
  return exclusions
    .filter(({ environment }) => environments.includes(environment))
    .some(({ environment, flags }) => {
      const held = ({ catalog }: Side, orgId: string, org: ReturnType<Side['org']>, at: number): number =>
        evaluate(catalog, { orgId, org }, at).flags.filter((flag) => flags.includes(flag)).length
      const [had, has] = [was(environment), is(environment)]
      return organizations.some((id) => {
        const [old, current] = [had.org(id), has.org(id)]
        return [now, ...bordersOf([old, current], now)].some(
          (at) => held(has, id, current, at) > 1 && held(had, id, old, at) < 2,
        )
      })
    })
}
