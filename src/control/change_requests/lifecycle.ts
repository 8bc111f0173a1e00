/**
 * A change request's life as decisions over rows. Pure.
 *
 * draft -> in_review -> approved or scheduled -> applied; in_review, approved and scheduled become stale when what they
 * would do is no longer what was requested; rejected and cancelled are final. An approval is for one digest: editing a
 * request clears its approvals.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { sharePerson, UNKNOWN_PERSON } from '../auth/actor.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import type { EffectSummary } from '../effects/summary.ts'
import { DAY_MS } from '../entities/fields.ts'
import type { Decided, Facts } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import type { Assessment } from './assess.ts'
import { approvalsRequired, isApproved } from './policy.ts'

export type ChangeState = ChangeRequestRow['state']

/** The states in which a request can still be approved or applied. */
export const LIVE_STATES: readonly ChangeState[] = ['in_review', 'approved', 'scheduled']
const OPEN_STATES: readonly ChangeState[] = ['draft', 'stale', ...LIVE_STATES]
export const CHANGE_STATES: readonly ChangeState[] = [
  'draft',
  ...LIVE_STATES,
  'applied',
  'rejected',
  'cancelled',
  'stale',
]

/** How far ahead a request can be scheduled. */
const MAX_SCHEDULE_DAYS = 90

/** Who decides, when, and under which policies. */
type At = Pick<Facts, 'actor' | 'policies' | 'now'>
type Next = Result<ChangeRequestRow, Refusal>

/** What a request does, as it is stored. */
export interface Content extends Assessment {
  readonly effect: EffectSummary
}

const UNDECIDED = { problem: null, applied_at: null, reviewed_at: null, reviewed_by: null, review: null }

export function openRequest(id: string, content: Content, draft: boolean, at: At): Next {
  const { actor, now } = at
  return withContent(
    {
      ...UNDECIDED,
      id,
      kind: 'change',
      state: draft ? 'draft' : 'in_review',
      author: actor.id,
      author_key: actor.apiKey,
      on_behalf_of: actor.onBehalfOf ?? null,
      people: [...actor.people],
      created_at: iso(now),
      updated_at: iso(now),
      revision: 0,
    },
    content,
    at,
  )
}

/** By the author only: people who edit a request must not approve it. */
export const editRequest = (change: ChangeRequestRow, content: Content, at: At): Next =>
  replaced(change, OPEN_STATES, change.state === 'draft' ? 'draft' : 'in_review', content, at)

/** Submits a draft, or resubmits a stale request. */
export const submitRequest = (change: ChangeRequestRow, content: Content, at: At): Next =>
  replaced(change, ['draft', 'stale'], 'in_review', content, at)

function replaced(
  change: ChangeRequestRow,
  from: readonly ChangeState[],
  state: ChangeState,
  content: Content,
  at: At,
): Next {
  if (change.author !== at.actor.id) return err('change_not_yours')
  if (!from.includes(change.state)) return err('change_state')
  const people = [...new Set([...change.people, ...at.actor.people])]
  // These credentials vouch for it from now on.
  const { apiKey: author_key, onBehalfOf: on_behalf_of = null } = at.actor
  return withContent({ ...change, state, people, author_key, on_behalf_of }, content, at)
}

type Framed = Omit<
  ChangeRequestRow,
  | ('items' | 'rows' | 'environments' | 'flags' | 'required' | 'effect' | 'digest')
  | ('approvals' | 'apply_at' | 'reason' | 'ticket')
>

function withContent(framed: Framed, content: Content, at: At): Next {
  const { items, rows, environments, flagsNeedingOwner, effect, digest, applyAt, why } = content
  if (applyAt !== null && !isSchedulable(Date.parse(applyAt), at.now)) return err('apply_at_invalid')
  const row = {
    ...framed,
    items: [...items],
    rows: [...rows],
    environments: [...environments],
    flags: [...flagsNeedingOwner],
    effect,
    digest,
    apply_at: applyAt,
    problem: null,
    ...why,
    // Approvals covered the content before.
    approvals: [],
  }
  return ok(decided(row, content.guarded, at))
}

const isSchedulable = (at: number, now: number): boolean => at > now && at <= now + MAX_SCHEDULE_DAYS * DAY_MS

/** The next revision, approved if there are enough approvals. */
function decided(
  change: Omit<ChangeRequestRow, 'required'>,
  guarded: readonly string[],
  { policies, now }: At,
): ChangeRequestRow {
  const required = approvalsRequired(change, guarded, policies)
  if (change.state !== 'in_review' || !isApproved(change, guarded, policies)) {
    return revised({ ...change, required }, now)
  }
  const state = change.apply_at === null ? 'approved' : 'scheduled'
  return revised({ ...change, state, problem: null, required }, now)
}

