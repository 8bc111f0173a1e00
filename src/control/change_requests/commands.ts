/**
 * The commands about change requests: what they read of D1, and the decision they hand it to.
 *
 * Whatever is decided about a request is decided on what it would do at that moment, in the same commit, so that nothing
 * else can come in between.
 */

import { and, eq, inArray, isNotNull, isNull } from 'drizzle-orm'
import { ok, type Result } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import { isOwner } from '../auth/actor.ts'
import { canonical } from '../canonical.ts'
import type { Database } from '../db/client.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import { api_keys, type ChangeItem, change_requests } from '../db/schema.ts'
import { summarize } from '../effects/summary.ts'
import type { Edit } from '../entities/edit.ts'
import { type Policy, readPolicies } from '../entities/policy.ts'
import type { Command, CommandBook, Facts, Why } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { ADMINS, hasRole } from '../roles.ts'
import { type Assessment, assess, consider } from './assess.ts'
import {
  applyRequest,
  approveRequest,
  cancelRequest,
  editRequest,
  LIVE_STATES,
  openRequest,
  rejectRequest,
  reviewBreakGlass,
  staleRequest,
  submitRequest,
} from './lifecycle.ts'

export type ChangeEdit = Extract<Edit, { table: 'change_requests' }>

export interface NewChange {
  readonly id: string
  readonly items: readonly ChangeItem[]
  readonly applyAt: string | null
  readonly draft: boolean
  /** For a dry run: what contradicts a contract is told, not refused. */
  readonly lookOnly?: boolean
}

export const newChangeId = (): string => `change_${crypto.randomUUID()}`

export const openChangeCommand = (change: NewChange, why: Why, book: CommandBook): Command<ChangeEdit> => ({
  action: 'change.open',
  ...why,
  input: {},
  async decide(facts) {
    const policies = await readPolicies(facts.state.db, facts.environments)
    const looked = await lookAt(
      { ...change, why },
      facts,
      book,
      policies,
      change.lookOnly ? consider : assess,
    )
    if (!looked.ok) return looked
    const opened = openRequest(change.id, looked.value, facts.actor, change.draft, policies, facts.now)
    if (!opened.ok) return opened
    const { guarded, evaluation } = looked.value.assessment
    const { contradictions } = evaluation
    const edit = edited(null, opened.value)
    return ok({ first: [], edit, change: change.id, guarded, detail: { contradictions } })
  },
})

export interface ChangeOfChange {
  readonly items?: readonly ChangeItem[] | undefined
  readonly applyAt?: string | null | undefined
}

export const editChangeCommand = (
  id: string,
  { items, applyAt }: ChangeOfChange,
  why: Why,
  book: CommandBook,
): Command<ChangeEdit> =>
  changeCommand('change.edit', id, why, async (before, facts) => {
    const policies = await readPolicies(facts.state.db, facts.environments)
    const asked = { items: items ?? before.items, applyAt: applyAt === undefined ? before.apply_at : applyAt }
    const looked = await lookAt({ ...asked, why }, facts, book, policies)
    return looked.ok ? editRequest(before, looked.value, facts.actor, policies, facts.now) : looked
  })

export const submitChangeCommand = (id: string, why: Why, book: CommandBook): Command<ChangeEdit> =>
  changeCommand('change.submit', id, why, async (before, facts) => {
    const policies = await readPolicies(facts.state.db, facts.environments)
    const looked = await lookAt(askedOf(before), facts, book, policies)
    return looked.ok ? submitRequest(before, looked.value, facts.actor, policies, facts.now) : looked
  })

export const approveChangeCommand = (
  id: string,
  digest: string,
  why: Why,
  book: CommandBook,
): Command<ChangeEdit> =>
  changeCommand('change.approve', id, why, async (before, facts) => {
    const { state, now, actor } = facts
    const policies = await readPolicies(state.db, facts.environments)
    const assessed = await reassess(before, facts, book, policies)
    const flags = await state.flags(before.flags)
    const owns = flags.filter(({ owner }) => isOwner(actor, owner)).map(({ key }) => key)
    const current = assessed.ok ? assessed.value : undefined
    const standing = await withStandingApprovals(before, state.db)
    return approveRequest(standing, digest, current, actor, owns, policies, now)
  })

export const rejectChangeCommand = (id: string, why: Why): Command<ChangeEdit> =>
  changeCommand('change.reject', id, why, async (before, { actor, now }) => rejectRequest(before, actor, now))

export const cancelChangeCommand = (id: string, why: Why): Command<ChangeEdit> =>
  changeCommand('change.cancel', id, why, async (before, { actor, now }) =>
    cancelRequest(before, actor, hasRole(actor.roles, ADMINS), now),
  )

export const reviewChangeCommand = (id: string, why: Why): Command<ChangeEdit> =>
  changeCommand('change.review', id, why, async (before, { actor, now }) =>
    reviewBreakGlass(before, why.reason, actor, now),
  )

/** Everything that the request asks for, and that it is applied: one commit. */
export const applyChangeCommand = (id: string, why: Why, book: CommandBook): Command<ChangeEdit> => ({
  action: 'change.apply',
  ...why,
  input: {},
  clearance: 'approved',
  async decide(facts) {
    const before = await facts.state.change(id)
    if (!before) return { ok: false, reason: 'not_found' }
    const policies = await readPolicies(facts.state.db, facts.environments)
    const assessed = await reassess(before, facts, book, policies)
    const standing = await withStandingApprovals(before, facts.state.db)
    const applied = applyRequest(standing, assessed, policies, facts.now)
    if (!applied.ok) return applied
    const edit = edited(before, applied.value)
    if (applied.value.state !== 'applied' || !assessed.ok) return ok({ first: [], edit, change: id })
    const { steps, evaluation } = assessed.value
    return ok({ first: steps, edit, evaluation, change: id })
  },
})

