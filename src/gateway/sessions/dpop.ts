/**
 * The key that a request proves to hold: the DPoP proof, verified before the answer to another request is shared.
 *
 * Upstream judges proofs; this only decides who may get an answer that upstream has already given. So it checks the signature,
 * and that the proof was made for this request just now. Upstream checks nonce and `jti`: repeating a whole request returns
 * only tokens that are bound to a key of somebody else.
 */
import { calculateJwkThumbprint, decodeProtectedHeader, EmbeddedJWK, type JWK, jwtVerify } from 'jose'
import { MAX_JWT_BYTES } from '../../core/jws.ts'
import { err, ok, type Result } from '../../core/result.ts'

/** RFC 9449 section 11.1 leaves the figure open; clocks of phones are off by more than those of servers. */
const MAX_AGE_SECONDS = 300
const MAX_AHEAD_SECONDS = 30

/** Every asymmetric one that can be verified here; a proof with another one shares nothing, and upstream judges it. */
const ALGORITHMS = [
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
]

/**
 * Verifies a proof for a POST (RFC 9449 section 4.3).
 *
 * @param targets - the addresses that the client may know the endpoint by, without query
 * @param now - epoch milliseconds
 * @returns the RFC 7638 thumbprint of the proof's key
 */
export async function verifyProof(
  proof: string,
  targets: readonly string[],
  now: number,
): Promise<Result<string, 'proof_invalid'>> {
  if (proof.length > MAX_JWT_BYTES) return err('proof_invalid')
  try {
    const { payload } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: ALGORITHMS,
      currentDate: new Date(now),
    })
    const { htm, htu, iat } = payload
    const age = now / 1000 - (iat ?? Number.NaN)
    const isForThis = htm === 'POST' && typeof htu === 'string' && targets.includes(withoutQuery(htu))
    if (!isForThis || !(age <= MAX_AGE_SECONDS && age >= -MAX_AHEAD_SECONDS)) return err('proof_invalid')
    return ok(await calculateJwkThumbprint(decodeProtectedHeader(proof).jwk as JWK))
  } catch {
    return err('proof_invalid')
  }
}

function withoutQuery(url: string): string {
  if (!URL.canParse(url)) return ''
  const { origin, pathname } = new URL(url)
  return origin + pathname
}
