/**
 * How every write is committed: command -> edits with their effective diff -> one D1 batch of mutations, audit rows and
 * outbox rows. Does I/O.
 *
 * The head of the audit chain is read first and must still be the head when the batch commits, because the batch takes
 * the next `seq`. So everything that was read in between is still true at the commit, without a lock; the second of two
 * writers decides again on the result of the first. Edits that a policy guards become a change request in the same attempt.
 */
import { desc, inArray } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import { type Database, isOvertaken, isTaken } from '../db/client.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import { audit, policies } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import type { Statement } from '../db/upsert.ts'
import { type Evaluation, noEffects } from '../effects/evaluate.ts'
import { type EffectSummary, summarize } from '../effects/summary.ts'
import { type Edit, type EditOf, environmentsOf, guardedEnvironments, isUnchanged } from '../entities/edit.ts'
import { GENESIS, type Head } from './audit_chain.ts'
import { batchOf } from './batch.ts'
import type { Command, Decided, Decision, Facts, Step } from './command.ts'
import { type Diff, DiffCache } from './diff_cache.ts'
import { findReplay, type IdempotencyClaim, type Replay } from './idempotency.ts'
import { policiesOf } from './policies.ts'
import { State } from './state.ts'

/** How long a command retries when others are faster, and the longest pause between two attempts. */
const GIVE_UP_AFTER_MS = 10_000
const MAX_PAUSE_MS = 50

export type ChangeRequestEdit = EditOf<'change_requests'>

/** A command whose edit a policy guards, with its decision. */
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
  readonly answer?: (outcome: Outcome<E>) => Replay | undefined
  /** Further statements for the same batch. @param seq - of the last audit row; `null`: no row changes */
  readonly alongside?: (seq: number | null) => readonly Statement[]
}

export interface Outcome<E extends Edit | null = Edit> {
  readonly kind: 'committed' | 'unchanged' | 'dry_run' | 'needs_approval'
  readonly edit: E
  readonly effect: EffectSummary
  /** The environments whose policies require approval. */
  readonly guarded: readonly string[]
  /** What the response shows in addition to the row. */
  readonly detail?: unknown
  /** With `needs_approval`: nothing was applied; this change request was opened. */
  readonly request?: ChangeRequestRow
  /** The number of the last audit row; `null` if nothing was written. */
  readonly seq: number | null
}

/** The answer that the same request got before. */
export interface Replayed {
  readonly kind: 'replayed'
  readonly answer: Replay
}

export interface Ledger {
  commit<E extends Edit | null>(
    command: Command<E>,
    actor: Actor,
    options?: CommitOptions<E>,
  ): Promise<Decided<Outcome<E> | Replayed>>
}

/** The decision of an attempt, and the steps that change something. */
interface Made<E extends Edit | null> {
  readonly decision: Decision<E>
  readonly steps: readonly Step[]
}

type Lost = 'overtaken'

