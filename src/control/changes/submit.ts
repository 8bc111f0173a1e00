/**
 * The one way of every mutation: command -> edit with its effective diff -> one D1 batch of mutation, audit row and
 * outbox rows. Does I/O.
 *
 * The head of the audit chain is read first and must still be the head when the batch commits, because the batch takes
 * the next `seq`. So whatever was read in between is still true at the commit, without a lock; who comes second decides
 * anew on what the first has left. Only the effective diff, which can take a second for a rule, is kept where nothing but
 * other single organizations or users changed meanwhile, so that a kill gets through any stream of contracts.
 */
import { desc, gt } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { type Database, isOvertaken, isTaken } from '../db/client.ts'
import { audit } from '../db/schema.ts'
import { type Edit, environmentsOf, filingOf, publicRow } from '../model/edit.ts'
import { effectOf } from '../model/effect.ts'
import type { Refusal } from '../refusals.ts'
import { type AuditEntry, canonical, GENESIS, type Head, hashEntry } from './chain.ts'
import type { Actor, Command } from './command.ts'
import { findReplay, type IdempotencyClaim, type Replay } from './idempotency.ts'
import { loadSlice } from './slice.ts'
import { type EffectSummary, NO_EFFECT, summarize } from './summary.ts'
import { commitStatements } from './write.ts'

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
  readonly ifMatch: number | undefined
  readonly dryRun: boolean
  readonly idempotency: IdempotencyClaim | undefined
  /** What is kept for a repetition of the same request. */
  readonly answer: (outcome: Outcome<E>) => { status: number; etag: string | null; body: string }
}

export interface Outcome<E extends Edit> {
  readonly edit: E
  readonly effect: EffectSummary
  /** The audit row's; `null` for a dry run, and where there was nothing to change. */
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
  evaluated: Evaluated | undefined,
): Promise<Result<Submitted<E>, Refusal> | { lost: Evaluated | undefined }> {
  const { db, environments, actor, command, ifMatch, dryRun, idempotency } = submission
  if (idempotency) {
    const replay = await findReplay(db, idempotency)
    if (!replay.ok) return replay
    if (replay.value) return ok({ replay: replay.value })
  }
  const head = await readHead(db)
  const now = submission.clock()
  const decided = await command.decide({ db, now, environments, actor })
  if (!decided.ok) return decided
  const edit = decided.value
  if (ifMatch !== undefined && ifMatch !== (edit.before?.revision ?? 0)) return err('revision_conflict')
  const touched = environmentsOf(edit, environments)
  if (actor.environments !== null && !touched.every((name) => actor.environments?.includes(name))) {
    return err('environment_forbidden')
  }
  if (isUnchanged(edit)) {
    return ok({ outcome: { edit: { ...edit, after: edit.before }, effect: NO_EFFECT, seq: null } })
  }

  const kept = evaluated && (await stillHolds(db, evaluated, edit)) ? evaluated.effect : undefined
  const effect = kept ?? (await evaluateEdit(submission, edit, head, now))
  if (dryRun) return ok({ outcome: { edit, effect, seq: null } })

  const entry = await entryOf(submission, edit, effect, head, now)
  const outcome = { edit, effect, seq: entry.seq }
  const replay = idempotency && { ...idempotency, ...submission.answer(outcome) }
  try {
    await db.batch(commitStatements(db, edit, entry, environments, replay))
  } catch (error) {
    if (isOvertaken(error) || isTaken(error, 'idempotency.actor')) return { lost: { edit, effect } }
    throw error
  }
  return ok({ outcome })
}

/** An effective diff that was computed for a batch that came second. */
interface Evaluated {
  readonly edit: Edit
  readonly effect: EffectSummary
}

async function evaluateEdit<E extends Edit>(
  { db, environments }: Submission<E>,
  edit: E,
  head: Head,
  now: number,
): Promise<EffectSummary> {
  const slice = await loadSlice(db, edit, environments, now)
  return slice ? summarize(effectOf(slice.before, slice.after, slice.question), head.seq) : NO_EFFECT
}

/** Whether the edit is still the same, and all rows since are about other single organizations or users. */
async function stillHolds(db: Database, { edit, effect }: Evaluated, now: Edit): Promise<boolean> {
  if (effect.base === null || !sameContent(edit.before, now.before) || !sameContent(edit.after, now.after)) {
    return false
  }
  const { org, user } = filingOf(now)
  const since = await db
    .select({ org: audit.org, user: audit.user })
    .from(audit)
    .where(gt(audit.seq, effect.base))
  return since.every(
    (row) => (row.org !== null || row.user !== null) && (org ?? user) !== (row.org ?? row.user),
  )
}

export async function readHead(db: Database): Promise<Head> {
  const [head] = await db
    .select({ seq: audit.seq, hash: audit.hash })
    .from(audit)
    .orderBy(desc(audit.seq))
    .limit(1)
  return head ?? { seq: 0, hash: GENESIS }
}

async function entryOf<E extends Edit>(
  { actor, requestId, command }: Submission<E>,
  edit: Edit,
  effect: EffectSummary,
  head: Head,
  now: number,
): Promise<AuditEntry> {
  const entry = {
    ...filingOf(edit),
    seq: head.seq + 1,
    at: new Date(now).toISOString(),
    actor: actor.id,
    api_key: actor.apiKey,
    action: command.action,
    before: publicRow(edit.before),
    after: publicRow(edit.after),
    effect,
    reason: command.reason,
    ticket: command.ticket,
    request_id: requestId,
    change: null,
    prev: head.hash,
  }
  return { ...entry, hash: await hashEntry(entry) }
}

/**
 * Whether the edit leaves everything as it is but the marks of the edit itself. A contract's revision is its source's,
 * and is content.
 */
function isUnchanged({ table, before, after }: Edit): boolean {
  if (before === null) return false
  if (table === 'contracts' && before.revision !== after.revision) return false
  return sameContent(before, after)
}

function sameContent(one: Edit['before'], other: Edit['before']): boolean {
  const content = (row: Edit['before']) => {
    if (row === null) return null
    const { updated_at: _, revision: __, ...rest } = row
    return canonical(rest)
  }
  return content(one) === content(other)
}
