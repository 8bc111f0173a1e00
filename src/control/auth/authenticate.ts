/**
 * Headers -> the authenticated actor. Does I/O for API keys, and for key sets that are not cached.
 *
 * Exactly one set of credentials counts. Two `Authorization` headers, which arrive joined by a comma, are none.
 */
import { eq } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { sha256Hex } from '../canonical.ts'
import type { Database } from '../db/client.ts'
import { api_keys } from '../db/schema.ts'
import type { Refusal } from '../refusals.ts'
import { type Actor, UNKNOWN_PERSON } from './actor.ts'
import { looksLikeApiKey, parseApiKey, sameDigest } from './secrets.ts'
import type { TokenVerifier } from './tokens.ts'

const BEARER = /^Bearer ([\w.~+/-]+=*)$/i

export async function authenticate(
  headers: Headers,
  verifier: TokenVerifier,
  db: Database,
  now: number,
): Promise<Result<Actor, Refusal>> {
  const authorization = headers.get('authorization')
  if (authorization === null) {
    const assertion = headers.get('cf-access-jwt-assertion')
    return assertion === null ? err('unauthenticated') : verifier.verifyAccessAssertion(assertion, now)
  }
  const bearer = BEARER.exec(authorization)?.[1]
  if (bearer === undefined) return err('token_refused')
  return looksLikeApiKey(bearer) ? authenticateKey(bearer, db, now) : verifier.verifyAccessToken(bearer, now)
}

async function authenticateKey(bearer: string, db: Database, now: number): Promise<Result<Actor, Refusal>> {
  const presented = parseApiKey(bearer)
  if (!presented) return err('token_refused')
  const [key] = await db.select().from(api_keys).where(eq(api_keys.id, presented.id))
  const digest = await sha256Hex(presented.secret)
  if (!key || !sameDigest(digest, key.secret_hash)) return err('token_refused')
  if (key.revoked_at !== null || Date.parse(key.ends_at) <= now) return err('token_refused')
  const { owner, created_by, environments } = key
  return ok({
    id: owner,
    roles: [key.role],
    apiKey: key.id,
    environments: environments ?? null,
    teams: [],
    people: [...new Set([owner, created_by ?? UNKNOWN_PERSON])],
  })
}
