/** One commit of a group of events: their steps, their audit rows, and what became of each, or nothing. Does I/O. */
import { err, ok, type Result } from '../../../core/result.ts'
import { systemActor } from '../../auth/actor.ts'
import type { Database } from '../../db/client.ts'
import { documentsOf } from '../../entities/edit.ts'
import type { Command, CommandBook } from '../../ledger/command.ts'
import { submit } from '../../ledger/commit.ts'
import type { Refusal } from '../../refusals.ts'
import { type Decided, decideGroup, type ParsedEvent, stepsOf } from './decide.ts'
import { type Outcome, settle } from './store.ts'

export interface Ledger {
  readonly db: Database
  readonly clock: () => number
  readonly environments: readonly string[]
  readonly commands: CommandBook
  /** Tells the publishers that there is something to publish. */
  readonly wake: (environments: readonly string[]) => void
}

export async function commitGroup(
  group: readonly ParsedEvent[],
  { db, clock, environments, commands: registry, wake }: Ledger,
): Promise<Result<readonly Outcome[], Refusal>> {
  if (group.length === 0) return ok([])
  let made: Decided['events'] = []
  const command: Command = {
    ...{ action: 'inbox.apply', reason: 'As other systems say', ticket: null, input: {} },
    clearance: 'contract',
    async decide(facts) {
      const decided = await decideGroup(group, { facts, registry })
      if (!decided.ok) return decided
      made = decided.events
      const steps = stepsOf(made)
      const last = steps.at(-1)
      if (!last) return err('change_empty')
      return ok({ first: steps.slice(0, -1), edit: last.edit, own: last, evaluation: decided.evaluation })
    },
  }
  const now = () => new Date(clock()).toISOString()
  const submitted = await submit({
    ...{ db, clock, environments, command, actor: systemActor('system:inbox') },
    requestId: crypto.randomUUID(),
    alongside: (seq) => settle(db, outcomesOf(made, seq), now()),
  })
  if (!submitted.ok && submitted.reason !== 'change_empty') return submitted
  if (!submitted.ok) {
    const [first, ...others] = settle(db, outcomesOf(made, null), now())
    if (first) await db.batch([first, ...others])
    return ok(outcomesOf(made, null))
  }
  const { outcome } = submitted.value as Extract<typeof submitted.value, { outcome: unknown }>
  const touched = outcome.edits.flatMap((edit) => documentsOf(edit, environments))
  wake([...new Set(touched.map(({ environment }) => environment))])
  return ok(outcomesOf(made, outcome.seq))
}

/** Each with the last audit row of its own. @param seq - of the last audit row of all */
function outcomesOf(events: Decided['events'], seq: number | null): Outcome[] {
  let next = (seq ?? 0) - stepsOf(events).length
  return events.map(({ event, meaning, verdict }) => {
    next += verdict.steps.length
    return { event, meaning, verdict, seq: seq === null || verdict.steps.length === 0 ? null : next }
  })
}
