/**
 * From the reason of a refusal to its response: RFC 9457 for the body, RFC 6750 for the challenge. Pure.
 */
import { type BearerError, type BearerReason, bearerChallenge } from '../core/bearer.ts'
import type { TokenReason } from './verify.ts'

export type RefusalReason =
  | TokenReason
  | BearerReason
  | 'token_missing'
  | 'token_inactive'
  | 'feature_missing'
  | 'live_unavailable'

interface Refusal {
  readonly status: 401 | 403 | 503
  readonly detail: string
  readonly headers: Readonly<Record<string, string>>
}

const challenge = (error?: BearerError) => ({ 'www-authenticate': bearerChallenge(error) })

const TOKEN_INVALID: Refusal = {
  status: 401,
  detail: 'The bearer token is not valid here.',
  headers: challenge('invalid_token'),
}
const UNDECIDABLE: Refusal = {
  status: 503,
  detail: 'This cannot be decided right now.',
  headers: { 'retry-after': '2' },
}

const REFUSALS: Record<RefusalReason, Refusal> = {
  token_missing: { status: 401, detail: 'A bearer token is required.', headers: challenge() },
  authorization_repeated: {
    status: 401,
    detail: 'Send one Authorization: Bearer header.',
    headers: challenge('invalid_request'),
  },
  authorization_malformed: {
    status: 401,
    detail: 'Send one Authorization: Bearer header.',
    headers: challenge('invalid_request'),
  },
  token_too_large: TOKEN_INVALID,
  token_malformed: TOKEN_INVALID,
  token_header_refused: TOKEN_INVALID,
  type_refused: TOKEN_INVALID,
  not_an_access_token: TOKEN_INVALID,
  algorithm_refused: TOKEN_INVALID,
  key_unknown: TOKEN_INVALID,
  signature_invalid: TOKEN_INVALID,
  claim_refused: TOKEN_INVALID,
  token_expired: TOKEN_INVALID,
  token_bound: TOKEN_INVALID,
  token_inactive: TOKEN_INVALID,
  feature_missing: {
    status: 403,
    detail: 'A feature is missing.',
    headers: challenge('insufficient_scope'),
  },
  keys_unreachable: UNDECIDABLE,
  keys_unmarked: UNDECIDABLE,
  keys_unusable: UNDECIDABLE,
  environment_required: UNDECIDABLE,
  live_unavailable: UNDECIDABLE,
}

/** A browser sends a preflight without a token, so that a guard in front of the CORS handler refuses every one of them. */
const PREFLIGHT = 'A CORS preflight carries no token. Let the CORS handler answer OPTIONS before the guard.'

/** @param missing - with `feature_missing`: the missing flags */
export function refusal(
  reason: RefusalReason,
  { missing, isPreflight = false }: { missing?: readonly string[]; isPreflight?: boolean } = {},
): Response {
  const { status, detail, headers } = REFUSALS[reason]
  const problem = {
    type: 'about:blank',
    status,
    code: reason,
    detail: isPreflight && reason === 'token_missing' ? PREFLIGHT : detail,
    ...(missing && { missing }),
  }
  return Response.json(problem, {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
  })
}
