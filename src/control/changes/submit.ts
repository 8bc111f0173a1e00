/**
 * The one way of every mutation: command -> edit with its effective diff -> one D1 batch of mutation, audit row and
 * outbox rows. Does I/O.
 *
 * The head of the audit chain is read first and must still be the head when the batch commits, because the batch takes
 * the next `seq`. So whatever was read in between is still true at the commit, without a lock; who comes second decides
 * anew on what the first has left.
 */
import { desc } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { type Database, isTaken } from '../db/client.ts'
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
  for (;;) {
    const attempt = await tryOnce(submission)
    if (attempt !== 'lost') return attempt
    if (clock() >= giveUpAt) return err('busy')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_PAUSE_MS))
  }
}

async function tryOnce<E extends Edit>(
  submission: Submission<E>,
): Promise<Result<Submitted<E>, Refusal> | 'lost'> {
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
  if (isUnchanged(edit)) return ok({ outcome: { edit, effect: NO_EFFECT, seq: null } })

  const slice = await loadSlice(db, edit, environments, now)
  const effect = slice ? await summarize(effectOf(slice.before, slice.after, slice.question)) : NO_EFFECT
  if (dryRun) return ok({ outcome: { edit, effect, seq: null } })

  const entry = await entryOf(submission, edit, effect, head, now)
  const outcome = { edit, effect, seq: entry.seq }
  const kept = idempotency && { ...idempotency, ...submission.answer(outcome) }
  try {
    await db.batch(commitStatements(db, edit, entry, environments, kept))
  } catch (error) {
    if (isTaken(error, 'audit.seq') || isTaken(error, 'idempotency.actor')) return 'lost'
    throw error
  }
  return ok({ outcome })
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
  const content = ({ updated_at: _, revision: __, ...rest }: Edit['after']) => canonical(rest)
  return content(before) === content(after)
}
