/**
 * The one way of every mutation: command -> edits with their effective diff -> one D1 batch of mutations, audit rows and
 * outbox rows. Does I/O.
 *
 * The head of the audit chain is read first and must still be the head when the batch commits, because the batch takes
 * the next `seq`. So whatever was read in between is still true at the commit, without a lock; who comes second decides
 * anew on what the first has left. Only the effective diff, which can take a second for a rule, is kept where nothing but
 * other single organizations or users changed meanwhile, so that a kill gets through any stream of contracts.
 *
 * An edit that the policy of an environment wants approved goes no further than here without a clearance.
 */
import { desc, gt } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import { type Database, isOvertaken, isTaken } from '../db/client.ts'
import { audit } from '../db/schema.ts'
import type { FlagEffect } from '../effects/diff.ts'
import { type Evaluation, effectsOf, evaluateEdits } from '../effects/evaluate.ts'
import { type EffectSummary, NO_EFFECT, summarize } from '../effects/summary.ts'
import { type Edit, environmentsOf, filingOf, isUnchanged, publicRow, sameContent } from '../entities/edit.ts'
import { guardedEnvironments, type Policy, readPolicies } from '../entities/policy.ts'
import type { Refusal } from '../refusals.ts'
import { type AuditEntry, GENESIS, type Head, hashEntry } from './audit_chain.ts'
import { type Committed, commitStatements, type Statement } from './batch.ts'
import type { Command, Decision, Step } from './command.ts'
import { findReplay, type IdempotencyClaim, type Replay } from './idempotency.ts'
import { State } from './state.ts'

/** How long a command tries again when others are faster, and the longest pause between two attempts. */
const GIVE_UP_AFTER_MS = 10_000
const MAX_PAUSE_MS = 50

export interface Submission<E extends Edit> {
  readonly db: Database
  readonly clock: () => number
  readonly environments: readonly string[]
  readonly actor: Actor
  readonly requestId: string
  readonly command: Command<E>
  /** The revision that the caller has read. */
  readonly ifMatch?: number | undefined
  readonly dryRun?: boolean
  readonly idempotency?: IdempotencyClaim | undefined
  /** What is kept for a repetition of the same request; nothing where it may be tried again. */
  readonly answer?: (outcome: Outcome<E>) => Replay | undefined
  /** What else is written in the same batch, if anything is. @param seq - of the last audit row */
  readonly alongside?: (seq: number) => readonly Statement[]
}

export interface Outcome<E extends Edit> {
  readonly edit: E
  /** All edits that were made, the command's own last. */
  readonly edits: readonly Edit[]
  readonly effect: EffectSummary
  /** The environments whose policies would have it approved: of a dry run, and of what is asked for. */
  readonly guarded: readonly string[]
  /** What the answer shows besides the row. */
  readonly detail?: unknown
  /** The last audit row's; `null` for a dry run, and where there was nothing to change. */
  readonly seq: number | null
}

export type Submitted<E extends Edit> = { readonly outcome: Outcome<E> } | { readonly replay: Replay }

export async function submit<E extends Edit>(
  submission: Submission<E>,
): Promise<Result<Submitted<E>, Refusal>> {
  const { clock } = submission
  const giveUpAt = clock() + GIVE_UP_AFTER_MS
  let evaluated: Evaluated | undefined
  for (;;) {
    const attempt = await tryOnce(submission, evaluated)
    if (!('lost' in attempt)) return attempt
    evaluated = attempt.lost
    if (clock() >= giveUpAt) return err('busy')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS))
  }
}

