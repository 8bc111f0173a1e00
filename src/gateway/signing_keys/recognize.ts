/**
 * The issuer of a JWT by its own claims, before anything is verified. Pure.
 *
 * It only decides whether a token must be inspected. One that may be upstream's must; one that clearly comes from another
 * issuer (a social log-in, a third API) is worth nothing to the services behind the gateway and passes.
 */
import { decodeJwt, decodeProtectedHeader } from 'jose'
import type { Config } from '../config.ts'

interface KeyIds {
  has(kid: string | undefined): boolean
}

export function mayBeUpstreams(jwt: string, { upstream }: Config, ours: KeyIds, theirs: KeyIds): boolean {
  try {
    const { kid, alg } = decodeProtectedHeader(jwt)
    if (ours.has(kid)) return false
    const { iss } = decodeJwt(jwt)
    // A token that nobody can verify with a key set is an example in some documentation.
    const isAnonymous = iss === undefined && !/^(HS|none)/i.test(alg ?? 'none')
    return isAnonymous || (iss !== undefined && upstream.issuers.includes(iss)) || theirs.has(kid)
  } catch {
    return true
  }
}