/**
 * @param assessment - of the request as it would be now
 * @param owns - the flags in question that the approver owns
 */
export function approveRequest(
  change: ChangeRequestRow,
  digest: string,
  assessment: Decided<Assessment>,
  owns: readonly string[],
  at: At,
): Next {
  const { actor, policies, now } = at
  // A policy may require more by now.
  const lacking =
    (change.state === 'approved' || change.state === 'scheduled') &&
    assessment.ok &&
    !isApproved(change, assessment.value.guarded, policies)
  if (change.state !== 'in_review' && !lacking) return err('change_state')
  if (change.people.includes(UNKNOWN_PERSON)) return err('author_unknown')
  if (actor.apiKey !== null) return err('person_required')
  if (sharePerson(actor.people, change.people)) return err('self_approval')
  if (change.approvals.some(({ people }) => sharePerson(actor.people, people))) return err('already_approved')
  if (digest !== change.digest) return err('digest_mismatch')
  if (!assessment.ok) return ok(staleRequest(change, assessment.reason, now))
  if (assessment.value.digest !== change.digest) return ok(staleRequest(change, 'moved', now))
  const approval = {
    actor: actor.id,
    api_key: actor.apiKey,
    people: [...actor.people],
    owns: [...owns],
    digest,
    at: iso(now),
  }
  const approved = { ...change, state: 'in_review' as const, approvals: [...change.approvals, approval] }
  return ok(decided(approved, assessment.value.guarded, at))
}

export function rejectRequest(change: ChangeRequestRow, { actor, now }: At): Next {
  if (!LIVE_STATES.includes(change.state)) return err('change_state')
  if (actor.apiKey !== null) return err('person_required')
  if (sharePerson(actor.people, change.people)) return err('self_rejection')
  return ok(revised({ ...change, state: 'rejected' }, now))
}

/** @param mayCancelAny - whether the role allows it, not authorship */
export function cancelRequest(change: ChangeRequestRow, mayCancelAny: boolean, { actor, now }: At): Next {
  if (!OPEN_STATES.includes(change.state)) return err('change_state')
  if (change.author !== actor.id && !mayCancelAny) return err('change_not_yours')
  return ok(revised({ ...change, state: 'cancelled' }, now))
}

/** Applied if everything is as approved; else stale. */
export function applyRequest(
  change: ChangeRequestRow,
  assessment: Decided<Assessment>,
  { policies, now }: At,
): Next {
  if (change.state === 'in_review') return err('approvals_missing')
  if (change.state !== 'approved' && change.state !== 'scheduled') return err('change_state')
  if (change.apply_at !== null && Date.parse(change.apply_at) > now) return err('change_not_due')
  if (!assessment.ok) return ok(staleRequest(change, assessment.reason, now))
  if (assessment.value.digest !== change.digest) return ok(staleRequest(change, 'moved', now))
  if (!isApproved(change, assessment.value.guarded, policies)) return ok(reviewAgain(change, now))
  return ok(revised({ ...change, state: 'applied', applied_at: iso(now) }, now))
}

/** What a check finds of a request that nobody has touched. */
export function recheckRequest(
  change: ChangeRequestRow,
  assessment: Decided<Assessment>,
  { policies, now }: At,
): ChangeRequestRow {
  if (!assessment.ok) return staleRequest(change, assessment.reason, now)
  if (assessment.value.digest !== change.digest) return staleRequest(change, 'moved', now)
  if (change.state !== 'in_review' && !isApproved(change, assessment.value.guarded, policies)) {
    return reviewAgain(change, now)
  }
  return change
}

/** Approved once, but no longer by enough people: the policy requires more, or somebody no longer counts. */
const reviewAgain = (change: ChangeRequestRow, now: number): ChangeRequestRow =>
  revised({ ...change, state: 'in_review', problem: 'approvals_missing' }, now)

/** @param problem - `moved`, or why it would now be refused */
export const staleRequest = (change: ChangeRequestRow, problem: string, now: number): ChangeRequestRow =>
  revised({ ...change, state: 'stale', problem }, now)

/** Somebody else has reviewed a break-glass change. */
export function reviewBreakGlass(change: ChangeRequestRow, review: string, { actor, now }: At): Next {
  if (change.kind !== 'break_glass') return err('change_not_break_glass')
  if (change.reviewed_at !== null) return err('change_reviewed')
  if (actor.apiKey !== null) return err('person_required')
  if (sharePerson(actor.people, change.people)) return err('self_approval')
  return ok(revised({ ...change, reviewed_at: iso(now), reviewed_by: actor.id, review }, now))
}

const revised = (change: ChangeRequestRow, now: number): ChangeRequestRow => ({
  ...change,
  updated_at: iso(now),
  revision: change.revision + 1,
})

const iso = (at: number): string => new Date(at).toISOString()
