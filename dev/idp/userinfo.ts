/**
 * The userinfo endpoint for access tokens of the API: those that this IdP has signed, and those that the gateway in front
 * of it has signed again. oidc-provider's own, which answers everything else, takes opaque tokens only.
 *
 * Few real providers would trust the gateway's keys; see "userinfo" in docs/clients.md.
 */
import { createRemoteJWKSet, decodeJwt, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { findAccount } from './accounts.ts'

const PATH = '/me'
const BEARER = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i

/** The key set of each issuer whose tokens are taken. */
type TrustedIssuers = ReadonlyMap<string, JWTVerifyGetKey>

/** @param gateway - the address of the gateway in front, if its tokens are taken as well */
export function trustedIssuers(own: { issuer: string; url: string }, gateway?: string): TrustedIssuers {
  const issuers = new Map<string, JWTVerifyGetKey>()
  if (gateway !== undefined) {
    const keys = keySet(`${gateway}/.well-known/jwks.json`)
    // Its issuer follows the trailing slash of upstream's, or is as it was configured.
    for (const issuer of [gateway, `${gateway}/`]) issuers.set(issuer, keys)
  }
  return issuers.set(own.issuer, keySet(`${own.url}/jwks`))
}

const keySet = (url: string): JWTVerifyGetKey => createRemoteJWKSet(new URL(url))

export function userinfo(issuers: TrustedIssuers) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    const token = BEARER.exec(ctx.get('authorization'))?.[1]
    if (ctx.path !== PATH || ctx.method === 'OPTIONS' || token === undefined) return next()
    const account = findAccount(await subjectOf(token, issuers))
    // The token, and no cookie, says who asks.
    ctx.set({ 'access-control-allow-origin': '*', 'cache-control': 'no-store' })
    if (!account) {
      ctx.status = 401
      ctx.set('www-authenticate', 'Bearer error="invalid_token"')
      ctx.body = { error: 'invalid_token', error_description: 'the access token is not valid here' }
      return
    }
    const { id: sub, name, email, organization } = account
    ctx.body = { sub, name, email, org_id: organization.id, org_name: organization.name }
  }
}

/** Whose token it is; a token that is bound to a key is nobody's as a bearer token. */
async function subjectOf(token: string, issuers: TrustedIssuers): Promise<string | undefined> {
  try {
    const issuer = decodeJwt(token).iss ?? ''
    const keys = issuers.get(issuer)
    if (!keys) return undefined
    const { payload } = await jwtVerify(token, keys, { issuer, typ: 'at+jwt' })
    return payload.cnf === undefined ? payload.sub : undefined
  } catch {
    return undefined
  }
}
