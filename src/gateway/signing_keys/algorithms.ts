/**
 * One key serves one algorithm, given by the key and configuration, never by a token. Pure.
 */
import type { JWK } from 'jose'

/** The algorithms that a key of this type could serve, preferred first (RFC 7518 section 3.1, RFC 8037). */
function candidates(jwk: JWK): readonly string[] {
  switch (jwk.kty) {
    case 'RSA':
      return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
    case 'EC':
      return { 'P-256': ['ES256'], 'P-384': ['ES384'], 'P-521': ['ES512'] }[jwk.crv as string] ?? []
    case 'OKP':
      return jwk.crv === 'Ed25519' ? ['EdDSA'] : []
    default:
      return []
  }
}

/**
 * The one algorithm of a verification key: its own `alg` where it names one, else the first configured algorithm that
 * fits its type. `undefined` when configuration does not allow the key, or the key is not for signatures.
 */
export function algorithmOf(jwk: JWK, allowed: readonly string[]): string | undefined {
  if (jwk.use !== undefined && jwk.use !== 'sig') return undefined
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify')))
    return undefined
  const named = jwk.alg === 'Ed25519' ? 'EdDSA' : jwk.alg
  const fitting = candidates(jwk)
  if (named !== undefined) return fitting.includes(named) && allowed.includes(named) ? named : undefined
  return allowed.find((alg) => fitting.includes(alg))
}

const PUBLIC_MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'alg', 'use'] as const

/** The public half of a key: a list of the members that may be published. */
export const publicHalf = (jwk: JWK): JWK =>
  Object.fromEntries(
    PUBLIC_MEMBERS.filter((name) => jwk[name] !== undefined).map((name) => [name, jwk[name]]),
  ) as JWK
