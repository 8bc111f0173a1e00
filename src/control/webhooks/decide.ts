/**
 * A group of events decided one on what the other made, to be committed together; and what follows where something is
 * taken away. Reads through `State`.
 */

import { type Evaluation, evaluateEdits } from '../effects/evaluate.ts'
import { byContract } from '../entities/contract.ts'
import type { Edit } from '../entities/edit.ts'
import type { CommandRegistry, Facts, Step } from '../ledger/command.ts'
import type { State } from '../ledger/state.ts'
import { prefetchOf } from './about.ts'
import { Attempt, contractEntities, eventName } from './attempt.ts'
import { type Decided, type Incoming, knownRows } from './inbox_rows.ts'

export interface Group {
  /** What has come in. */
  readonly incoming: readonly Incoming[]
  /** Contracts whose events may wait although what they are based on is there. */
  readonly contracts?: readonly string[]
}

export interface Made {
  readonly ok: true
  readonly value: readonly Decided[]
  readonly evaluation: Evaluation
  /** Contracts of which more events can be applied than this commit takes. */
  readonly unfinished: readonly string[]
}

/** The events that wait for one of these contracts to change, parsed again; the first revision first. */
export type Waiting = (entities: readonly string[]) => Promise<readonly Incoming[]>

const editsOf = (decided: readonly Decided[]): Edit[] =>
  decided.flatMap(({ applied }) => applied.steps.map(({ edit }) => edit))

const prefetchAll = (group: readonly Incoming[]) => {
  const all = group.map(({ arrival: { source, parsed } }) =>
    prefetchOf(source, parsed.ok ? parsed.value : []),
  )
  return {
    mappings: all.flatMap(({ mappings }) => mappings),
    organizations: [...new Set(all.flatMap(({ organizations }) => organizations))],
    contracts: [...new Set(all.flatMap(({ contracts }) => contracts))],
    plans: [...new Set(all.flatMap(({ plans }) => plans))],
    flags: [...new Set(all.flatMap(({ flags }) => flags))],
  }
}

/** Everything that the events will ask for, in two round trips: what they name, and what the contracts have. */
async function readAhead(state: State, events: readonly Incoming[]): Promise<void> {
  const named = prefetchAll(events)
  const [rows] = await Promise.all([
    state.rows('contracts').by(byContract, named.contracts),
    state.rows('contracts').loadMany(named.contracts),
    state.rows('organizations').loadMany(named.organizations),
    state.rows('plans').loadMany(named.plans),
    state.rows('flags').loadMany(named.flags),
    state
      .rows('mappings')
      .loadMany(
        named.mappings.flatMap(({ source, external_id }) =>
          ['plan', 'flag', 'org'].map((kind) => [source, kind, external_id]),
        ),
      ),
  ])
  const others = (all: readonly (string | null)[], known: readonly string[]) =>
    [...new Set(all)].filter((one) => one !== null && !known.includes(one)) as string[]
  const organizations = others(
    rows.map(({ org }) => org),
    named.organizations,
  )
  const plans = others(
    rows.map(({ plan }) => plan),
    named.plans,
  )
  const flags = others(
    rows.flatMap(({ add }) => add),
    named.flags,
  )
  await Promise.all([
    state.rows('organizations').loadMany(organizations),
    state.rows('plans').loadMany(plans),
    state.rows('flags').loadMany(flags),
  ])
}

/**
 * Decides what has come in, one event after the other; and what waited for one of them, right behind it. So they are
 * committed together, and none is left to wait for something that is there.
 */
export async function decideGroup(
  group: Group,
  facts: Facts,
  book: CommandRegistry,
  waiting: Waiting,
): Promise<Made | { ok: false; reason: 'flags_exclusive' }> {
  const {
    policies,
    state: { db },
  } = facts
  const [known, waited] = await Promise.all([
    knownRows(db, group.incoming),
    waiting([...new Set([...(group.contracts ?? []), ...group.incoming.flatMap(contractEntities)])]),
  ])
  const own = new Set(group.incoming.map(eventName))
  const followers = waited.filter((follower) => !own.has(eventName(follower)))
  await readAhead(facts.state, [...group.incoming, ...followers])
  const attempt = new Attempt({ facts, book, known, followers })
  for (const contract of group.contracts ?? []) await attempt.follow(contract)
  for (const incoming of group.incoming) await attempt.take(incoming)
  const decided = attempt.finish()
  const evaluated = await evaluateEdits(db, editsOf(decided), { policies, now: facts.now })
  if (!evaluated.ok) return evaluated
  const flags = await revokeOnLoss(decided, evaluated.value, facts)
  return {
    ...{ ok: true, value: decided, unfinished: [...attempt.unfinished] },
    evaluation: { ...evaluated.value, flags },
  }
}

/**
 * Where a change takes something from an organization whose flag's policy wants it, the tokens that are out are refused
 * by live verification from now on: one more step behind the last one about that organization.
 *
 * @returns the flags of every step, in their order
 */
async function revokeOnLoss(
  decided: readonly Decided[],
  { effects, flags }: Evaluation,
  facts: Facts,
): Promise<(readonly string[])[]> {
  const perStep = [...flags]
  const lost = effects.filter(({ at, lost }) => at === null && lost.organizations.length > 0)
  const revoking = (
    await facts.state.rows('flags').loadMany([...new Set(lost.map(({ flag }) => flag))].sort())
  )
    .filter(({ revoke_on_loss }) => revoke_on_loss)
    .map(({ key }) => key)
  const organizations = [
    ...new Set(lost.filter(({ flag }) => revoking.includes(flag)).flatMap(({ lost }) => lost.organizations)),
  ]
  for (const org of organizations) {
    const position = decided.findLastIndex(({ applied }) =>
      applied.steps.some(({ edit }) => edit.table === 'contracts' && edit.after.org === org),
    )
    const event = decided[position]
    const before = await facts.state.after(editsOf(decided)).rows('organizations').load(org)
    const last = event?.applied.steps.at(-1)
    if (!event || !before || !last) continue
    const not_before = Math.max(before.not_before, Math.ceil(facts.now / 1000))
    const at = new Date(facts.now).toISOString()
    const after = { ...before, not_before, updated_at: at, revision: before.revision + 1 }
    const step: Step = {
      ...last,
      edit: { table: 'organizations', before, after },
      action: 'organization.revoke',
    }
    event.applied = { ...event.applied, steps: [...event.applied.steps, step] }
    perStep.splice(editsOf(decided.slice(0, position + 1)).length - 1, 0, [])
  }
  return perStep
}
