/**
 * Token revocation (RFC 7009) of our own access tokens: what upstream has never seen, it cannot revoke.
 *
 * The token and its session go on the denylist. The request then goes on to upstream, which can do nothing with it: the
 * session there goes on, and so do its refreshes, until the refresh token is revoked too. To revoke takes no more than the
 * token itself; a client that names itself must be the one that it was issued to.
 */
import { documentId, stringClaim } from '../../core/claims.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import type { Denylist, DenylistReason, Entry } from '../documents/denylist.ts'
import type { Keyring } from '../signing_keys/keyring.ts'
import { verifyOwnToken } from '../signing_keys/own_token.ts'

/**
 * Revokes one of our own access tokens.
 *
 * @param clientId - the client that asks, as far as it names itself; upstream authenticates it
 * @returns whether it was one of ours, expired or not. Others are upstream's to answer for.
 */
export async function revokeOwnToken(
  token: string,
  clientId: string | undefined,
  context: { config: Config; keyring: Keyring; denylist: Denylist },
  now: number,
): Promise<Result<boolean, DenylistReason | 'token_of_another_client'>> {
  const claims = await verifyOwnToken(token, 'at+jwt', context.config, context.keyring)
  if (!claims) return ok(false)
  const issuedTo = stringClaim(claims, 'client_id')
  // RFC 7009 section 2.1 has an error for it: whoever mistypes would believe that the token is revoked.
  if (clientId !== undefined && issuedTo !== undefined && clientId !== issuedTo)
    return err('token_of_another_client')
  const exp = typeof claims.exp === 'number' ? claims.exp : 0
  if (exp <= Math.floor(now / 1000)) return ok(true)

  const entries: Entry[] = []
  const jti = documentId(claims.jti)
  const sid = documentId(claims.sid)
  // A replay, which lives longer by the reuse interval, has the same id.
  if (jti !== undefined) entries.push({ kind: 'jti', id: jti, until: exp + context.config.reuseSeconds })
  if (sid !== undefined) entries.push(context.denylist.session(sid))
  const added = await context.denylist.add(entries)
  return added.ok ? ok(true) : err(added.reason)
}
