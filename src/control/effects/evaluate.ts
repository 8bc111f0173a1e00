/** Edits -> who gains or loses what by all of them together, and where they break an exclusion or contradict a contract. Does I/O. */
import { err, ok, type Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { RuleRow } from '../db/rows.ts'
import { type Edit, environmentsOf, filingOf } from '../entities/edit.ts'
import type { Policy } from '../entities/entity.ts'
import { type Contradiction, contradictionsOf } from './contradictions.ts'
import { effectOf, type FlagEffect, type Subjects } from './diff.ts'
import { violates } from './exclusions.ts'
import { loadSlice } from './slice.ts'

export interface Evaluation {
  readonly effects: readonly FlagEffect[]
  /** The flags that each edit could affect, in the order of the edits. */
  readonly flags: readonly (readonly string[])[]
  /** The contracts that a rule contradicts although it must not. */
  readonly contradictions: readonly Contradiction[]
}

export const noEffects = (edits: readonly unknown[]): Evaluation => ({
  effects: [],
  flags: edits.map(() => []),
  contradictions: [],
})

export interface EvaluationOptions {
  readonly policies: readonly Policy[]
  /** Epoch milliseconds. */
  readonly now: number
  /** The rules among the edits that must not contradict a contract. */
  readonly checked?: readonly RuleRow[]
}

/** Who gains and who loses by the edits. Refuses if somebody would have two flags that exclude each other. */
export async function evaluateEdits(
  db: Database,
  edits: readonly Edit[],
  { policies, now, checked = [] }: EvaluationOptions,
): Promise<Result<Evaluation, 'flags_exclusive'>> {
  // A policy that is set in the same commit applies to it.
  const set = edits.flatMap((edit) => (edit.table === 'policies' ? [edit.after] : []))
  const exclusions = [...policies, ...set].flatMap(({ environment, exclusive }) =>
    exclusive.map((flags) => ({ environment, flags })),
  )
  const slice = await loadSlice(db, edits, {
    environments: policies.map(({ environment }) => environment),
    now,
    together: exclusions.map(({ flags }) => flags),
    everyContract: checked.some(({ access, percentage }) => access === 'all' || (percentage ?? 0) > 0),
  })
  if (!slice) return ok(noEffects(edits))
  const { before, after, question, flags } = slice
  if (violates(before, after, question, exclusions)) return err('flags_exclusive')
  return ok({
    effects: effectOf(before, after, question),
    flags,
    contradictions: checked.length === 0 ? [] : contradictionsOf(before, after, checked, now),
  })
}

/** The part of an effective diff that belongs to one of several edits. */
export function effectsOf(
  { effects, flags }: Evaluation,
  position: number,
  edit: Edit,
  all: readonly string[],
): FlagEffect[] {
  const environments = environmentsOf(edit, all)
  const { org, user } = filingOf(edit)
  const narrow = org !== null || user !== null
  const only = ({ organizations, users }: Subjects): Subjects => ({
    organizations: organizations.filter((id) => id === org),
    users: users.filter((id) => id === user),
  })
  return effects
    .filter(({ environment, flag }) => environments.includes(environment) && flags[position]?.includes(flag))
    .map((effect) => (narrow ? { ...effect, gained: only(effect.gained), lost: only(effect.lost) } : effect))
    .filter(({ gained, lost }) =>
      [gained, lost].some(({ organizations, users }) => organizations.length + users.length > 0),
    )
}
