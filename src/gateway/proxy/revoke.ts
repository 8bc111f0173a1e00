/**
 * Token revocation (RFC 7009) of the gateway's own access tokens, which upstream has never seen and cannot revoke.
 *
 * The token and its session are put on the denylist. The request is then passed on to upstream, which can do nothing with it:
 * the session there continues, and so do its refreshes, until the refresh token is revoked too. The token itself is enough
 * to revoke it; a client that names itself must be the one that it was issued to.
 */
import { documentId, stringClaim } from '../../core/claims.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import type { Denylist, DenylistReason, Entry } from '../documents/denylist.ts'
import type { Keyring } from '../signing_keys/keyring.ts'
import { verifyOwnToken } from '../signing_keys/own_token.ts'

/**
 * Revokes one of the gateway's own access tokens.
 *
 * @param clientIds - the client, if it names itself, in each reading of its name; upstream authenticates it
 * @returns whether it was one of the gateway's, expired or not. Upstream answers for others.
 */
export async function revokeOwnToken(
  token: string,
  clientIds: readonly string[],
  context: { config: Config; keyring: Keyring; denylist: Denylist },
  now: number,
): Promise<Result<boolean, DenylistReason | 'token_of_another_client'>> {
  const claims = await verifyOwnToken(token, 'at+jwt', context.config, context.keyring)
  if (!claims) return ok(false)
  const issuedTo = stringClaim(claims, 'client_id')
  // RFC 7009 section 2.1 has an error for it: otherwise a typing mistake would look like a revocation.
  if (clientIds.length > 0 && issuedTo !== undefined && !clientIds.includes(issuedTo))
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
