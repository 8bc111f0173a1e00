/**
 * A change request's life as decisions over rows. Pure.
 *
 * draft -> in_review -> approved or scheduled -> applied; in_review, approved and scheduled become stale when what they
 * would do is no longer what was asked for; rejected and cancelled are ends. An approval is for one digest: what is edited
 * has none.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { type Actor, UNKNOWN_PERSON } from '../auth/actor.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import type { ChangeItem } from '../db/schema.ts'
import type { EffectSummary } from '../effects/summary.ts'
import { DAY_MS } from '../entities/fields.ts'
import type { Policy } from '../entities/policy.ts'
import type { Why } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import type { Assessment } from './assess.ts'
import { approvalsRequired, isAgreed } from './policy.ts'

export type ChangeState = ChangeRequestRow['state']

export const CHANGE_STATES: readonly ChangeState[] = [
  ...(['draft', 'in_review', 'approved', 'scheduled', 'applied', 'rejected', 'cancelled', 'stale'] as const),
]

/** In which states a request can still be agreed to or applied. */
export const LIVE_STATES: readonly ChangeState[] = ['in_review', 'approved', 'scheduled']
const OPEN_STATES: readonly ChangeState[] = ['draft', 'stale', ...LIVE_STATES]

/** How far ahead a request can be scheduled. */
const MAX_SCHEDULE_DAYS = 90

/** What a request asks for, as it was looked at. */
export interface Content {
  readonly assessment: Assessment
  readonly items: readonly ChangeItem[]
  readonly effect: EffectSummary
  readonly applyAt: string | null
  readonly why: Why
}

/** @param now - epoch milliseconds */
export function openRequest(
  id: string,
  content: Content,
  author: Actor,
  draft: boolean,
  policies: readonly Policy[],
  now: number,
): Result<ChangeRequestRow, Refusal> {
  const at = new Date(now).toISOString()
  return withContent(
    {
      ...EMPTY,
      id,
      kind: 'change',
      state: draft ? 'draft' : 'in_review',
      author: author.id,
      author_key: author.apiKey,
      people: [...author.people],
      created_at: at,
      updated_at: at,
      revision: 0,
    },
    content,
    policies,
    now,
  )
}

const EMPTY = { problem: null, applied_at: null, reviewed_at: null, reviewed_by: null, review: null }

/** By the author only: who edits a request is one of those who must not approve it. */
export function editRequest(
  change: ChangeRequestRow,
  content: Content,
  editor: Actor,
  policies: readonly Policy[],
  now: number,
): Result<ChangeRequestRow, Refusal> {
  if (change.author !== editor.id) return err('change_not_yours')
  if (!OPEN_STATES.includes(change.state)) return err('change_state')
  const state = change.state === 'draft' ? ('draft' as const) : ('in_review' as const)
  const people = [...new Set([...change.people, ...editor.people])]
  return withContent({ ...change, state, people }, content, policies, now)
}

/** Asks for approval: of a draft, or again of what has become stale. */
export function submitRequest(
  change: ChangeRequestRow,
  content: Content,
  author: Actor,
  policies: readonly Policy[],
  now: number,
): Result<ChangeRequestRow, Refusal> {
  if (change.author !== author.id) return err('change_not_yours')
  if (change.state !== 'draft' && change.state !== 'stale') return err('change_state')
  const people = [...new Set([...change.people, ...author.people])]
  return withContent({ ...change, state: 'in_review', people }, content, policies, now)
}

type Framed = Omit<
  ChangeRequestRow,
  | ('items' | 'rows' | 'environments' | 'flags' | 'required' | 'effect' | 'digest')
  | ('approvals' | 'apply_at' | 'reason' | 'ticket')
>

function withContent(
  framed: Framed,
  { assessment, items, effect, applyAt, why }: Content,
  policies: readonly Policy[],
  now: number,
): Result<ChangeRequestRow, Refusal> {
  if (applyAt !== null && !isSchedulable(Date.parse(applyAt), now)) return err('apply_at_invalid')
  const row = {
    ...framed,
    ...{ items: [...items], rows: [...assessment.rows], environments: [...assessment.environments] },
    flags: [...assessment.foreignFlags],
    ...{ effect, digest: assessment.digest, apply_at: applyAt, problem: null },
    ...{ reason: why.reason, ticket: why.ticket },
    // An approval is for what was there before.
    approvals: [],
  }
  return ok(settled(row, assessment.guarded, policies, now))
}

const isSchedulable = (at: number, now: number): boolean => at > now && at <= now + MAX_SCHEDULE_DAYS * DAY_MS

/** One more revision, approved if enough have agreed. */
function settled(
  change: Omit<ChangeRequestRow, 'required'>,
  guarded: readonly string[],
  policies: readonly Policy[],
  now: number,
): ChangeRequestRow {
  const agreed = change.state === 'in_review' && isAgreed(change, guarded, policies)
  const approved = change.apply_at === null ? ('approved' as const) : ('scheduled' as const)
  return revised(
    {
      ...change,
      state: agreed ? approved : change.state,
      problem: agreed ? null : change.problem,
      required: approvalsRequired(guarded, policies),
    },
    now,
  )
}

