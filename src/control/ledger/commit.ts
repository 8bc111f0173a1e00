/**
 * How every write is committed: command -> edits with their effective diff -> one D1 batch of mutations, audit rows and
 * outbox rows. Does I/O.
 *
 * The head of the audit chain is read first and must still be the head when the batch commits, because the batch takes
 * the next `seq`. So everything that was read in between is still true at the commit, without a lock; the second of two
 * writers decides again on the result of the first. Edits that a policy guards become a change request in the same attempt.
 */
import { desc } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import { type Database, isOvertaken, isTaken } from '../db/client.ts'
import { audit, policies } from '../db/schema.ts'
import type { Evaluation } from '../effects/evaluate.ts'
import { noEffects } from '../effects/evaluate.ts'
import { type EffectSummary, NO_EFFECT } from '../effects/summary.ts'
import { type Edit, type EditOf, environmentsOf, guardedEnvironments, isUnchanged } from '../entities/edit.ts'
import { GENESIS, type Head } from './audit_chain.ts'
import { batchOf, type Statement } from './batch.ts'
import type { Command, Decided, Decision, Facts, Step } from './command.ts'
import { type Diff, DiffCache } from './diff_cache.ts'
import { entriesOf, summaryOf } from './entries.ts'
import { findReplay, type IdempotencyClaim, type Replay } from './idempotency.ts'
import { policiesOf } from './policies.ts'
import { State } from './state.ts'

/** How long a command retries when others are faster, and the longest pause between two attempts. */
const GIVE_UP_AFTER_MS = 10_000
const MAX_PAUSE_MS = 50

export type ChangeRequestEdit = EditOf<'change_requests'>

/** A command whose edits a policy guards, with its decision. */
export interface Guarded {
  readonly command: Command
  readonly edit: Edit
  readonly steps: readonly Step[]
  readonly evaluation: Evaluation
}

export interface LedgerOptions {
  readonly db: Database
  /** Epoch milliseconds. */
  readonly clock: () => number
  readonly environments: readonly string[]
  /** Makes the command that opens a change request from a decision. */
  readonly requestApproval: (guarded: Guarded) => Command<ChangeRequestEdit>
  /** Runs after a commit. It must neither wait nor fail. */
  readonly afterCommit: (commit: Commit) => void
}

export interface Commit {
  /** Of the last audit row. */
  readonly seq: number
  readonly edits: readonly Edit[]
  /** The environments whose documents change. */
  readonly environments: readonly string[]
}

export interface CommitOptions<E extends Edit | null = Edit> {
  readonly requestId?: string
  /** The revision that the caller read. */
  readonly ifMatch?: number | undefined
  readonly dryRun?: boolean
  readonly idempotency?: IdempotencyClaim | undefined
  /** The response to store for a repetition of the same request; `undefined` if it may be retried. */
  readonly answer?: (committed: Answerable<E>) => Replay | undefined
  /** Further statements for the same batch. @param seq - of the last audit row; `null`: no row changes */
  readonly alongside?: (seq: number | null) => readonly Statement[]
}

export interface Outcome<E extends Edit | null = Edit> {
  readonly edit: E
  /** All committed edits, the command's own last. */
  readonly edits: readonly Edit[]
  readonly effect: EffectSummary
  /** The environments whose policies require approval: for a dry run, and for a request. */
  readonly guarded: readonly string[]
  /** What the response shows in addition to the row. */
  readonly detail?: unknown
  /** The number of the last audit row; `null` if nothing was written. */
  readonly seq: number | null
}

export type Answerable<E extends Edit | null = Edit> =
  | { readonly kind: 'committed' | 'unchanged' | 'dry_run'; readonly outcome: Outcome<E> }
  /** Not applied: a policy requires approval, and this is the change request. */
  | { readonly kind: 'needs_approval'; readonly outcome: Outcome<ChangeRequestEdit> }

