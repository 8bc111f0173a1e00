/**
 * Grants as decisions over rows. Pure.
 *
 * A grant made by hand must end, at the latest in a year: exceptions without an end become access without a contract. An
 * import mirrors another system, and ends when that system says so.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { GrantRow } from '../db/rows.ts'
import { DAY_MS } from '../entities/fields.ts'
import type { Refusal } from '../refusals.ts'

export const MAX_GRANT_DAYS = 365

export interface NewGrant {
  readonly environment: string
  readonly subject: { readonly kind: GrantRow['subject_kind']; readonly id: string }
  readonly flag: string
  readonly effect: GrantRow['effect']
  readonly source: GrantRow['source']
  readonly reason: string
  readonly ticket: string | null
  readonly from: string | undefined
  readonly to: string | null
}

/** @param now - epoch milliseconds */
export function createGrant(
  id: string,
  grant: NewGrant,
  createdBy: string,
  now: number,
): Result<GrantRow, Refusal> {
  const from = grant.from === undefined ? now : Date.parse(grant.from)
  const to = grant.to === null ? null : Date.parse(grant.to)
  if (to !== null && (to <= from || to <= now)) return err('window_invalid')
  if (grant.source !== 'import') {
    if (to === null) return err('grant_needs_end')
    // Counted from now, whenever the grant begins, so that every exception is reviewed within a year.
    if (to - now > MAX_GRANT_DAYS * DAY_MS) return err('grant_too_long')
  }
  const at = new Date(now).toISOString()
  const { environment, subject, flag, effect, source, reason, ticket } = grant
  return ok({
    id,
    environment,
    flag,
    effect,
    source,
    reason,
    ticket,
    subject_kind: subject.kind,
    subject_id: subject.id,
    from: new Date(from).toISOString(),
    to: to === null ? null : new Date(to).toISOString(),
    created_by: createdBy,
    created_at: at,
    updated_at: at,
    revoked_at: null,
    revoked_by: null,
    revision: 1,
  })
}

/** Ends a grant now; one that has not begun never will. */
export function revokeGrant(grant: GrantRow, revokedBy: string, now: number): Result<GrantRow, Refusal> {
  const at = new Date(now).toISOString()
  if (grant.revoked_at !== null || (grant.to !== null && grant.to <= at)) return err('grant_ended')
  return ok({
    ...grant,
    to: grant.from > at ? grant.from : at,
    updated_at: at,
    revoked_at: at,
    revoked_by: revokedBy,
    revision: grant.revision + 1,
  })
}
