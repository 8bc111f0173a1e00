/**
 * From the reason of a refusal to what RFC 6750 says about it: the status, and the error of the challenge. Pure.
 *
 * One exhaustive switch for every dialect that speaks HTTP authentication. 401 where another token could help, 403 where
 * it could not.
 */
import { type BearerError, type BearerReason, bearerChallenge } from '../../core/bearer.ts'
import type { VerdictReason } from './verdict.ts'

export type RefusalReason =
  | Exclude<VerdictReason, 'allowed'>
  | BearerReason
  | 'token_missing'
  | 'requirement_malformed'
  | 'misconfigured'
  | 'internal_error'

export interface Refusal {
  readonly status: 401 | 403
  /** The value of `WWW-Authenticate`, where another token could help. */
  readonly challenge: string | undefined
}

export function refusalOf(reason: RefusalReason): Refusal {
  const refuse = (status: 401 | 403, error?: BearerError): Refusal => ({
    status,
    challenge: bearerChallenge(error),
  })
  switch (reason) {
    case 'token_missing':
      return refuse(401)
    case 'authorization_repeated':
    case 'authorization_malformed':
      return refuse(401, 'invalid_request')
    case 'token_too_large':
    case 'token_malformed':
    case 'token_header_refused':
    case 'algorithm_refused':
    case 'type_refused':
    case 'not_an_access_token':
    case 'key_unknown':
    case 'signature_invalid':
    case 'issuer_mismatch':
    case 'audience_mismatch':
    case 'environment_mismatch':
    case 'token_expired':
    case 'token_not_yet_valid':
    case 'token_bound':
    case 'token_superseded':
    case 'session_revoked':
      return refuse(401, 'invalid_token')
    case 'feature_missing':
      return refuse(403, 'insufficient_scope')
    case 'state_unknown':
    case 'requirement_malformed':
    case 'misconfigured':
    case 'internal_error':
      return { status: 403, challenge: undefined }
  }
}