export type Committed<E extends Edit | null = Edit> =
  | Answerable<E>
  | { readonly kind: 'replayed'; readonly answer: Replay }

export interface Ledger {
  commit<E extends Edit | null>(
    command: Command<E>,
    actor: Actor,
    options?: CommitOptions<E>,
  ): Promise<Decided<Committed<E>>>
}

/** The result of an attempt. */
interface Attempt<E extends Edit | null> {
  readonly facts: Facts
  readonly decision: Decision<E>
  readonly steps: readonly Step[]
  readonly edits: readonly Edit[]
}

export function createLedger(ledger: LedgerOptions): Ledger {
  const { db, clock, environments } = ledger

  async function commit<E extends Edit | null>(
    command: Command<E>,
    actor: Actor,
    options: CommitOptions<E> = {},
  ): Promise<Decided<Committed<E>>> {
    const giveUpAt = clock() + GIVE_UP_AFTER_MS
    const diffs = new DiffCache(db)
    for (;;) {
      const result = await attempt(command, actor, options, diffs)
      if (result !== 'overtaken') return result
      if (clock() >= giveUpAt) return err('busy')
      await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS))
    }
  }

  async function attempt<E extends Edit | null>(
    command: Command<E>,
    actor: Actor,
    options: CommitOptions<E>,
    diffs: DiffCache,
  ): Promise<Decided<Committed<E>> | 'overtaken'> {
    const { idempotency, dryRun = false } = options
    const replay = idempotency ? await findReplay(db, idempotency) : ok(undefined)
    if (!replay.ok) return replay
    if (replay.value) return ok({ kind: 'replayed', answer: replay.value })

    const { head, facts } = await readFacts(actor)
    const decided = await decide(command, facts, options.ifMatch)
    if (!decided.ok) return decided
    const made = decided.value
    if (made.steps.length === 0) return unchanged(made, options)

    const guarded = command.clearance ? [] : guardedEnvironments(made.edits, facts.policies)
    const diff = await evaluate(command, made, diffs)
    if (!diff.ok) return diff
    const shown = [...new Set([...guarded, ...(made.decision.guarded ?? [])])]
    if (dryRun) {
      const effect = await summaryOf(diff.value.effects, diff.value.base)
      return ok({ kind: 'dry_run', outcome: outcomeOf(made, effect, shown, null) })
    }
    if (guarded.length === 0) {
      return write(made, diff.value, head, options, (effect, seq) => ({
        kind: 'committed',
        outcome: outcomeOf(made, effect, shown, seq),
      }))
    }

    if (!command.item || !made.decision.edit) return err('approval_required')
    const request = ledger.requestApproval({
      command: command as unknown as Command,
      edit: made.decision.edit,
      steps: made.steps,
      evaluation: diff.value,
    })
    const opened = await decide(request, facts)
    if (!opened.ok) return opened
    const nothing = { ...noEffects(opened.value.edits), base: head.seq }
    return write(opened.value, nothing, head, options, (effect, seq) => ({
      kind: 'needs_approval',
      outcome: outcomeOf(opened.value, effect, guarded, seq),
    }))
  }

  /** The state before the commit, valid if the head of the chain is the same then. */
  async function readFacts(actor: Actor): Promise<{ head: Head; facts: Facts }> {
    const [heads, rows] = await db.batch([headOf(db), db.select().from(policies)])
    const head = heads[0] ?? { seq: 0, hash: GENESIS }
    const facts = {
      state: new State(db),
      head: head.seq,
      now: clock(),
      environments,
      policies: policiesOf(rows, environments),
      actor,
    }
    return { head, facts }
  }

  async function decide<E extends Edit | null>(
    command: Command<E>,
    facts: Facts,
    ifMatch?: number,
  ): Promise<Decided<Attempt<E>>> {
    const decided = await command.decide(facts)
    if (!decided.ok) return decided
    const decision: Decision<E> =
      'table' in decided.value ? { first: [], edit: decided.value } : decided.value
    const { first, edit } = decision
    if (ifMatch !== undefined && ifMatch !== (edit?.before?.revision ?? 0)) return err('revision_conflict')
    const { action, reason, ticket } = command
    const own = edit ? [{ edit, action, actor: facts.actor, reason, ticket }] : []
    const steps = [...first, ...own]
    const { actor } = facts
    const touched = steps.flatMap((step) => environmentsOf(step.edit, environments))
    if (actor.environments !== null && !touched.every((name) => actor.environments?.includes(name))) {
      return err('environment_forbidden')
    }
    const changing = first.length === 0 && edit && isUnchanged(edit) ? [] : steps
    return ok({ facts, decision, steps: changing, edits: changing.map((step) => step.edit) })
  }

  async function evaluate<E extends Edit | null>(
    { checkContracts }: Command<E>,
    { decision, edits, facts }: Attempt<E>,
    diffs: DiffCache,
  ): Promise<Decided<Diff>> {
    if (decision.evaluation) return ok({ ...decision.evaluation, base: facts.head })
    const checked = checkContracts
      ? edits.flatMap((edit) => (edit.table === 'rules' ? [edit.after] : []))
      : []
    const diff = await diffs.diffOf(edits, facts, checked)
    if (!diff.ok || diff.value.contradictions.length === 0) return diff
    return { ok: false, reason: 'contract_contradicts', contradictions: diff.value.contradictions }
  }

  async function unchanged<E extends Edit | null>(
    made: Attempt<E>,
    { alongside }: CommitOptions<E>,
  ): Promise<Decided<Committed<E>>> {
    const { edit } = made.decision
    const [first, ...others] = alongside?.(null) ?? []
    if (first) await db.batch([first, ...others])
    const same = edit && { ...edit, after: edit.before }
    const decision = { ...made.decision, edit: same as E }
    return ok({ kind: 'unchanged', outcome: outcomeOf({ ...made, decision }, NO_EFFECT, [], null) })
  }

  async function write<E extends Edit | null, Made extends Edit | null>(
    { facts, decision, steps, edits }: Attempt<Made>,
    diff: Diff,
    head: Head,
    { requestId = crypto.randomUUID(), idempotency, answer, alongside }: CommitOptions<E>,
    result: (effect: EffectSummary, seq: number) => Answerable<E>,
  ): Promise<Decided<Committed<E>> | 'overtaken'> {
    const entries = await entriesOf(steps, diff, head, {
      ...facts,
      requestId,
      change: decision.change ?? null,
    })
    const seq = head.seq + entries.length
    const committed = result(await summaryOf(diff.effects, diff.base), seq)
    const kept = idempotency && answer?.(committed)
    const batch = batchOf(db, entries, environments, kept && { ...idempotency, ...kept })
    const [first, ...others] = [...batch.statements, ...(alongside?.(seq) ?? [])]
    try {
      await db.batch([first as Statement, ...others])
    } catch (error) {
      if (isOvertaken(error) || isTaken(error, 'idempotency.actor')) return 'overtaken'
      throw error
    }
    ledger.afterCommit({ seq, edits, environments: batch.environments })
    return ok(committed)
  }

  return { commit }
}

const outcomeOf = <E extends Edit | null>(
  { decision: { edit, detail }, edits }: Attempt<E>,
  effect: EffectSummary,
  guarded: readonly string[],
  seq: number | null,
): Outcome<E> => ({ edit, edits, effect, guarded, detail, seq })

const headOf = (db: Database) =>
  db.select({ seq: audit.seq, hash: audit.hash }).from(audit).orderBy(desc(audit.seq)).limit(1)

/** The `seq` of the last audit row; 0: there is none. */
export const readHead = async (db: Database): Promise<number> => (await headOf(db))[0]?.seq ?? 0