/** Looks whether a request is still what was asked for, and makes it stale if not; else it changes nothing. */
export const recheckChangeCommand = (id: string, book: CommandBook): Command<ChangeEdit> =>
  changeCommand('change.recheck', id, RECHECK, async (before, facts) => {
    const policies = await readPolicies(facts.state.db, facts.environments)
    if (!LIVE_STATES.includes(before.state)) return ok(before)
    const assessed = await reassess(before, facts, book, policies)
    if (assessed.ok && assessed.value.digest === before.digest) return ok(before)
    return ok(staleRequest(before, assessed.ok ? 'moved' : assessed.reason, facts.now))
  })

const RECHECK: Why = { reason: 'What it would do has changed since it was asked for', ticket: null }

/**
 * Something that cannot wait: done and told in one commit, and on the list until somebody else has looked at it.
 *
 * @param item - a command whose effect ends by itself
 */
export const breakGlassCommand = (
  id: string,
  item: ChangeItem,
  why: Why,
  book: CommandBook,
): Command<ChangeEdit> => ({
  action: 'change.break_glass',
  ...why,
  input: {},
  clearance: 'break_glass',
  async decide(facts) {
    const policies = await readPolicies(facts.state.db, facts.environments)
    if (await isRenewal(item, facts.actor, facts.state.db))
      return { ok: false, reason: 'break_glass_unreviewed' }
    const looked = await lookAt({ items: [item], applyAt: null, why }, facts, book, policies)
    if (!looked.ok) return looked
    const opened = openRequest(id, looked.value, facts.actor, false, policies, facts.now)
    if (!opened.ok) return opened
    const at = new Date(facts.now).toISOString()
    const applied = {
      ...opened.value,
      kind: 'break_glass' as const,
      state: 'applied' as const,
      applied_at: at,
    }
    const { steps, evaluation } = looked.value.assessment
    return ok({ first: steps, edit: edited(null, applied), evaluation, change: id })
  },
})

/** Without what was approved by a key that is revoked since. */
async function withStandingApprovals(change: ChangeRequestRow, db: Database): Promise<ChangeRequestRow> {
  const keys = change.approvals.flatMap(({ api_key }) => (api_key === null ? [] : [api_key]))
  if (keys.length === 0) return change
  const revoked = await db
    .select({ id: api_keys.id })
    .from(api_keys)
    .where(and(inArray(api_keys.id, keys), isNotNull(api_keys.revoked_at)))
  const gone = new Set<string | null>(revoked.map(({ id }) => id))
  return { ...change, approvals: change.approvals.filter(({ api_key }) => !gone.has(api_key)) }
}

/** Whether one of these people has given the same by break-glass, and nobody has looked at it yet. */
async function isRenewal(item: ChangeItem, { people }: Actor, db: Database): Promise<boolean> {
  const about = ({ input: { environment, flag, subject, effect } }: ChangeItem) =>
    canonical({ environment, flag, subject, effect })
  const unreviewed = await db
    .select({ people: change_requests.people, items: change_requests.items })
    .from(change_requests)
    .where(and(eq(change_requests.kind, 'break_glass'), isNull(change_requests.reviewed_at)))
  return unreviewed.some(
    (one) =>
      one.people.some((person) => people.includes(person)) &&
      one.items.some((it) => about(it) === about(item)),
  )
}

function changeCommand(
  action: string,
  id: string,
  why: Why,
  decide: (before: ChangeRequestRow, facts: Facts) => Promise<Result<ChangeRequestRow, Refusal>>,
): Command<ChangeEdit> {
  return {
    action,
    ...why,
    input: {},
    async decide(facts) {
      const before = await facts.state.change(id)
      if (!before) return { ok: false, reason: 'not_found' }
      const decided = await decide(before, facts)
      return decided.ok ? ok({ first: [], edit: edited(before, decided.value), change: id }) : decided
    },
  }
}

const edited = (before: ChangeRequestRow | null, after: ChangeRequestRow): ChangeEdit => ({
  ...{ table: 'change_requests', before, after },
})

interface AskedFor {
  readonly items: readonly ChangeItem[]
  readonly applyAt: string | null
  readonly why: Why
}

const askedOf = ({ items, apply_at, reason, ticket }: ChangeRequestRow): AskedFor => ({
  ...{ items, applyAt: apply_at, why: { reason, ticket } },
})

async function lookAt(
  asked: AskedFor,
  facts: Facts,
  book: CommandBook,
  policies: readonly Policy[],
  look: typeof consider = assess,
) {
  const assessed = await look(asked, facts, book, policies)
  if (!assessed.ok) return assessed
  const { evaluation, items } = assessed.value
  const effect = await summarize(evaluation.effects, facts.head)
  return ok({ ...asked, assessment: assessed.value, items, effect })
}

/** What the request would do now. Whether its author may ask for it was looked at when it was asked for. */
const reassess = (
  change: ChangeRequestRow,
  facts: Facts,
  book: CommandBook,
  policies: readonly Policy[],
): Promise<Result<Assessment, Refusal>> =>
  assess(askedOf(change), { ...facts, actor: authorOf(change) }, book, policies, true)

const authorOf = ({ author, author_key, people }: ChangeRequestRow): Actor => ({
  ...{ id: author, apiKey: author_key, people },
  ...{ roles: ['editor'], environments: null, teams: [] },
})
