/**
 * The command that accepts a finding: why it may stay, and until when. Where changes require approval, that takes a person,
 * and one whose edit it is not.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { sharePerson } from '../auth/actor.ts'
import type { EditOf } from '../entities/edit.ts'
import { DAY_MS, instant } from '../entities/fields.ts'
import { requiresApproval } from '../entities/policy.ts'
import { commandKind } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS } from '../roles.ts'
import { authorsOf } from './authors.ts'

/** A finding can be accepted for a year at most, then it is open again. */
const MAX_ACCEPTED_DAYS = 365

export type FindingEdit = EditOf<'findings'>

/** Its parts are URL-encoded, because ids of other systems can contain any character. */
export const findingParams = z.object({ finding: z.string().regex(/^[a-z_]{1,40}[\w.:%!~*'()-]{0,1500}$/) })
export const acceptance = z.object({ until: instant })

export const findingAccept = commandKind({
  action: 'finding.accept',
  roles: EDITORS,
  input: findingParams.extend(acceptance.shape),
  async decide(
    { finding: id, until },
    { state, now, actor, policies, environments },
    { reason },
  ): Promise<Result<FindingEdit, Refusal>> {
    const before = await state.rows('findings').load(id)
    if (!before) return err('not_found')
    if (before.resolved_at !== null) return err('finding_resolved')
    const guarded = policies.some(
      (one) =>
        requiresApproval(one) && (before.environment === null || before.environment === one.environment),
    )
    if (guarded) {
      if (actor.apiKey !== null) return err('person_required')
      if (sharePerson(actor.people, await authorsOf(before, environments, state.db))) return err('own_drift')
    }
    const end = Date.parse(until)
    if (end <= now || end > now + MAX_ACCEPTED_DAYS * DAY_MS) return err('accept_until_invalid')
    const after = {
      ...before,
      accepted_by: actor.id,
      accepted_reason: reason,
      accepted_until: until,
      updated_at: new Date(now).toISOString(),
      revision: before.revision + 1,
    }
    return ok({ table: 'findings', before, after })
  },
})