/**
 * @param assessment - of the request as it would be now; `undefined` where it would be refused
 * @param owns - the flags in question that the approver owns
 */
export function approveRequest(
  change: ChangeRequestRow,
  digest: string,
  assessment: Assessment | undefined,
  approver: Actor,
  owns: readonly string[],
  policies: readonly Policy[],
  now: number,
): Result<ChangeRequestRow, Refusal> {
  // A policy may have come to ask for more since.
  const lacking =
    (change.state === 'approved' || change.state === 'scheduled') &&
    assessment !== undefined &&
    !isAgreed(change, assessment.guarded, policies)
  if (change.state !== 'in_review' && !lacking) return err('change_state')
  if (change.people.includes(UNKNOWN_PERSON)) return err('author_unknown')
  if (!isKnown(approver)) return err('approver_unknown')
  if (approver.people.some((person) => change.people.includes(person))) return err('self_approval')
  const before = change.approvals.flatMap(({ people }) => people)
  if (approver.people.some((person) => before.includes(person))) return err('already_approved')
  if (digest !== change.digest) return err('digest_mismatch')
  if (!assessment || assessment.digest !== change.digest) return ok(staleRequest(change, 'moved', now))
  const at = new Date(now).toISOString()
  const approval = {
    ...{ actor: approver.id, api_key: approver.apiKey, people: [...approver.people] },
    ...{ owns: [...owns], digest, at },
  }
  return ok(
    settled(
      { ...change, state: 'in_review', approvals: [...change.approvals, approval] },
      assessment.guarded,
      policies,
      now,
    ),
  )
}

export function rejectRequest(
  change: ChangeRequestRow,
  rejecter: Actor,
  now: number,
): Result<ChangeRequestRow, Refusal> {
  if (!LIVE_STATES.includes(change.state)) return err('change_state')
  if (rejecter.people.some((person) => change.people.includes(person))) return err('self_rejection')
  return ok(revised({ ...change, state: 'rejected' }, now))
}

/** @param mayCancelAny - whether the role allows it, not authorship */
export function cancelRequest(
  change: ChangeRequestRow,
  actor: Actor,
  mayCancelAny: boolean,
  now: number,
): Result<ChangeRequestRow, Refusal> {
  if (!OPEN_STATES.includes(change.state)) return err('change_state')
  if (change.author !== actor.id && !mayCancelAny) return err('change_not_yours')
  return ok(revised({ ...change, state: 'cancelled' }, now))
}

/** Applied where everything is as it was approved; stale where it is not. */
export function applyRequest(
  change: ChangeRequestRow,
  assessment: Result<Assessment, Refusal>,
  policies: readonly Policy[],
  now: number,
): Result<ChangeRequestRow, Refusal> {
  const due = change.apply_at === null || Date.parse(change.apply_at) <= now
  if (change.state === 'in_review') return err('approvals_missing')
  if (change.state !== 'approved' && change.state !== 'scheduled') return err('change_state')
  if (!due) return err('change_not_due')
  if (!assessment.ok) return ok(staleRequest(change, assessment.reason, now))
  if (assessment.value.digest !== change.digest) return ok(staleRequest(change, 'moved', now))
  // The policy may ask for more than it did. What was scheduled is not tried again and again, but waits for that.
  if (!isAgreed(change, assessment.value.guarded, policies)) {
    if (change.state !== 'scheduled') return err('approvals_missing')
    return ok(revised({ ...change, state: 'in_review', problem: 'approvals_missing' }, now))
  }
  return ok(revised({ ...change, state: 'applied', applied_at: new Date(now).toISOString() }, now))
}

/** @param problem - `moved`, or why it would be refused now */
export const staleRequest = (change: ChangeRequestRow, problem: string, now: number): ChangeRequestRow =>
  revised({ ...change, state: 'stale', problem }, now)

/** Somebody else has looked at what was done without asking. */
export function reviewBreakGlass(
  change: ChangeRequestRow,
  review: string,
  reviewer: Actor,
  now: number,
): Result<ChangeRequestRow, Refusal> {
  if (change.kind !== 'break_glass') return err('change_not_break_glass')
  if (change.reviewed_at !== null) return err('change_reviewed')
  if (!isKnown(reviewer)) return err('approver_unknown')
  if (reviewer.people.some((person) => change.people.includes(person))) return err('self_approval')
  const reviewed_at = new Date(now).toISOString()
  return ok(revised({ ...change, reviewed_at, reviewed_by: reviewer.id, review }, now))
}

/** A person, or a key of which it is known who can have it. */
const isKnown = ({ people }: Actor): boolean => people.length > 0 && !people.includes(UNKNOWN_PERSON)

const revised = (change: ChangeRequestRow, now: number): ChangeRequestRow => ({
  ...change,
  updated_at: new Date(now).toISOString(),
  revision: change.revision + 1,
})
