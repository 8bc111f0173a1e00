/** One commit of a group of events, all or nothing: their steps, audit rows and outcomes. Does I/O. */
import { ok, type Result } from '../../../core/result.ts'
import { systemActor } from '../../auth/actor.ts'
import type { Database } from '../../db/client.ts'
import type { Command, CommandRegistry } from '../../ledger/command.ts'
import type { Ledger } from '../../ledger/commit.ts'
import type { Refusal } from '../../refusals.ts'
import { type Decided, decideGroup, type ParsedEvent, stepsOf } from './decide.ts'
import { type Outcome, settle } from './store.ts'

export interface CommitOptions {
  readonly db: Database
  readonly clock: () => number
  readonly ledger: Ledger
  readonly commands: CommandRegistry
}

export async function commitGroup(
  group: readonly ParsedEvent[],
  { db, clock, ledger, commands: registry }: CommitOptions,
): Promise<Result<readonly Outcome[], Refusal>> {
  if (group.length === 0) return ok([])
  let made: Decided['events'] = []
  const command: Command<null> = {
    action: 'inbox.apply',
    reason: 'As other systems say',
    ticket: null,
    clearance: 'contract',
    async decide(facts) {
      const decided = await decideGroup(group, { facts, registry })
      if (!decided.ok) return decided
      made = decided.events
      return ok({ first: stepsOf(made), edit: null, evaluation: decided.evaluation })
    },
  }
  const committed = await ledger.commit(command, systemActor('system:inbox'), {
    alongside: (seq) => settle(db, outcomesOf(made, seq), new Date(clock()).toISOString()),
  })
  if (!committed.ok) return committed
  return ok(outcomesOf(made, 'seq' in committed.value ? committed.value.seq : null))
}

/** Each with the last audit row of its own. @param seq - of the last audit row of all */
function outcomesOf(events: Decided['events'], seq: number | null): Outcome[] {
  let next = (seq ?? 0) - stepsOf(events).length
  return events.map(({ event, meaning, verdict }) => {
    next += verdict.steps.length
    return { event, meaning, verdict, seq: seq === null || verdict.steps.length === 0 ? null : next }
  })
}
