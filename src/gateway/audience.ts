/**
 * Whether an access token is meant for the services behind this gateway: by its audience or, without one, by its client.
 * Pure. It applies to upstream's tokens and, in verification, to the gateway's own, which keep both.
 */
import { audiences, type Claims, isForAudience, stringClaim } from '../core/claims.ts'
import type { Config } from './config.ts'

/** The claims that can name the client: RFC 9068 and Cognito, OpenID Connect, Okta, Entra's v1 tokens. */
const CLIENT_CLAIMS = ['client_id', 'azp', 'cid', 'appid']

/**
 * - A token with an audience needs one of the configured audiences, if there are any.
 * - One without (Cognito, Kinde, Hydra) needs a configured client. WorkOS tokens name neither.
 */
export function isForServices(
  claims: Claims,
  { profile, audiences: accepted, clientIds }: Config['upstream'],
): boolean {
  const named = audiences(claims).filter((audience) => audience !== '')
  if (named.length > 0 && accepted.length > 0) return isForAudience(claims, accepted)
  if (profile === 'workos') return true
  const client = CLIENT_CLAIMS.map((name) => stringClaim(claims, name)).find((id) => id !== undefined)
  return client !== undefined && clientIds.includes(client)
}
