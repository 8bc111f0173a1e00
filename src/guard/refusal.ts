/**
 * From the reason of a refusal to its answer: RFC 9457 for the body, RFC 6750 for the challenge. Pure.
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

const RETRY_AFTER_SECONDS = '2'

export function refusal(reason: RefusalReason, missing: readonly string[] = []): Response {
  switch (reason) {
    case 'token_missing':
      return answer(401, reason, 'A bearer token is required.', challenge())
    case 'authorization_repeated':
    case 'authorization_malformed':
      return answer(401, reason, 'Send one Authorization: Bearer header.', challenge('invalid_request'))
    case 'token_too_large':
    case 'token_malformed':
    case 'token_header_refused':
    case 'type_refused':
    case 'not_an_access_token':
    case 'algorithm_refused':
    case 'key_unknown':
    case 'signature_invalid':
    case 'claim_refused':
    case 'token_expired':
    case 'token_bound':
    case 'token_inactive':
      return answer(401, reason, 'The bearer token is not valid here.', challenge('invalid_token'))
    case 'feature_missing':
      return answer(403, reason, 'A feature is missing.', challenge('insufficient_scope'), { missing })
    case 'keys_unreachable':
    case 'live_unavailable':
      return answer(503, reason, 'This cannot be decided right now.', { 'retry-after': RETRY_AFTER_SECONDS })
  }
}

const challenge = (error?: BearerError) => ({ 'www-authenticate': bearerChallenge(error) })

const answer = (
  status: number,
  code: RefusalReason,
  detail: string,
  headers: Record<string, string>,
  members: object = {},
): Response =>
  Response.json(
    { type: 'about:blank', status, code, detail, ...members },
    {
      status,
      headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
    },
  )
