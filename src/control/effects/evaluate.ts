/** Edits -> who gains or loses what by all of them together, and where they contradict a policy or a contract. Does I/O. */
import { err, ok, type Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { RuleRow } from '../db/rows.ts'
import { type Edit, environmentsOf, filingOf } from '../entities/edit.ts'
import type { Policy } from '../entities/policy.ts'
import { type Contradiction, contradictionsOf } from './contradictions.ts'
import { effectOf, type FlagEffect, type Subjects, violates } from './diff.ts'
import { loadSlice } from './world.ts'

export interface Evaluation {
  readonly effects: readonly FlagEffect[]
  /** The flags that each edit could change something about, in the order of the edits. */
  readonly flags: readonly (readonly string[])[]
  /** Where a rule that must not contradict a contract does. */
  readonly contradictions: readonly Contradiction[]
}

/**
 * Who gains and who loses by the edits, unless somebody would have two flags that exclude each other.
 *
 * @param heeding - the rules among the edits that must not contradict a contract
 */
export async function evaluateEdits(
  db: Database,
  edits: readonly Edit[],
  policies: readonly Policy[],
  now: number,
  heeding: readonly RuleRow[] = [],
): Promise<Result<Evaluation, 'flags_exclusive'>> {
  // A policy that is set together with other things holds for them.
  const set = edits.flatMap((edit) => (edit.table === 'policies' ? [edit.after] : []))
  const exclusions = [...policies, ...set].flatMap(({ environment, exclusive }) =>
    exclusive.map((flags) => ({ environment, flags })),
  )
  const environments = policies.map(({ environment }) => environment)
  const slice = await loadSlice(
    db,
    edits,
    environments,
    now,
    exclusions.map(({ flags }) => flags),
    heeding.some(({ access, percentage }) => access === 'all' || (percentage ?? 0) > 0),
  )
  if (!slice) return ok({ effects: [], flags: edits.map(() => []), contradictions: [] })
  const effects = effectOf(slice.before, slice.after, slice.question)
  if (violates(slice.before, slice.after, slice.question, exclusions)) return err('flags_exclusive')
  const contradictions = contradictionsOf(slice.before, slice.after, heeding, now)
  return ok({ effects, flags: slice.flags, contradictions })
}

/** The part of an effective diff that one of several edits is about. */
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
