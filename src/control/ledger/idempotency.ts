/**
 * Idempotency-Key: a repeated write returns the first response and does nothing. Does I/O.
 *
 * The record commits in the batch of its mutation, so there is never one without the other. Refusals are not stored: a
 * refused write did nothing, and may be retried with the same key.
 */
import { and, eq, lt } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import { sha256Hex } from '../canonical.ts'
import type { Database } from '../db/client.ts'
import { idempotency } from '../db/schema.ts'
import type { Refusal } from '../refusals.ts'

/** How long a repetition is recognized. */
export const IDEMPOTENCY_HOURS = 24

const KEY = /^[\w.:-]{1,128}$/

export interface IdempotencyClaim {
  readonly actor: string
  readonly key: string
  /** SHA-256 over the request. */
  readonly request: string
}

export interface Replay {
  readonly status: number
  readonly etag: string | null
  readonly body: string
}

/** @param request - method, path with query, If-Match and body, as they were sent */
export async function claimOf(
  header: string | undefined,
  actor: Actor,
  request: readonly string[],
): Promise<Result<IdempotencyClaim | undefined, Refusal>> {
  if (header === undefined) return ok(undefined)
  if (!KEY.test(header)) return err('idempotency_key_invalid')
  const who = actor.apiKey === null ? actor.id : `key:${actor.apiKey}`
  return ok({ actor: who, key: header, request: await sha256Hex(JSON.stringify(request)) })
}

export async function findReplay(
  db: Database,
  claim: IdempotencyClaim,
): Promise<Result<Replay | undefined, Refusal>> {
  const [kept] = await db
    .select()
    .from(idempotency)
    .where(and(eq(idempotency.actor, claim.actor), eq(idempotency.key, claim.key)))
  if (!kept) return ok(undefined)
  return kept.request === claim.request ? ok(kept) : err('idempotency_key_reused')
}

/** @param now - epoch milliseconds */
export async function forgetReplays(db: Database, now: number): Promise<void> {
  const before = new Date(now - IDEMPOTENCY_HOURS * 3_600_000).toISOString()
  await db.delete(idempotency).where(lt(idempotency.created_at, before))
}
