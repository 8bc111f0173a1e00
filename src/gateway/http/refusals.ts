/**
 * From a named reason to what the client is told: one exhaustive switch per form of error.
 *
 * The client learns a stable code and the request id; the reason itself goes to the log. Every fault that is not the
 * client's is 503 with JSON and `Retry-After`, because that is what SDKs retry instead of ending the session.
 */
import { bearerChallenge } from '../../core/bearer.ts'
import { type FormReason, NO_STORE, oauthError, problem, RETRY_AFTER_SECONDS } from './body.ts'
import type { RefreshReason } from '../pipeline/refresh.ts'
import type { RequestReason } from '../pipeline/request.ts'
import type { MetadataFault } from '../profiles/profile.ts'
import type { HintReason } from '../proxy/id_token_hint.ts'
import type { DenylistReason } from '../documents/denylist.ts'
import type { AskerReason } from '../verification/caller.ts'
import type { AuthzenReason } from '../verification/authzen.ts'
import { refusalOf } from '../verification/challenge.ts'
import type { IntrospectionReason } from '../verification/introspection.ts'
import type { QuestionReason } from '../verification/json.ts'
import type { OfrepReason } from '../verification/ofrep.ts'

const RETRY = { 'retry-after': String(RETRY_AFTER_SECONDS) }

export function tokenRequestError(reason: RequestReason, requestId: string): Response {
  const invalid = (status: number, description: string) =>
    oauthError(status, 'invalid_request', description, requestId)
  switch (reason) {
    case 'body_too_large':
      return invalid(413, 'The request body is larger than 64 KiB.')
    case 'content_type_unsupported':
      return invalid(415, 'The content type is not one that the token endpoint takes.')
    case 'body_unreadable':
    case 'body_malformed':
      return invalid(400, 'The request body cannot be read.')
    case 'parameter_repeated':
      return invalid(400, 'A parameter is included more than once.')
    case 'parameter_missing':
      return invalid(400, 'A required parameter is missing.')
    case 'authorization_repeated':
      return invalid(400, 'There is more than one Authorization header.')
    case 'min_version_malformed':
      return invalid(400, 'Remint-Min-Version must be one whole number, in digits.')
  }
}

export function refreshError(
  reason: RefreshReason | MetadataFault | DenylistReason | 'upstream_unreachable',
  requestId: string,
): Response {
  const unavailable = (description: string) =>
    oauthError(503, 'temporarily_unavailable', description, requestId, RETRY)
  switch (reason) {
    case 'upstream_timeout':
    case 'upstream_unreachable':
    case 'upstream_answer_too_large':
    case 'upstream_answer_unreadable':
    case 'metadata_unreachable':
      return unavailable('The identity provider did not answer. Try again.')
    case 'session_timeout':
      return unavailable('The session did not answer. Try again.')
    case 'denylist_unwritable':
      return unavailable('The token could not be revoked right now. Try again.')
    case 'keys_unreachable':
      return unavailable('The identity provider’s keys cannot be had right now. Try again.')
    case 'metadata_issuer_mismatch':
    case 'metadata_incomplete':
    case 'keys_unusable':
      return unavailable('The gateway’s configuration does not fit the identity provider.')
    case 'token_too_large':
    case 'token_malformed':
    case 'token_header_refused':
    case 'token_is_ours':
    case 'algorithm_refused':
    case 'type_refused':
    case 'key_unknown':
    case 'signature_invalid':
    case 'payload_malformed':
    case 'issuer_mismatch':
    case 'audience_mismatch':
    case 'not_an_access_token':
    case 'token_expired':
    case 'token_not_yet_valid':
      return unavailable('The identity provider’s access token does not verify.')
  }
}

export function hintError(reason: HintReason, requestId: string): Response {
  switch (reason) {
    case 'body_too_large':
      return problem(413, reason, 'The request body is larger than 64 KiB.', requestId)
    case 'hint_of_another_client':
      return problem(400, reason, 'The id_token_hint was not issued to this client_id.', requestId)
  }
}

export function questionError(reason: QuestionReason, requestId: string): Response {
  switch (reason) {
    case 'body_too_large':
      return problem(413, reason, 'The request body is larger than 64 KiB.', requestId)
    case 'content_type_unsupported':
      return problem(415, reason, 'Send application/json.', requestId)
    case 'body_malformed':
      return problem(
        400,
        reason,
        'Send {"token": "…", "features": {"all": ["…"], "any": ["…"]}, "freshness": "claim" or "live"}, with flag keys in the lists and nothing else.',
        requestId,
      )
    case 'token_missing':
      return problem(
        400,
        reason,
        'Send the token as "token" in the body or as Authorization: Bearer.',
        requestId,
      )
    case 'token_repeated':
      return problem(400, reason, 'Send the token in the body or in Authorization, not in both.', requestId)
    case 'authorization_repeated':
      return problem(400, reason, 'There is more than one Authorization header.', requestId)
    case 'authorization_malformed':
      return problem(400, reason, 'Authorization must be a Bearer token.', requestId)
  }
}

