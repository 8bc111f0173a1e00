/**
 * Whose a JWT is, by what it says of itself and before anything is verified. Pure.
 *
 * It only decides whether a token must be looked at: what may be upstream's is, and what is clearly another issuer's (a
 * token of a social log-in, of a third API) is worth nothing to the services behind the gateway and passes.
 */
import { decodeJwt, decodeProtectedHeader } from 'jose'
import type { Config } from '../config.ts'

interface KeyIds {
  has(kid: string | undefined): boolean
}

export function mayBeUpstreams(jwt: string, { upstream }: Config, ours: KeyIds, theirs: KeyIds): boolean {
  try {
    const { kid } = decodeProtectedHeader(jwt)
    if (ours.has(kid)) return false
    const { iss } = decodeJwt(jwt)
    return iss === undefined || upstream.issuers.includes(iss) || theirs.has(kid)
  } catch {
    return true
  }
}
