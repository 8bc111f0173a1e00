/**
 * The commands about change requests: what they read from D1, and the decision that uses it.
 *
 * Every decision about a request is based on its effect at that moment, in the same commit, so that nothing can change in
 * between.
 */
import { and, eq, isNull } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { type Actor, isOwner, sharePerson } from '../auth/actor.ts'
import { hasLeft } from '../auth/people.ts'
import { canonical } from '../canonical.ts'
import type { Database } from '../db/client.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import { type ChangeItem, change_requests } from '../db/schema.ts'
import { summarize } from '../effects/summary.ts'
import { byName, foldNames } from '../entities/person.ts'
import type { Command, CommandRegistry, Decided, Decision, Facts, Why } from '../ledger/command.ts'
import type { ChangeRequestEdit, Guarded } from '../ledger/commit.ts'
import type { State } from '../ledger/state.ts'
import type { Refusal } from '../refusals.ts'
import { ADMINS, hasRole } from '../roles.ts'
import { type Assessment, type AssessOptions, assess, type Requested, weigh } from './assess.ts'
import {
  applyRequest,
  approveRequest,
  type Content,
  cancelRequest,
  editRequest,
  LIVE_STATES,
  openRequest,
  recheckRequest,
  rejectRequest,
  reviewBreakGlass,
  submitRequest,
} from './lifecycle.ts'

type ChangeCommand = Command<ChangeRequestEdit>
type ChangeDecision = Decision<ChangeRequestEdit>

export const newChangeId = (): string => `change_${crypto.randomUUID()}`

export interface NewChange extends Omit<Requested, 'why'>, Pick<AssessOptions, 'contradictions'> {
  readonly id: string
  readonly draft: boolean
}

export const openChangeCommand = (change: NewChange, why: Why, registry: CommandRegistry): ChangeCommand => ({
  action: 'change.open',
  ...why,
  async decide(facts) {
    const { contradictions = 'refuse' } = change
    const assessed = await assess({ ...change, why }, facts, { registry, contradictions })
    return assessed.ok ? opened(change.id, assessed.value, facts, change.draft) : assessed
  },
})

/** A command that requires approval, as a change request of its author: made from its decision. */
export const requestApproval =
  (registry: CommandRegistry) =>
  ({ command, edit, steps, evaluation }: Guarded): ChangeCommand => {
    const { reason, ticket } = command
    const why = { reason, ticket }
    return {
      action: 'change.open',
      ...why,
      async decide(facts) {
        const item = command.item?.(edit)
        if (!item || !registry.has(item.action)) return err('approval_required')
        const weighed = await weigh({ items: [item], applyAt: null, why }, steps, evaluation, facts)
        return weighed.ok ? opened(newChangeId(), weighed.value, facts) : weighed
      },
    }
  }

async function opened(
  id: string,
  assessment: Assessment,
  facts: Facts,
  draft = false,
): Promise<Result<ChangeDecision, Refusal>> {
  const change = openRequest(id, await contentOf(assessment, facts), draft, facts)
  if (!change.ok) return change
  const { guarded, evaluation } = assessment
  const detail = { contradictions: evaluation.contradictions }
  return ok({ ...decisionOf(null, change.value), guarded, detail })
}

export interface ChangeOfChange {
  readonly items?: readonly ChangeItem[] | undefined
  readonly applyAt?: string | null | undefined
}

export const editChangeCommand = (
  id: string,
  { items, applyAt }: ChangeOfChange,
  why: Why,
  registry: CommandRegistry,
): ChangeCommand =>
  changeCommand('change.edit', id, why, async (before, facts) => {
    const { items: had, apply_at } = before
    const requested = { items: items ?? had, applyAt: applyAt === undefined ? apply_at : applyAt, why }
    const assessed = await assess(requested, facts, { registry })
    return assessed.ok ? editRequest(before, await contentOf(assessed.value, facts), facts) : assessed
  })