/** What is wrong with a form: to the revocation endpoint (RFC 7009 section 2.2.1), or the introspection endpoint. */
export function formError(reason: FormReason, requestId: string): Response {
  const invalid = (status: number, description: string) =>
    oauthError(status, 'invalid_request', description, requestId)
  switch (reason) {
    case 'body_too_large':
      return invalid(413, 'The request body is larger than 64 KiB.')
    case 'content_type_unsupported':
      return invalid(415, 'Send application/x-www-form-urlencoded.')
    case 'body_malformed':
      return invalid(400, 'The request body cannot be read.')
    case 'parameter_repeated':
      return invalid(400, 'A parameter is included more than once.')
    case 'parameter_missing':
      return invalid(400, 'token is missing.')
  }
}

export function introspectionError(reason: IntrospectionReason, requestId: string): Response {
  switch (reason) {
    case 'caller_missing':
    case 'caller_unknown':
      return oauthError(401, 'invalid_client', 'Client authentication failed.', requestId, {
        'www-authenticate': 'Basic realm="remint"',
      })
    case 'caller_repeated':
      return oauthError(400, 'invalid_request', 'There is more than one client authentication.', requestId)
    case 'authorization_repeated':
      return oauthError(400, 'invalid_request', 'There is more than one Authorization header.', requestId)
    case 'state_unknown':
      return oauthError(
        503,
        'temporarily_unavailable',
        'The present state cannot be read. Try again.',
        requestId,
        RETRY,
      )
    default:
      return formError(reason, requestId)
  }
}

export function authzenError(reason: AuthzenReason | AskerReason, requestId: string): Response {
  switch (reason) {
    case 'body_too_large':
      return problem(413, reason, 'The request body is larger than 64 KiB.', requestId)
    case 'content_type_unsupported':
      return problem(415, reason, 'Send application/json.', requestId)
    case 'body_malformed':
      return problem(400, reason, 'The request is not one of the AuthZEN Authorization API 1.0.', requestId)
    case 'subject_not_yours':
      return problem(403, reason, 'To ask about another subject takes a verifier key.', requestId)
    case 'state_unknown':
      return problem(500, reason, 'The present state cannot be read. Try again.', requestId, RETRY)
    default:
      return unauthorized(reason, requestId)
  }
}

/** @param key - the flag that was asked about, for a single evaluation */
export function ofrepError(
  reason: OfrepReason | AskerReason,
  key: string | undefined,
  requestId: string,
): Response {
  const failure = (status: number, errorCode: string, errorDetails: string) =>
    Response.json(
      { ...(key !== undefined && { key }), errorCode, errorDetails },
      { status, headers: { ...NO_STORE, 'x-request-id': requestId } },
    )
  switch (reason) {
    case 'body_too_large':
      return failure(413, 'PARSE_ERROR', 'The request body is larger than 64 KiB.')
    case 'content_type_unsupported':
      return failure(415, 'PARSE_ERROR', 'Send application/json.')
    case 'body_malformed':
      return failure(400, 'PARSE_ERROR', 'The request body is not JSON.')
    case 'context_invalid':
      return failure(400, 'INVALID_CONTEXT', 'context must be an object, and its kind organization or user.')
    case 'targeting_key_missing':
      return failure(
        400,
        'TARGETING_KEY_MISSING',
        'context.targetingKey must name an organization or a user.',
      )
    case 'flag_not_found':
      return failure(404, 'FLAG_NOT_FOUND', 'There is no such flag.')
    case 'subject_not_yours':
      return problem(403, reason, 'To ask about another subject takes a verifier key.', requestId)
    case 'state_unknown':
      return problem(503, reason, 'The present state cannot be read. Try again.', requestId, RETRY)
    default:
      return unauthorized(reason, requestId)
  }
}

/** Nobody is let ask without a key or a token that is good now. */
function unauthorized(reason: Exclude<AskerReason, 'state_unknown'>, requestId: string): Response {
  const challenge =
    reason === 'caller_unknown' ? bearerChallenge('invalid_token') : refusalOf(reason).challenge
  const headers = challenge === undefined ? {} : { 'www-authenticate': challenge }
  return problem(401, reason, 'Send a verifier key or a valid access token.', requestId, headers)
}
