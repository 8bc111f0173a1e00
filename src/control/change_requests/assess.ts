/**
 * What commands come down to before anything is committed: their edits, one decided on what the one before has made, who
 * gains or loses what by all of them together, and the digest that stands for exactly that. Does I/O.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { isOwner } from '../auth/actor.ts'
import { canonical, sha256Hex } from '../canonical.ts'
import type { RuleRow } from '../db/rows.ts'
import type { ChangeItem, RowChange } from '../db/schema.ts'
import type { Contradiction } from '../effects/contradictions.ts'
import type { FlagEffect } from '../effects/diff.ts'
import { type Evaluation, evaluateEdits } from '../effects/evaluate.ts'
import { type Edit, environmentsOf, filingOf, isUnchanged, publicRow } from '../entities/edit.ts'
import { flagsInQuestion, guardedEnvironments, type Policy } from '../entities/policy.ts'
import type { CommandBook, Facts, Step, Why } from '../ledger/command.ts'
import type { State } from '../ledger/state.ts'
import type { Refusal } from '../refusals.ts'
import { hasRole } from '../roles.ts'

/** A request is read by people, and lies in one row. */
const MAX_ROWS_BYTES = 256 * 1024

/** A refusal that says which contracts are contradicted. */
export interface Contradicted {
  readonly ok: false
  readonly reason: 'contract_contradicts'
  readonly contradictions: readonly Contradiction[]
}

export interface Asked {
  readonly items: readonly ChangeItem[]
  /** When it is to be applied, which the effective diff depends on; `null`: now. */
  readonly applyAt: string | null
  readonly why: Why
}

export interface Assessment {
  /** As they were asked for, with what was left to the moment written down. */
  readonly items: readonly ChangeItem[]
  readonly steps: readonly Step[]
  readonly rows: readonly RowChange[]
  readonly evaluation: Evaluation
  /** The environments that something changes in, and those among them whose policies ask for approval. */
  readonly environments: readonly string[]
  readonly guarded: readonly string[]
  /** The flags in question with their owners, and those that the author does not own. */
  readonly foreignFlags: readonly string[]
  readonly digest: string
}

/**
 * Decides items as they would be at the time at which they are to be applied. Whatever is to be asked for, agreed to or
 * applied comes through here, so that nothing that contradicts a contract does.
 *
 * @param facts - with the author of the items as the actor
 * @param checked - whether the author's right to each command was looked at when it was asked for
 */
export async function assess(
  asked: Asked,
  facts: Facts,
  book: CommandBook,
  policies: readonly Policy[],
  checked = false,
): Promise<Result<Assessment, Refusal> | Contradicted> {
  const considered = await consider(asked, facts, book, policies, checked)
  if (!considered.ok) return considered
  const { contradictions } = considered.value.evaluation
  return contradictions.length > 0
    ? { ok: false, reason: 'contract_contradicts', contradictions }
    : considered
}

/** The same, to look at only: contradictions are told, and refuse nothing. */
export async function consider(
  asked: Asked,
  facts: Facts,
  book: CommandBook,
  policies: readonly Policy[],
  checked = false,
): Promise<Result<Assessment, Refusal>> {
  const { actor, environments: all } = facts
  const at = Math.max(facts.now, asked.applyAt === null ? 0 : Date.parse(asked.applyAt))
  const edits: Edit[] = []
  const steps: Step[] = []
  const items: ChangeItem[] = []
  const heeding: RuleRow[] = []
  for (const { action, input } of asked.items) {
    const kind = book.get(action)
    const parsed = kind?.input.strict().safeParse(input)
    if (!kind || !parsed?.success) return err('change_item_invalid')
    if (!checked && !hasRole(actor.roles, kind.roles)) return err('role_missing')
    const command = kind.give(parsed.data, asked.why)
    const decided = await command.decide({ ...facts, now: at, state: facts.state.after(edits) })
    if (!decided.ok) return decided
    if (!('table' in decided.value)) return err('change_item_invalid')
    items.push({ action, input: kind.freeze(parsed.data, decided.value) as ChangeItem['input'] })
    if (isUnchanged(decided.value)) continue
    edits.push(decided.value)
    if (kind.heedsContracts && decided.value.table === 'rules') heeding.push(decided.value.after)
    steps.push({ edit: decided.value, action, actor, ...asked.why })
  }
  if (edits.length === 0) return err('change_empty')
  const evaluated = await evaluateEdits(facts.state.db, edits, policies, at, heeding)
  if (!evaluated.ok) return evaluated

  const rows = steps.map(({ edit, action }) => rowChange(edit, action, new Date(at).toISOString()))
  if (JSON.stringify(rows).length > MAX_ROWS_BYTES) return err('change_too_large')
  const { effects } = evaluated.value
  const environments = all.filter((name) => edits.some((edit) => environmentsOf(edit, all).includes(name)))
  const guarded = policies
    .map(({ environment }) => environment)
    .filter((name) => edits.some((edit) => guardedEnvironments(edit, policies).includes(name)))
  const { applyAt } = asked
  const asksOwners = policies.some(
    ({ environment, owner_approves }) => owner_approves && guarded.includes(environment),
  )
  const owners = asksOwners ? await ownersOf(facts.state, edits, effects) : []
  return ok({
    ...{ items, steps, rows, evaluation: evaluated.value, environments, guarded },
    foreignFlags: owners.filter(([, owner]) => !isOwner(actor, owner)).map(([flag]) => flag),
    digest: await sha256Hex(canonical({ items, apply_at: applyAt, rows, effects, owners })),
  })
}

/** Members that say when and how often a row was touched, not what it is. */
const MARKS = ['updated_at', 'created_at', 'revision']

/** What an edit does to its row; what it sets to this very moment is told as `now`, since that moves on. */
function rowChange(edit: Edit, action: string, now: string): RowChange {
  const [before, after] = [publicRow(edit, 'before'), publicRow(edit, 'after') ?? {}]
  const marks = edit.table === 'contracts' ? MARKS.filter((name) => name !== 'revision') : MARKS
  const differing = Object.keys(after).filter(
    (name) => !marks.includes(name) && (before === null || !same(before[name], after[name])),
  )
  const told = (value: unknown) => (value === now ? 'now' : value)
  return {
    entity: filingOf(edit).entity,
    action,
    members: Object.fromEntries(
      differing.map((name) => [
        name,
        { ...(before !== null && { before: before[name] }), after: told(after[name]) },
      ]),
    ),
  }
}

const same = (one: unknown, other: unknown): boolean => canonical(one ?? null) === canonical(other ?? null)

/** Of the flags that the edits are about, or that somebody gains or loses by them, the owners that they had before. */
async function ownersOf(
  state: State,
  edits: readonly Edit[],
  effects: readonly FlagEffect[],
): Promise<[string, string][]> {
  const keys = [...new Set([...edits.flatMap(flagsInQuestion), ...effects.map(({ flag }) => flag)])].sort()
  const flags = await state.flags(keys)
  return keys.flatMap((key): [string, string][] => {
    const flag = flags.find((one) => one.key === key)
    return flag ? [[key, flag.owner]] : []
  })
}