export const submitChangeCommand = (id: string, why: Why, registry: CommandRegistry): ChangeCommand =>
  changeCommand('change.submit', id, why, async (before, facts) => {
    const assessed = await assess(requestedBy(before), facts, { registry })
    return assessed.ok ? submitRequest(before, await contentOf(assessed.value, facts), facts) : assessed
  })

export const approveChangeCommand = (
  id: string,
  digest: string,
  why: Why,
  registry: CommandRegistry,
): ChangeCommand =>
  changeCommand('change.approve', id, why, async (before, facts) => {
    const { state, actor } = facts
    const assessed = await reassess(before, facts, registry)
    const flags = await state.rows('flags').loadMany(before.flags)
    const owns = flags.filter(({ owner }) => isOwner(actor, owner)).map(({ key }) => key)
    return approveRequest(await withStandingApprovals(before, facts), digest, assessed, owns, facts)
  })

export const rejectChangeCommand = (id: string, why: Why): ChangeCommand =>
  changeCommand('change.reject', id, why, async (before, facts) => rejectRequest(before, facts))

export const cancelChangeCommand = (id: string, why: Why): ChangeCommand =>
  changeCommand('change.cancel', id, why, async (before, facts) =>
    cancelRequest(before, hasRole(facts.actor.roles, ADMINS), facts),
  )

export const reviewChangeCommand = (id: string, why: Why): ChangeCommand =>
  changeCommand('change.review', id, why, async (before, facts) =>
    reviewBreakGlass(before, why.reason, facts),
  )

/** All edits of the request and its own state, in one commit. */
export const applyChangeCommand = (id: string, why: Why, registry: CommandRegistry): ChangeCommand => ({
  action: 'change.apply',
  ...why,
  clearance: 'approved',
  async decide(facts) {
    const before = await facts.state.rows('change_requests').load(id)
    if (!before) return err('not_found')
    const assessed = await reassess(before, facts, registry)
    const applied = applyRequest(await withStandingApprovals(before, facts), assessed, facts)
    if (!applied.ok) return applied
    const isApplied = applied.value.state === 'applied' && assessed.ok
    return ok(decisionOf(before, applied.value, isApplied ? assessed.value : undefined))
  },
})

/** Makes a request stale if its effect has changed; else changes nothing. */
export const recheckChangeCommand = (id: string, registry: CommandRegistry): ChangeCommand =>
  changeCommand('change.recheck', id, RECHECK, async (before, facts) => {
    if (!LIVE_STATES.includes(before.state)) return ok(before)
    const assessed = await reassess(before, facts, registry)
    const checked = recheckRequest(await withStandingApprovals(before, facts), assessed, facts)
    return ok(checked.state === before.state ? before : checked)
  })

const RECHECK: Why = { reason: 'What it would do has changed since it was asked for', ticket: null }

/**
 * A change that cannot wait: applied and recorded in one commit, and listed until somebody else has reviewed it.
 *
 * @param item - a command whose effect ends by itself
 */
export const breakGlassCommand = (
  id: string,
  item: ChangeItem,
  why: Why,
  registry: CommandRegistry,
): ChangeCommand => ({
  action: 'change.break_glass',
  ...why,
  clearance: 'break_glass',
  async decide(facts) {
    if (await isRenewal(item, facts.actor, facts.state.db)) return err('break_glass_unreviewed')
    const assessed = await assess({ items: [item], applyAt: null, why }, facts, { registry })
    if (!assessed.ok) return assessed
    const change = openRequest(id, await contentOf(assessed.value, facts), false, facts)
    if (!change.ok) return change
    const applied_at = new Date(facts.now).toISOString()
    const applied = { ...change.value, kind: 'break_glass' as const, state: 'applied' as const, applied_at }
    return ok(decisionOf(null, applied, assessed.value))
  },
})