export function createLedger(ledger: LedgerOptions): Ledger {
  const { db, clock, environments } = ledger

  async function commit<E extends Edit | null>(
    command: Command<E>,
    actor: Actor,
    options: CommitOptions<E> = {},
  ): Promise<Decided<Outcome<E> | Replayed>> {
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
  ): Promise<Decided<Outcome<E> | Replayed> | Lost> {
    const { idempotency, dryRun = false } = options
    const replay = idempotency ? await findReplay(db, idempotency) : ok(undefined)
    if (!replay.ok) return replay
    if (replay.value) return ok({ kind: 'replayed', answer: replay.value })

    const { head, facts } = await readFacts(actor)
    const decided = await decide(command, facts, options.ifMatch)
    if (!decided.ok) return decided
    const made = decided.value
    const { edit, detail } = made.decision
    const edits = made.steps.map((step) => step.edit)
    if (edits.length === 0) {
      const same = edit && { ...edit, after: edit.before }
      const shown = { kind: 'unchanged' as const, edit: same as E, guarded: [], detail }
      return write(shown, made, { ...noEffects([]), base: 0 }, head, facts, options)
    }

    const required = command.clearance ? [] : guardedEnvironments(edits, facts.policies)
    const diff = await evaluate(command, made, facts, diffs)
    if (!diff.ok) return diff
    const guarded = [...new Set([...required, ...(made.decision.guarded ?? [])])]
    if (dryRun) {
      const effect = await summarize(diff.value.effects, diff.value.base)
      return ok({ kind: 'dry_run', edit, effect, guarded, detail, seq: null })
    }
    if (required.length === 0) {
      return write({ kind: 'committed', edit, guarded, detail }, made, diff.value, head, facts, options)
    }

    if (!command.item || edit === null) return err('approval_required')
    const { steps } = made
    const request = { command: command as unknown as Command, edit, steps, evaluation: diff.value }
    const opened = await decide(ledger.requestApproval(request), facts)
    if (!opened.ok) return opened
    const { after } = opened.value.decision.edit
    const shown = { kind: 'needs_approval' as const, edit, guarded, request: after }
    return write(shown, opened.value, { ...noEffects([after]), base: head.seq }, head, facts, options)
  }

  /** The state before the commit, valid if the head of the chain is the same then. */
  async function readFacts(actor: Actor): Promise<{ head: Head; facts: Facts }> {
    const own = inArray(policies.environment, list(environments))
    const [heads, rows] = await db.batch([headOf(db), db.select().from(policies).where(own)])
    const head = heads[0] ?? { seq: 0, hash: GENESIS }
    const set = policiesOf(rows, environments)
    const state = new State(db)
    return { head, facts: { state, head: head.seq, now: clock(), environments, policies: set, actor } }
  }

  async function decide<E extends Edit | null>(
    command: Command<E>,
    facts: Facts,
    ifMatch?: number,
  ): Promise<Decided<Made<E>>> {
    const decided = await command.decide(facts)
    if (!decided.ok) return decided
    const decision: Decision<E> =
      'table' in decided.value ? { first: [], edit: decided.value } : decided.value
    const { first, edit } = decision
    if (ifMatch !== undefined && ifMatch !== (edit?.before?.revision ?? 0)) return err('revision_conflict')
    const { action, reason, ticket } = command
    const { actor } = facts
    const steps = edit ? [...first, { edit, action, actor, reason, ticket }] : first
    const touched = steps.flatMap((step) => environmentsOf(step.edit, environments))
    if (actor.environments !== null && !touched.every((name) => actor.environments?.includes(name))) {
      return err('environment_forbidden')
    }
    return ok({ decision, steps: first.length === 0 && edit && isUnchanged(edit) ? [] : steps })
  }

  async function evaluate<E extends Edit | null>(
    { checkContracts }: Command<E>,
    { decision, steps }: Made<E>,
    facts: Facts,
    diffs: DiffCache,
  ): Promise<Decided<Diff>> {
    if (decision.evaluation) return ok({ ...decision.evaluation, base: facts.head })
    const edits = steps.map(({ edit }) => edit)
    const checked = checkContracts
      ? edits.flatMap((edit) => (edit.table === 'rules' ? [edit.after] : []))
      : []
    const diff = await diffs.diffOf(edits, facts, checked)
    if (!diff.ok || diff.value.contradictions.length === 0) return diff
    return { ok: false, reason: 'contract_contradicts', contradictions: diff.value.contradictions }
  }

  async function write<E extends Edit | null>(
    shown: Omit<Outcome<E>, 'effect' | 'seq'>,
    { decision, steps }: Made<Edit | null>,
    diff: Diff,
    head: Head,
    { now }: Facts,
    { requestId = crypto.randomUUID(), idempotency, answer, alongside }: CommitOptions<E>,
  ): Promise<Decided<Outcome<E>> | Lost> {
    const seq = steps.length === 0 ? null : head.seq + steps.length
    const outcome = { ...shown, effect: await summarize(diff.effects, diff.base), seq }
    const kept = idempotency && seq !== null ? answer?.(outcome) : undefined
    const replay = idempotency && kept && { ...idempotency, ...kept }
    const { change } = decision
    const batch = await batchOf(db, steps, diff, { head, now, environments, requestId, change, replay })
    const [first, ...others] = [...batch.statements, ...(alongside?.(seq) ?? [])]
    try {
      if (first) await db.batch([first, ...others])
    } catch (error) {
      if (isOvertaken(error) || isTaken(error, 'idempotency.actor')) return 'overtaken'
      throw error
    }
    const edits = steps.map(({ edit }) => edit)
    if (seq !== null) ledger.afterCommit({ seq, edits, environments: batch.environments })
    return ok(outcome)
  }

  return { commit }
}

const headOf = (db: Database) =>
  db.select({ seq: audit.seq, hash: audit.hash }).from(audit).orderBy(desc(audit.seq)).limit(1)

/** The `seq` of the last audit row; 0: there is none. */
export const readHead = async (db: Database): Promise<number> => (await headOf(db))[0]?.seq ?? 0
