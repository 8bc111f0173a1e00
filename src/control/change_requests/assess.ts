/**
 * What a change request would do, before anything is committed: its edits, each decided on the result of those before, who
 * gains or loses what by all of them together, and the digest of exactly that. Does I/O.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { isOwner } from '../auth/actor.ts'
import { canonical, sha256Hex } from '../canonical.ts'
import type { RuleRow } from '../db/rows.ts'
import type { ChangeItem, RowChange } from '../db/schema.ts'
import type { FlagEffect } from '../effects/diff.ts'
import { type Evaluation, evaluateEdits } from '../effects/evaluate.ts'
import {
  type Edit,
  environmentsOf,
  filingOf,
  flagsInQuestion,
  isUnchanged,
  marksOf,
  publicRow,
  type Requirement,
} from '../entities/edit.ts'
import type { CommandRegistry, Decided, Facts, Step, Why } from '../ledger/command.ts'
import { requirementsIn } from '../ledger/requirements.ts'
import type { State } from '../ledger/state.ts'
import type { Refusal } from '../refusals.ts'
import { hasRole } from '../roles.ts'

/** People read a request, and it is stored in one row. */
const MAX_ROWS_BYTES = 256 * 1024

export interface Requested {
  readonly items: readonly ChangeItem[]
  /** When it is applied, which the effective diff depends on; `null`: now. */
  readonly applyAt: string | null
  readonly why: Why
}

/** The items as requested, with every value that depends on the current time filled in; and what they do. */
export interface Assessment extends Requested {
  readonly steps: readonly Step[]
  readonly rows: readonly RowChange[]
  readonly evaluation: Evaluation
  /** The environments with changes, and what the policies among them require. */
  readonly environments: readonly string[]
  readonly requirements: readonly Requirement[]
  /** The affected flags that the author does not own, where a policy requires their owners' approval. */
  readonly flagsNeedingOwner: readonly string[]
  readonly digest: string
}

export interface AssessOptions {
  readonly registry: CommandRegistry
  /** The author's permissions were checked when it was requested. */
  readonly authorized?: boolean
  /** What happens to contradictions of contracts. Default: refuse. */
  readonly contradictions?: 'refuse' | 'show'
}

/**
 * Decides items as they would be at the time at which they are to be applied.
 *
 * @param facts - with the author of the items as the actor
 */
export async function assess(
  { items, applyAt, why }: Requested,
  facts: Facts,
  { registry, authorized = false, contradictions = 'refuse' }: AssessOptions,
): Promise<Decided<Assessment>> {
  const now = timeOf(applyAt, facts.now)
  const { actor, policies, state } = facts
  const steps: Step[] = []
  const frozen: ChangeItem[] = []
  const checked: RuleRow[] = []
  for (const { action, input } of items) {
    const kind = registry.get(action)
    const parsed = kind?.input.strict().safeParse(input)
    if (!kind || !parsed?.success) return err('change_item_invalid')
    if (!authorized && !hasRole(actor.roles, kind.roles)) return err('role_missing')
    const command = kind.create(parsed.data, why)
    const decided = await command.decide({ ...facts, now, state: state.after(editsOf(steps)) })
    if (!decided.ok) return decided
    const { first, edit } = 'table' in decided.value ? { first: [], edit: decided.value } : decided.value
    if (!command.item) return err('change_item_invalid')
    frozen.push(command.item(edit))
    steps.push(...first)
    if (isUnchanged(edit)) continue
    steps.push({ edit, action, actor, ...why })
    if (command.checkContracts && edit.table === 'rules') checked.push(edit.after)
  }
  if (steps.length === 0) return err('change_empty')
  const evaluated = await evaluateEdits(state.db, editsOf(steps), { policies, now, checked })
  if (!evaluated.ok) return evaluated
  const found = evaluated.value.contradictions
  if (contradictions === 'refuse' && found.length > 0) {
    return { ok: false, reason: 'contract_contradicts', contradictions: found }
  }
  return weigh({ items: frozen, applyAt, why }, steps, evaluated.value, facts)
}

const editsOf = (steps: readonly Step[]): Edit[] => steps.map(({ edit }) => edit)

const timeOf = (applyAt: string | null, now: number): number =>
  Math.max(now, applyAt === null ? 0 : Date.parse(applyAt))

/** Assesses steps that are already decided. */
export async function weigh(
  requested: Requested,
  steps: readonly Step[],
  evaluation: Evaluation,
  { actor, policies, environments: all, now, state }: Facts,
): Promise<Result<Assessment, Refusal>> {
  const { items, applyAt } = requested
  const at = new Date(timeOf(applyAt, now)).toISOString()
  const rows = steps.map((step) => rowChange(step, at))
  if (JSON.stringify(rows).length > MAX_ROWS_BYTES) return err('change_too_large')
  const edits = editsOf(steps)
  const { effects } = evaluation
  const requirements = await requirementsIn({ policies, state }, edits, effects)
  const owners = requirements.some((one) => one.asksOwners) ? await ownersOf(state, edits, effects) : []
  return ok({
    ...requested,
    steps,
    rows,
    evaluation,
    environments: all.filter((name) => edits.some((edit) => environmentsOf(edit, all).includes(name))),
    requirements,
    flagsNeedingOwner: owners.filter(([, owner]) => !isOwner(actor, owner)).map(([flag]) => flag),
    digest: await sha256Hex(canonical({ items, apply_at: applyAt, rows, effects, owners })),
  })
}

/** What an edit does to its row. A value that it sets to the current time is shown as `now`, because that changes. */
function rowChange({ edit, action }: Step, now: string): RowChange {
  const [before, after] = [publicRow(edit, 'before'), publicRow(edit, 'after') ?? {}]
  const marks = marksOf(edit.table)
  const differing = Object.keys(after).filter(
    (name) => !marks.includes(name) && (before === null || !same(before[name], after[name])),
  )
  return {
    entity: filingOf(edit).entity,
    action,
    members: Object.fromEntries(
      differing.map((name) => [
        name,
        { ...(before && { before: before[name] }), after: after[name] === now ? 'now' : after[name] },
      ]),
    ),
  }
}

const same = (one: unknown, other: unknown): boolean => canonical(one ?? null) === canonical(other ?? null)

/** The previous owners of the flags that the edits affect, or that somebody gains or loses by them. */
async function ownersOf(
  state: State,
  edits: readonly Edit[],
  effects: readonly FlagEffect[],
): Promise<[string, string][]> {
  const keys = [...edits.flatMap(flagsInQuestion), ...effects.map(({ flag }) => flag)]
  const flags = await state.rows('flags').loadMany([...new Set(keys)])
  return flags.map(({ key, owner }): [string, string] => [key, owner]).sort(([a], [b]) => (a < b ? -1 : 1))
}
