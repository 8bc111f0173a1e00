/**
 * Offline verification of an access token that the gateway minted. No I/O but the key set.
 *
 * "The token is bad" and "the keys cannot be had right now" are different reasons. A token that never passed the gateway is
 * refused even where upstream speaks for the same issuer: it has no `feature_flags_meta`.
 */
import { errors, type JWTPayload, jwtVerify } from 'jose'
import { featureFlags } from '../core/claims.ts'
import { type JwsFormReason, readJwsHeader } from '../core/jws.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { GatewayKeys } from './keys.ts'
import type { GuardConfig } from './options.ts'

/** Clocks of two hosts differ. */
const CLOCK_SKEW_SECONDS = 5

/** What the gateway can be configured to sign with. */
const ALGORITHMS = ['ES256', 'RS256', 'EdDSA']

export interface VerifiedToken {
  readonly claims: JWTPayload & { readonly iat: number }
  readonly features: readonly string[]
}

export type TokenReason =
  | JwsFormReason
  | 'type_refused'
  | 'algorithm_refused'
  | 'key_unknown'
  | 'signature_invalid'
  | 'claim_refused'
  | 'token_expired'
  | 'token_bound'
  | 'keys_unreachable'

/** @param now - epoch milliseconds */
export async function verifyToken(
  token: string,
  { issuer, audience }: GuardConfig,
  keys: GatewayKeys,
  now: number,
): Promise<Result<VerifiedToken, TokenReason>> {
  const header = readJwsHeader(token)
  if (!header.ok) return header
  if (header.value.typ !== 'at+jwt') return err('type_refused')
  const found = await keys.find(header.value.kid)
  if (!found.ok) return found
  try {
    const { payload } = await jwtVerify(token, found.value, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      requiredClaims: ['exp', 'iat', 'feature_flags_meta'],
      clockTolerance: CLOCK_SKEW_SECONDS,
      currentDate: new Date(now),
    })
    if (payload.cnf !== undefined) return err('token_bound')
    return ok({ claims: payload as VerifiedToken['claims'], features: featureFlags(payload) })
  } catch (cause) {
    return err(reasonOf(cause))
  }
}

function reasonOf(cause: unknown): TokenReason {
  if (cause instanceof errors.JWSSignatureVerificationFailed) return 'signature_invalid'
  if (cause instanceof errors.JWTExpired) return 'token_expired'
  if (cause instanceof errors.JWTClaimValidationFailed) return 'claim_refused'
  if (cause instanceof errors.JOSEAlgNotAllowed || cause instanceof errors.JWKSNoMatchingKey)
    return 'algorithm_refused'
  return 'token_malformed'
}
