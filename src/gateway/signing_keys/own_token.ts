/**
 * Claims of a token that this gateway signed, or upstream did, of any purpose and age: hints at log-out, tokens to revoke.
 *
 * Not for access: expiry, audience and binding are not checked.
 */
import { type CryptoKey, compactVerify } from 'jose'
import { type Claims, environmentOf } from '../../core/claims.ts'
import { readJwsHeader } from '../../core/jws.ts'
import { type Config, isOwnIssuer } from '../config.ts'
import type { UpstreamKeys } from './upstream_keys.ts'

const claimsOf = async (token: string, key: CryptoKey): Promise<Claims> =>
  JSON.parse(new TextDecoder().decode((await compactVerify(token, key)).payload))

interface Keys {
  find(kid: string | undefined, alg: string): CryptoKey | undefined
}

/** @param typ - `at+jwt` for an access token, `jwt` for an ID token. @returns `undefined` if the gateway did not sign it. */
export async function verifyOwnToken(
  token: string,
  typ: 'at+jwt' | 'jwt',
  config: Config,
  keys: Keys,
): Promise<Claims | undefined> {
  const header = readJwsHeader(token)
  if (!header.ok || header.value.typ !== typ) return undefined
  const key = keys.find(header.value.kid, header.value.alg)
  if (!key) return undefined
  try {
    const claims = await claimsOf(token, key)
    // An ID token does not name its environment: it holds no flags.
    if (
      typ === 'at+jwt' &&
      claims.feature_flags_meta !== undefined &&
      environmentOf(claims) !== config.environment
    )
      return undefined
    return isOwnIssuer(claims.iss, config) ? claims : undefined
  } catch {
    return undefined
  }
}

/** An ID token of upstream's as a hint. @returns `undefined` if no key that is known now has signed it */
export async function verifyUpstreamHint(
  hint: string,
  { upstream }: Config,
  keys: UpstreamKeys,
): Promise<Claims | undefined> {
  const header = readJwsHeader(hint)
  if (!header.ok || !['jwt', undefined].includes(header.value.typ)) return undefined
  const current = await keys.current()
  for (const key of current.ok ? current.value.candidates(header.value.kid, header.value.alg) : []) {
    try {
      const claims = await claimsOf(hint, key)
      return upstream.issuers.includes(claims.iss as string) ? claims : undefined
    } catch {
      // Another key of the same id may have signed it.
    }
  }
  return undefined
}