async function tryOnce<E extends Edit>(
  submission: Submission<E>,
  earlier: Evaluated | undefined,
): Promise<Result<Submitted<E>, Refusal> | { lost: Evaluated | undefined }> {
  const { db, environments, actor, command, ifMatch, idempotency } = submission
  if (idempotency) {
    const replay = await findReplay(db, idempotency)
    if (!replay.ok) return replay
    if (replay.value) return ok({ replay: replay.value })
  }
  const head = await readHead(db)
  const now = submission.clock()
  const decided = await command.decide({ state: new State(db), head: head.seq, now, environments, actor })
  if (!decided.ok) return decided
  const decision: Decision<E> = 'table' in decided.value ? { first: [], edit: decided.value } : decided.value
  const { edit } = decision
  if (ifMatch !== undefined && ifMatch !== revisionOf(edit.before)) return err('revision_conflict')
  const own: Step = { ...command, actor, ...decision.own, edit }
  const steps = [...decision.first, own]
  const edits = steps.map((step) => step.edit)
  const touched = edits.flatMap((one) => environmentsOf(one, environments))
  if (actor.environments !== null && !touched.every((name) => actor.environments?.includes(name))) {
    return err('environment_forbidden')
  }
  if (steps.length === 1 && isUnchanged(edit)) {
    const unchanged = { ...edit, after: edit.before } as E
    return ok({ outcome: { edit: unchanged, edits: [], effect: NO_EFFECT, guarded: [], seq: null } })
  }

  const policies = await readPolicies(db, environments)
  const guarded = command.clearance ? [] : guardedIn(edits, policies)
  if (guarded.length > 0 && !submission.dryRun) return err('approval_required')
  // Whether flags exclude each other depends on other organizations' changes too.
  const excludes = policies.some(({ exclusive }) => exclusive.length > 0)
  const kept = earlier && !excludes && (await stillHolds(db, earlier, edits)) ? earlier : undefined
  const evaluation = kept ?? (await evaluate(db, decision, edits, policies, now, head))
  if ('reason' in evaluation) return evaluation
  const effect = await summaryOf(evaluation.effects, evaluation.base)
  const shown = {
    ...{ edit, edits, effect, detail: decision.detail },
    guarded: [...new Set([...guarded, ...(decision.guarded ?? [])])],
  }
  if (submission.dryRun) return ok({ outcome: { ...shown, seq: null } })

  const committed = await entriesOf(submission, steps, decision, evaluation, head, now)
  const seq = head.seq + committed.length
  const outcome = { ...shown, seq }
  const answered = idempotency && submission.answer?.(outcome)
  const record = answered && { ...idempotency, ...answered }
  const statements = commitStatements(db, committed, environments, record)
  try {
    await db.batch([...statements, ...(submission.alongside?.(seq) ?? [])])
  } catch (error) {
    if (isOvertaken(error) || isTaken(error, 'idempotency.actor')) return { lost: evaluation }
    throw error
  }
  return ok({ outcome })
}

const guardedIn = (edits: readonly Edit[], policies: readonly Policy[]): string[] => [
  ...new Set(edits.flatMap((edit) => guardedEnvironments(edit, policies))),
]

const revisionOf = (row: Edit['before']): number => row?.revision ?? 0

/** An effective diff, with the edits and the state that it is of. */
interface Evaluated extends Evaluation {
  readonly edits: readonly Edit[]
  readonly base: number
}

async function evaluate(
  db: Database,
  { evaluation }: Decision,
  edits: readonly Edit[],
  policies: readonly Policy[],
  now: number,
  { seq: base }: Head,
): Promise<Evaluated | { ok: false; reason: 'flags_exclusive' }> {
  if (evaluation) return { edits, base, ...evaluation }
  const evaluated = await evaluateEdits(db, edits, policies, now)
  return evaluated.ok ? { edits, base, ...evaluated.value } : evaluated
}

const summaryOf = (effects: readonly FlagEffect[], base: number): Promise<EffectSummary> | EffectSummary =>
  effects.length === 0 ? NO_EFFECT : summarize(effects, base)

/** Whether the edits are still the same, and all rows since are about other single organizations or users. */
async function stillHolds(db: Database, { edits, base }: Evaluated, now: readonly Edit[]): Promise<boolean> {
  const same =
    edits.length === now.length &&
    now.every((edit, position) => {
      const before = edits[position]
      return before && sameContent(before.before, edit.before) && sameContent(before.after, edit.after)
    })
  if (!same) return false
  const subjects = new Set(now.map(filingOf).map(({ org, user }) => org ?? user))
  const since = await db.select({ org: audit.org, user: audit.user }).from(audit).where(gt(audit.seq, base))
  return since.every((row) => (row.org !== null || row.user !== null) && !subjects.has(row.org ?? row.user))
}

export async function readHead(db: Database): Promise<Head> {
  const [head] = await db
    .select({ seq: audit.seq, hash: audit.hash })
    .from(audit)
    .orderBy(desc(audit.seq))
    .limit(1)
  return head ?? { seq: 0, hash: GENESIS }
}

/** An audit row a step, each with the part of the effective diff that is its own; what closes a request has all of it. */
async function entriesOf<E extends Edit>(
  { requestId, environments }: Submission<E>,
  steps: readonly Step[],
  { change }: Decision<E>,
  evaluation: Evaluated,
  head: Head,
  now: number,
): Promise<Committed[]> {
  const committed: Committed[] = []
  let { seq, hash: prev } = head
  for (const [position, { edit, action, actor, reason, ticket }] of steps.entries()) {
    const effects =
      edit.table === 'change_requests'
        ? evaluation.effects
        : effectsOf(evaluation, position, edit, environments)
    const entry = {
      ...filingOf(edit),
      seq: ++seq,
      at: new Date(now).toISOString(),
      ...{ actor: actor.id, api_key: actor.apiKey, action, reason, ticket, prev },
      change: change ?? null,
      before: publicRow(edit, 'before'),
      after: publicRow(edit, 'after'),
      effect: await summaryOf(effects, evaluation.base),
      request_id: requestId,
    }
    const hashed: AuditEntry = { ...entry, hash: await hashEntry(entry) }
    prev = hashed.hash
    committed.push({ edit, entry: hashed })
  }
  return committed
}
