/**
 * The bootstrap secret, which takes the place of credentials on one route: there, nobody can have any yet. Pure but for
 * WebCrypto.
 */
import { ok, type Result } from '../../core/result.ts'
import { sha256Hex } from '../canonical.ts'
import type { Refusal } from '../refusals.ts'
import { type Actor, systemActor } from './actor.ts'
import { sameDigest } from './secrets.ts'

const PATH = '/api/v1/bootstrap'

export const BOOTSTRAP: Actor = { ...systemActor('system:bootstrap'), roles: ['admin'] }

/** @returns `undefined`: it is another route, or the bearer is not the secret */
export async function asBootstrap(
  { url, headers }: Request,
  secret: string | undefined,
): Promise<Result<Actor, Refusal> | undefined> {
  if (secret === undefined || new URL(url).pathname !== PATH) return undefined
  const bearer = /^Bearer (\S+)$/i.exec(headers.get('authorization') ?? '')?.[1] ?? ''
  const [given, right] = await Promise.all([sha256Hex(bearer), sha256Hex(secret)])
  return sameDigest(given, right) ? ok(BOOTSTRAP) : undefined
}
