/**
 * Offline verification of an access token that the gateway minted. No I/O but the key set.
 *
 * "The token is bad" and "the keys cannot be had right now" are different reasons. A token that never passed the gateway is
 * refused even where upstream speaks for the same issuer: it has no `feature_flags_meta`.
 */
import { type CryptoKey, errors, type JWTHeaderParameters, type JWTPayload, jwtVerify } from 'jose'
import { featureFlags } from '../core/claims.ts'
import { isHeaderRefused, type JwsFormReason, jwsFormFault } from '../core/jws.ts'
import { err, ok, type Result } from '../core/result.ts'
import { accessTokenFault, isAccessTokenType, mediaType, type PurposeFault } from '../core/token_purpose.ts'
import type { GatewayKeys } from './keys.ts'
import type { GuardConfig } from './options.ts'

/** Clocks of two hosts differ. */
const CLOCK_SKEW_SECONDS = 5

const REQUIRED_CLAIMS = ['exp', 'iat', 'feature_flags_meta']

export interface VerifiedToken {
  readonly claims: JWTPayload & { readonly iat: number }
  readonly features: readonly string[]
}

export type TokenReason =
  | JwsFormReason
  | PurposeFault
  | 'algorithm_refused'
  | 'key_unknown'
  | 'signature_invalid'
  | 'claim_refused'
  | 'token_expired'
  | 'token_bound'
  | 'keys_unreachable'

/** jose asks for the key between its own checks; this brings the reason out. */
class KeyRefused extends Error {
  readonly reason: TokenReason

  constructor(reason: TokenReason) {
    super(reason)
    this.reason = reason
  }
}

/** @param now - epoch milliseconds */
export async function verifyToken(
  token: string,
  { issuer, audience }: GuardConfig,
  keys: GatewayKeys,
  now: number,
): Promise<Result<VerifiedToken, TokenReason>> {
  const fault = jwsFormFault(token)
  if (fault !== undefined) return err(fault)
  try {
    const { payload, protectedHeader } = await jwtVerify(token, (header) => keyFor(header, keys), {
      issuer,
      audience,
      requiredClaims: REQUIRED_CLAIMS,
      clockTolerance: CLOCK_SKEW_SECONDS,
      currentDate: new Date(now),
    })
    const otherwise = accessTokenFault(mediaType(protectedHeader.typ), payload, 'minted')
    if (otherwise !== undefined) return err(otherwise)
    if (payload.cnf !== undefined) return err('token_bound')
    return ok({ claims: payload as VerifiedToken['claims'], features: featureFlags(payload) })
  } catch (cause) {
    return err(reasonOf(cause))
  }
}

/** One key serves one algorithm, whatever a token says; and a token names neither keys nor rules of its own. */
async function keyFor(header: JWTHeaderParameters, keys: GatewayKeys): Promise<CryptoKey> {
  if (isHeaderRefused(header)) throw new KeyRefused('token_header_refused')
  if (!isAccessTokenType(mediaType(header.typ), 'minted')) throw new KeyRefused('type_refused')
  const found = await keys.find(header.kid)
  if (!found.ok) throw new KeyRefused(found.reason)
  if (found.value.alg !== header.alg) throw new KeyRefused('algorithm_refused')
  return found.value.key
}

function reasonOf(cause: unknown): TokenReason {
  if (cause instanceof KeyRefused) return cause.reason
  if (cause instanceof errors.JWSSignatureVerificationFailed) return 'signature_invalid'
  if (cause instanceof errors.JWTExpired) return 'token_expired'
  if (cause instanceof errors.JWTClaimValidationFailed) return 'claim_refused'
  return 'token_malformed'
}