/** The approvals of people who have not left. Once API keys could approve too; what they approved counts no longer. */
async function withStandingApprovals(change: ChangeRequestRow, { state }: Facts): Promise<ChangeRequestRow> {
  const given = change.approvals.filter(({ api_key }) => api_key === null)
  const gone = await whoLeft(
    given.flatMap(({ people }) => people),
    state,
  )
  return { ...change, approvals: given.filter(({ people }) => !sharePerson(people, gone)) }
}

/** The names of those among these people who have left. */
async function whoLeft(names: readonly string[], state: State): Promise<string[]> {
  const rows = await state.rows('people').by(byName, foldNames(names))
  return rows.filter(hasLeft).flatMap((row) => row.names)
}

/** Whether one of these people has done the same by break-glass, and nobody has reviewed it yet. */
async function isRenewal(item: ChangeItem, { people }: Actor, db: Database): Promise<boolean> {
  const about = ({ input: { environment, flag, subject, effect } }: ChangeItem) =>
    canonical({ environment, flag, subject, effect })
  const unreviewed = await db
    .select({ people: change_requests.people, items: change_requests.items })
    .from(change_requests)
    .where(and(eq(change_requests.kind, 'break_glass'), isNull(change_requests.reviewed_at)))
  return unreviewed.some(
    (one) => sharePerson(one.people, people) && one.items.some((other) => about(other) === about(item)),
  )
}

const changeCommand = (
  action: string,
  id: string,
  why: Why,
  decide: (before: ChangeRequestRow, facts: Facts) => Promise<Decided<ChangeRequestRow>>,
): ChangeCommand => ({
  action,
  ...why,
  async decide(facts) {
    const before = await facts.state.rows('change_requests').load(id)
    if (!before) return err('not_found')
    const decided = await decide(before, facts)
    return decided.ok ? ok(decisionOf(before, decided.value)) : decided
  },
})

/** @param applied - what is done in the same commit */
const decisionOf = (
  before: ChangeRequestRow | null,
  after: ChangeRequestRow,
  applied?: Assessment,
): ChangeDecision => ({
  first: applied?.steps ?? [],
  edit: { table: 'change_requests', before, after },
  change: after.id,
  ...(applied && { evaluation: applied.evaluation }),
})

const contentOf = async (assessment: Assessment, { head }: Facts): Promise<Content> => ({
  ...assessment,
  effect: await summarize(assessment.evaluation.effects, head),
})

const requestedBy = ({ items, apply_at, reason, ticket }: ChangeRequestRow): Requested => ({
  items,
  applyAt: apply_at,
  why: { reason, ticket },
})

/** What the request would do now. Its author's permissions were checked when it was requested. */
async function reassess(
  change: ChangeRequestRow,
  facts: Facts,
  registry: CommandRegistry,
): Promise<Decided<Assessment>> {
  const left = await authorLeft(change, facts)
  if (left) return err(left)
  return assess(requestedBy(change), { ...facts, actor: authorOf(change) }, { registry, authorized: true })
}

/** Why nothing that the author requested is done any more: somebody with a copy of a leaked key may have requested it. */
async function authorLeft(
  { author, author_key, on_behalf_of }: ChangeRequestRow,
  { state, now }: Facts,
): Promise<Refusal | undefined> {
  const behind = on_behalf_of === null ? [] : [on_behalf_of.identity, on_behalf_of.person ?? '']
  if ((await whoLeft([author, ...behind], state)).length > 0) return 'author_gone'
  if (author_key === null) return undefined
  const key = await state.rows('api_keys').load(author_key)
  if (!key || key.revoked_at !== null) return 'author_key_revoked'
  return Date.parse(key.ends_at) <= now ? 'author_key_expired' : undefined
}

const authorOf = ({ author, author_key, on_behalf_of, people }: ChangeRequestRow): Actor => ({
  id: author,
  onBehalfOf: on_behalf_of,
  apiKey: author_key,
  people,
  roles: ['editor'],
  environments: null,
  teams: [],
})
