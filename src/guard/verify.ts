/**
 * Offline verification of an access token that the gateway minted. No I/O but the key set.
 *
 * "The token is bad" and "the keys are not available right now" are different reasons. Only its key proves that a token
 * passed the gateway: upstream, which may have the same issuer, can put any claim into its own tokens.
 */
import { type CryptoKey, errors, type JWTHeaderParameters, type JWTPayload, jwtVerify } from 'jose'
import { environmentOf, featureFlags, hasNoAudience, isForAudience } from '../core/claims.ts'
import { isHeaderRefused, type JwsFormReason, jwsFormFault } from '../core/jws.ts'
import { accessTokenFault, isAccessTokenType, mediaType, type PurposeFault } from '../core/token_purpose.ts'
import type { FoundKey, GatewayKeys, KeyReason } from './keys.ts'
import type { GuardConfig } from './options.ts'

/** The tolerated difference between the clocks of two hosts. */
const CLOCK_SKEW_SECONDS = 5

const REQUIRED_CLAIMS = ['exp', 'iat', 'feature_flags_meta']

export interface VerifiedToken {
  readonly claims: JWTPayload & { readonly iat: number }
  readonly features: readonly string[]
}

export type TokenReason =
  | JwsFormReason
  | PurposeFault
  | KeyReason
  | 'algorithm_refused'
  | 'signature_invalid'
  | 'claim_refused'
  | 'token_expired'
  | 'token_bound'
  | 'environment_required'

export type Verified =
  | { readonly ok: true; readonly value: VerifiedToken }
  | { readonly ok: false; readonly reason: TokenReason; readonly claim?: string }

const refuse = (reason: TokenReason, claim?: string): Verified => ({
  ok: false,
  reason,
  ...(claim !== undefined && { claim }),
})

/** jose requests the key between its own checks; this carries the reason out. */
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
  { issuer, audience, environment }: GuardConfig,
  keys: GatewayKeys,
  now: number,
): Promise<Verified> {
  const formFault = jwsFormFault(token)
  if (formFault !== undefined) return refuse(formFault)
  let found: FoundKey | undefined
  const keyFor = async (header: JWTHeaderParameters): Promise<CryptoKey> => {
    found = await findKey(header, keys)
    return found.key
  }
  let claims: JWTPayload
  let typ: string | undefined
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keyFor, {
      issuer,
      requiredClaims: REQUIRED_CLAIMS,
      clockTolerance: CLOCK_SKEW_SECONDS,
      currentDate: new Date(now),
    })
    claims = payload
    typ = mediaType(protectedHeader.typ)
  } catch (cause) {
    return refusalOf(cause)
  }
  if (!isForService(claims, audience)) return refuse('claim_refused', 'aud')
  const purposeFault = accessTokenFault(typ, claims, 'minted')
  if (purposeFault !== undefined) return refuse(purposeFault)
  if (claims.cnf !== undefined) return refuse('token_bound', 'cnf')
  const { environments = [], setEnvironments } = found ?? {}
  const expected = environment ?? only(setEnvironments)
  if (expected === undefined) return refuse('environment_required')
  if (environmentOf(claims) !== expected || !environments.includes(expected))
    return refuse('claim_refused', 'feature_flags_meta.env')
  return { ok: true, value: { claims: claims as VerifiedToken['claims'], features: featureFlags(claims) } }
}

const isForService = (claims: JWTPayload, accepted: readonly string[]): boolean =>
  accepted.length === 0 ? hasNoAudience(claims) : isForAudience(claims, accepted)

/** One key serves one algorithm, whatever a token says; and a token cannot bring keys or rules of its own. */
async function findKey(header: JWTHeaderParameters, keys: GatewayKeys): Promise<FoundKey> {
  if (isHeaderRefused(header)) throw new KeyRefused('token_header_refused')
  if (!isAccessTokenType(mediaType(header.typ), 'minted')) throw new KeyRefused('type_refused')
  const found = await keys.find(header.kid)
  if (!found.ok) throw new KeyRefused(found.reason)
  if (found.value.alg !== header.alg) throw new KeyRefused('algorithm_refused')
  return found.value
}

const only = (names: ReadonlySet<string> = new Set()): string | undefined =>
  names.size === 1 ? [...names][0] : undefined

/** Errors of jose are about the token; anything else is a bug. */
function refusalOf(cause: unknown): Verified {
  if (cause instanceof KeyRefused) return refuse(cause.reason)
  if (cause instanceof errors.JWSSignatureVerificationFailed) return refuse('signature_invalid')
  if (cause instanceof errors.JWTExpired) return refuse('token_expired', cause.claim)
  if (cause instanceof errors.JWTClaimValidationFailed) return refuse('claim_refused', cause.claim)
  if (cause instanceof errors.JOSEError) return refuse('token_malformed')
  throw cause
}
