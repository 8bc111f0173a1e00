/** What holds an entitlement. Pure. */
import type { FlagRow } from '../db/rows.ts'

/** An entitlement that customers can have is sold in a plan, or says why it is not. */
export const isFunded = (
  flag: Pick<FlagRow, 'kind' | 'state' | 'no_plan_reason'>,
  inPlan: boolean,
): boolean => flag.kind !== 'entitlement' || flag.state !== 'live' || inPlan || flag.no_plan_reason !== null
