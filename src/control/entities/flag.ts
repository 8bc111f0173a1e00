/** Flags: what is sold or rolled out, in the catalog of every environment while they are live or retiring. */
import type { FlagRow } from '../db/rows.ts'
import { flags } from '../db/schema.ts'
import { catalogsOf, type Entity, NO_ONE } from './entity.ts'
import { isPublished } from './projection.ts'

export const flag = {
  table: flags,
  kind: 'flag',
  key: ['key'],
  filing: ({ key }) => ({ flag: key }),
  environments: (_, all) => all,
  documents: (_, all) => catalogsOf(all),
  guarded({ before, after }, { owner_approves }) {
    if (before === null) return isPublished(after)
    // A new owner would get to approve what the owner approves.
    const handedOver = before.owner !== after.owner && owner_approves
    return handedOver || isPublished(before) !== isPublished(after)
  },
  flags: ({ after }) => [after.key],
  scope({ before, after }) {
    const wasPublished = before !== null && isPublished(before)
    return wasPublished === isPublished(after) ? NO_ONE : { kind: 'everyone', flags: [after.key] }
  },
} satisfies Entity<FlagRow>

/** A live entitlement is sold in a plan, or has a `no_plan_reason`. */
export const isFunded = (
  { kind, state, no_plan_reason }: Pick<FlagRow, 'kind' | 'state' | 'no_plan_reason'>,
  inPlan: boolean,
): boolean => kind !== 'entitlement' || state !== 'live' || inPlan || no_plan_reason !== null
