/**
 * A flag's life as decisions over rows. Pure.
 *
 * draft -> live -> retiring -> retired, back from retiring to live, and from draft straight to retired. A retired key is
 * a tombstone: it stays taken, because tokens and services may still know it under its old meaning.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { FlagRow } from '../db/rows.ts'
import { DAY_MS } from '../entities/fields.ts'
import { isFunded } from '../entities/flag.ts'
import type { FlagLimits } from '../entities/policy.ts'
import { isPublished } from '../entities/projection.ts'
import type { Refusal } from '../refusals.ts'
import type { Held } from './holders.ts'

const REVIEW_EVERY_DAYS = 90
const RETIRE_AFTER_DAYS = 40
/** How far ahead the end of a rollout may be. */
const MAX_RETIRE_DAYS = 365

const NEXT: Record<FlagRow['state'], readonly FlagRow['state'][]> = {
  draft: ['live', 'retired'],
  live: ['retiring'],
  retiring: ['live', 'retired'],
  retired: [],
}

export interface NewFlag {
  readonly key: string
  readonly name: string
  readonly description: string
  readonly kind: FlagRow['kind']
  readonly owner: string
  readonly tags: string[]
  readonly no_plan_reason?: string | undefined
  readonly review_every_days?: number | undefined
  readonly retire_by?: string | undefined
  readonly revoke_on_loss?: boolean | undefined
}

/** @param now - epoch milliseconds */
export function createFlag(
  existing: FlagRow | undefined,
  flag: NewFlag,
  now: number,
  limits: FlagLimits,
): Result<FlagRow, Refusal> {
  if (existing) return err(existing.state === 'retired' ? 'flag_key_retired' : 'flag_exists')
  const rollout = flag.kind === 'rollout'
  if (!rollout && flag.retire_by !== undefined) return err('flag_not_rollout')
  if (rollout && flag.review_every_days !== undefined) return err('flag_not_entitlement')
  const retireBy =
    flag.retire_by === undefined
      ? now + Math.min(RETIRE_AFTER_DAYS, limits.lifetimeDays) * DAY_MS
      : Date.parse(flag.retire_by)
  if (rollout && !isRetireBy(retireBy, now, now)) return err('retire_by_invalid')
  if (rollout && retireBy > now + limits.lifetimeDays * DAY_MS) return err('flag_lifetime')
  if ((flag.review_every_days ?? 0) > limits.reviewDays) return err('flag_review_days')
  const at = new Date(now).toISOString()
  const { key, name, description, kind, owner, tags } = flag
  return ok({
    key,
    name,
    description,
    kind,
    owner,
    tags,
    state: 'draft',
    no_plan_reason: flag.no_plan_reason ?? null,
    review_every_days: rollout
      ? null
      : (flag.review_every_days ?? Math.min(REVIEW_EVERY_DAYS, limits.reviewDays)),
    reviewed_at: null,
    retire_by: rollout ? new Date(retireBy).toISOString() : null,
    extensions: 0,
    revoke_on_loss: flag.revoke_on_loss ?? false,
    created_at: at,
    updated_at: at,
    revision: 1,
  })
}

export type FlagChange = {
  readonly [Member in
    | 'name'
    | 'description'
    | 'owner'
    | 'tags'
    | 'no_plan_reason'
    | 'review_every_days'
    | 'revoke_on_loss']?: FlagRow[Member] | undefined
}

/** @param inPlan - whether a plan holds the flag */
export function updateFlag(
  flag: FlagRow,
  change: FlagChange,
  inPlan: boolean,
  now: number,
  limits: FlagLimits,
): Result<FlagRow, Refusal> {
  if (flag.state === 'retired') return err('flag_retired')
  if ((change.review_every_days ?? 0) > limits.reviewDays) return err('flag_review_days')
  if (flag.kind === 'rollout' && change.review_every_days !== undefined) return err('flag_not_entitlement')
  const changed = { ...flag }
  for (const [member, value] of Object.entries(change)) {
    if (value !== undefined) Object.assign(changed, { [member]: value })
  }
  if (!isFunded(changed, inPlan)) return err('flag_unfunded')
  return ok(revised(changed, now))
}

/** Whether the move takes the flag out of the catalog, and so from everybody who has it. */
export const leavesCatalog = (flag: FlagRow, state: FlagRow['state']): boolean =>
  isPublished(flag) && !isPublished({ state })

/** @param held - what still gives the flag to anybody, if the move takes it out of the catalog */
export function moveFlag(
  flag: FlagRow,
  state: FlagRow['state'],
  inPlan: boolean,
  held: Held | undefined,
  now: number,
): Result<FlagRow, Refusal> {
  if (flag.state === 'retired') return err('flag_retired')
  if (flag.state === state) return ok(flag)
  if (!NEXT[flag.state].includes(state)) return err('flag_transition')
  if (held) return err(held)
  const moved = { ...flag, state }
  if (!isFunded(moved, inPlan)) return err('flag_unfunded')
  return ok(revised(moved, now))
}

/** Extends a rollout, and counts the extension. */
export function extendFlag(
  flag: FlagRow,
  retireBy: number,
  now: number,
  limits: FlagLimits,
): Result<FlagRow, Refusal> {
  if (flag.state === 'retired') return err('flag_retired')
  if (flag.kind !== 'rollout' || flag.retire_by === null) return err('flag_not_rollout')
  if (!isRetireBy(retireBy, Date.parse(flag.retire_by), now)) return err('retire_by_invalid')
  if (retireBy > Date.parse(flag.created_at) + limits.lifetimeDays * DAY_MS) return err('flag_lifetime')
  const extended = { ...flag, retire_by: new Date(retireBy).toISOString(), extensions: flag.extensions + 1 }
  return ok(revised(extended, now))
}

/** Records that the owner reviewed the entitlement and keeps it. */
export function reviewFlag(flag: FlagRow, now: number): Result<FlagRow, Refusal> {
  if (flag.state === 'retired') return err('flag_retired')
  if (flag.kind !== 'entitlement') return err('flag_not_entitlement')
  return ok(revised({ ...flag, reviewed_at: new Date(now).toISOString() }, now))
}

const isRetireBy = (at: number, after: number, now: number): boolean =>
  at > Math.max(after, now) && at <= now + MAX_RETIRE_DAYS * DAY_MS

const revised = (flag: FlagRow, now: number): FlagRow => ({
  ...flag,
  updated_at: new Date(now).toISOString(),
  revision: flag.revision + 1,
})
