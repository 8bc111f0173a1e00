/**
 * The commands of promotion: one that promotes a rule, and one that requests everything that differs at once.
 *
 * A rule is promoted as it was compared: both revisions are part of the command, so that the request becomes stale if
 * either side changes.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import { newChangeId, openChangeCommand } from '../change_requests/commands.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import type { ChangeItem } from '../db/schema.ts'
import type { Contradiction } from '../effects/contradictions.ts'
import { NO_EFFECT } from '../effects/summary.ts'
import type { EditOf } from '../entities/edit.ts'
import { environmentName, flagKey } from '../entities/fields.ts'
import { isPublished } from '../entities/projection.ts'
import {
  type Command,
  type CommandRegistry,
  commandKind,
  type Decision,
  type Why,
} from '../ledger/command.ts'
import type { ChangeRequestEdit } from '../ledger/commit.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS } from '../roles.ts'
import { type Comparison, compare, type Differing, isNext, type Selection, UNSET } from './compare.ts'

/** The limit of a change request. */
const MAX_ITEMS = 100

type RuleEdit = EditOf<'rules'>

export const rulePromote = commandKind({
  action: 'rule.promote',
  roles: EDITORS,
  checkContracts: true,
  input: z.object({
    flag: flagKey,
    from: environmentName,
    to: environmentName,
    from_revision: z.int().min(1),
    to_revision: z.int().min(0),
  }),
  async decide(
    { flag, from, to, from_revision, to_revision },
    { state, now, environments, actor },
  ): Promise<Result<RuleEdit, Refusal>> {
    const next = isNext(from, to, environments)
    if (!next.ok) return next
    if (environmentsFor(actor, [from, to]).length < 2) return err('environment_forbidden')
    const [existing, source, target] = await Promise.all([
      state.rows('flags').load(flag),
      state.rows('rules').load([from, flag]),
      state.rows('rules').load([to, flag]),
    ])
    if (!existing) return err('not_found')
    if (!isPublished(existing)) return err('promotion_unpublished')
    const { revision } = target ?? UNSET
    if (source?.revision !== from_revision || revision !== to_revision) return err('promotion_moved')
    const { access, percentage } = source
    const after = {
      ...(target ?? { flag, environment: to, killed: false }),
      access,
      percentage,
      updated_at: new Date(now).toISOString(),
      revision: revision + 1,
    }
    return ok({ table: 'rules', before: target ?? null, after })
  },
})

export interface Promotion extends Selection {
  readonly from: string
  readonly to: string
  readonly apply_at: string | null
}

/** What the response shows about a promotion besides its change request. */
export interface PromotionDetail extends Comparison {
  readonly from: string
  readonly to: string
  readonly contradictions: readonly Contradiction[]
  readonly dryRun: boolean
}

/**
 * Requests everything that differs, except what is left out, as one change request.
 *
 * @param dryRun - also shows promotions that a contract contradicts, and empty ones
 */
export const promoteCommand = (
  promotion: Promotion,
  why: Why,
  registry: CommandRegistry,
  dryRun: boolean,
): Command<ChangeRequestEdit> => ({
  action: 'change.open',
  ...why,
  async decide(facts) {
    const { from, to, apply_at: applyAt } = promotion
    const next = isNext(from, to, facts.environments)
    if (!next.ok) return next
    if (environmentsFor(facts.actor, [from, to]).length < 2) return err('environment_forbidden')
    const compared = await compare(facts.state.db, from, to, promotion)
    if (!compared.ok) return compared
    const { taken } = compared.value
    const comparison = { from, to, ...compared.value, dryRun }
    if (taken.length === 0 && dryRun) return ok(emptyPromotion(comparison, facts.now))
    if (taken.length > MAX_ITEMS && !dryRun) return err('change_too_large')
    // Each item reads these; one by one they would be more queries than an invocation may make.
    await facts.state.rows('flags').loadMany(taken.map(({ flag }) => flag))
    const sides = taken.flatMap(({ flag }) => [from, to].map((environment) => [environment, flag]))
    await facts.state.rows('rules').loadMany(sides)
    const items = taken.map((one) => itemOf(one, from, to))
    const contradictions = dryRun ? 'show' : 'refuse'
    const change = { id: newChangeId(), items, applyAt, draft: false, contradictions } as const
    const opened = await openChangeCommand(change, why, registry).decide(facts)
    if (!opened.ok || 'table' in opened.value) return opened
    const detail = { ...(opened.value.detail as Pick<PromotionDetail, 'contradictions'>), ...comparison }
    return ok({ ...opened.value, detail })
  },
})

const itemOf = ({ flag, from: source, to: target }: Differing, from: string, to: string): ChangeItem => ({
  action: 'rule.promote',
  input: { flag, from, to, from_revision: source.revision, to_revision: target.revision },
})

/** Stands for the change request where both environments have the same rules. */
function emptyPromotion(
  comparison: Omit<PromotionDetail, 'contradictions'>,
  now: number,
): Decision<ChangeRequestEdit> {
  const at = new Date(now).toISOString()
  const row: ChangeRequestRow = {
    id: '',
    kind: 'change',
    state: 'draft',
    author: '',
    author_key: null,
    on_behalf_of: null,
    people: [],
    items: [],
    rows: [],
    environments: [],
    flags: [],
    required: 0,
    effect: NO_EFFECT,
    digest: '',
    approvals: [],
    apply_at: null,
    reason: '',
    ticket: null,
    problem: null,
    applied_at: null,
    reviewed_at: null,
    reviewed_by: null,
    review: null,
    created_at: at,
    updated_at: at,
    revision: 0,
  }
  const edit: ChangeRequestEdit = { table: 'change_requests', before: null, after: row }
  return { first: [], edit, detail: { ...comparison, contradictions: [] } }
}
