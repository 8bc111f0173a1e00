/**
 * Headers -> the authenticated actor, with what is known of the person. Does I/O.
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
import { asKnown, onBehalfOf, withKnownOwner } from './people.ts'
import { looksLikeApiKey, parseApiKey, sameDigest } from './secrets.ts'
import type { TokenVerifier } from './tokens.ts'

const BEARER = /^Bearer ([\w.~+/-]+=*)$/i

export async function authenticate(
  headers: Headers,
  verifier: TokenVerifier,
  db: Database,
  now: number,
): Promise<Result<Actor, Refusal>> {
  const behind = headers.get('remint-on-behalf-of')
  const authorization = headers.get('authorization')
  const bearer = authorization === null ? null : (BEARER.exec(authorization)?.[1] ?? '')
  if (bearer !== null && looksLikeApiKey(bearer)) {
    const actor = await authenticateKey(bearer, db, now)
    if (!actor.ok) return actor
    const known = await withKnownOwner(actor.value, db)
    if (!known.ok || behind === null) return known
    const identity = await verifier.verifyCiToken(behind, now)
    return identity.ok ? onBehalfOf(known.value, identity.value, db) : identity
  }
  const person = await authenticatePerson(bearer, headers.get('cf-access-jwt-assertion'), verifier, now)
  if (!person.ok) return person
  return behind === null ? asKnown(person.value, db) : err('on_behalf_of_refused')
}

/** @param bearer - `null`: there is no `Authorization` header; empty: it is not of the form */
async function authenticatePerson(
  bearer: string | null,
  assertion: string | null,
  verifier: TokenVerifier,
  now: number,
): Promise<Result<Actor, Refusal>> {
  if (bearer === '') return err('token_refused')
  if (bearer !== null) return verifier.verifyAccessToken(bearer, now)
  return assertion === null ? err('unauthenticated') : verifier.verifyAccessAssertion(assertion, now)
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
