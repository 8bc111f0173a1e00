/**
 * From a named reason to what the client receives: one record, with the differences of single dialects. Pure.
 *
 * The client learns a stable code and the request id; the reason itself goes to the log. `encode.ts` writes a refusal in
 * the form of its dialect. 401 where another token could help, 403 where it could not (RFC 6750 section 3.1).
 */
import { type BearerError, bearerChallenge } from '../../core/bearer.ts'

/** The receiver, and so the wording: an endpoint, or a protocol of verification. */
export type Dialect = 'token' | 'hint' | 'revoke' | 'introspect' | 'verify' | 'guard' | 'authzen' | 'ofrep'

export interface Refusal {
  readonly status: number
  readonly text: string
  readonly headers?: Readonly<Record<string, string>>
  /** The error code of OAuth, if it is not the default of its status. */
  readonly oauth?: string
  /** The error code of OFREP, if there is one for this. */
  readonly ofrep?: string
}

interface Entry extends Refusal {
  readonly in?: Partial<Record<Dialect, Partial<Refusal>>>
}

const challenge = (error?: BearerError) => ({ 'www-authenticate': bearerChallenge(error) })
const BASIC_CHALLENGE = { 'www-authenticate': 'Basic realm="remint"' }

const CREDENTIALS_REQUIRED = 'Send a verifier key or a valid access token.'
const TOKEN_REQUIRED = 'A valid bearer token is required.'
const NOT_ALLOWED = 'The token does not allow this.'
const CLIENT_UNKNOWN: Partial<Refusal> = { text: 'Client authentication failed.', headers: BASIC_CHALLENGE }

/** A presented token does not verify, or has ended. */
const TOKEN_INVALID: Entry = {
  status: 401,
  text: CREDENTIALS_REQUIRED,
  headers: challenge('invalid_token'),
  in: { guard: { text: TOKEN_REQUIRED } },
}
/** Proxies understand only 401 and 403 as a denial. */
const GUARD_CLOSED: Entry = { status: 403, text: NOT_ALLOWED }

const ENTRIES = {
  body_too_large: { status: 413, text: 'The request body is larger than 64 KiB.', ofrep: 'PARSE_ERROR' },
  body_unreadable: { status: 400, text: 'The request body cannot be read.' },
  body_malformed: {
    status: 400,
    text: 'The request body cannot be read.',
    ofrep: 'PARSE_ERROR',
    in: {
      verify: {
        text: 'Send {"token": "…", "features": {"all": ["…"], "any": ["…"]}, "freshness": "claim" or "live"}, with flag keys in the lists and nothing else.',
      },
      authzen: { text: 'The request is not one of the AuthZEN Authorization API 1.0.' },
      ofrep: { text: 'The request body is not JSON.' },
    },
  },
  content_type_unsupported: {
    status: 415,
    text: 'Send application/json.',
    ofrep: 'PARSE_ERROR',
    in: {
      token: { text: 'The content type is not one that the token endpoint takes.' },
      revoke: { text: 'Send application/x-www-form-urlencoded.' },
      introspect: { text: 'Send application/x-www-form-urlencoded.' },
    },
  },
  parameter_repeated: { status: 400, text: 'A parameter is included more than once.' },
  parameter_missing: {
    status: 400,
    text: 'token is missing.',
    in: { token: { text: 'A required parameter is missing.' } },
  },
  min_version_malformed: { status: 400, text: 'Remint-Min-Version must be one whole number, in digits.' },
  replays_exhausted: {
    status: 429,
    text: 'This refresh token was used too often. Use the one of the response to it, or try again later.',
    oauth: 'temporarily_unavailable',
  },
  method_not_allowed: { status: 405, text: 'Use POST.', headers: { allow: 'POST' } },
  token_of_another_client: {
    status: 400,
    text: 'The token was not issued to this client_id.',
    oauth: 'invalid_client',
  },
  hint_of_another_client: { status: 400, text: 'The id_token_hint was not issued to this client_id.' },

  authorization_repeated: {
    status: 400,
    text: 'There is more than one Authorization header.',
    in: {
      guard: { status: 401, text: TOKEN_REQUIRED, headers: challenge('invalid_request') },
      authzen: { status: 401, text: CREDENTIALS_REQUIRED, headers: challenge('invalid_request') },
      ofrep: { status: 401, text: CREDENTIALS_REQUIRED, headers: challenge('invalid_request') },
    },
  },
  authorization_malformed: {
    status: 400,
    text: 'Authorization must be a Bearer token.',
    in: {
      guard: { status: 401, text: TOKEN_REQUIRED, headers: challenge('invalid_request') },
      authzen: { status: 401, text: CREDENTIALS_REQUIRED, headers: challenge('invalid_request') },
      ofrep: { status: 401, text: CREDENTIALS_REQUIRED, headers: challenge('invalid_request') },
    },
  },
  token_missing: {
    status: 401,
    text: CREDENTIALS_REQUIRED,
    headers: challenge(),
    in: {
      verify: {
        status: 400,
        text: 'Send the token as "token" in the body or as Authorization: Bearer.',
        headers: {},
      },
      guard: { text: TOKEN_REQUIRED },
    },
  },
  token_repeated: { status: 400, text: 'Send the token in the body or in Authorization, not in both.' },
  token_too_large: TOKEN_INVALID,
  token_malformed: TOKEN_INVALID,
  token_header_refused: TOKEN_INVALID,
  algorithm_refused: TOKEN_INVALID,
  type_refused: TOKEN_INVALID,
  not_an_access_token: TOKEN_INVALID,
  key_unknown: TOKEN_INVALID,
  signature_invalid: TOKEN_INVALID,
  issuer_mismatch: TOKEN_INVALID,
  audience_mismatch: TOKEN_INVALID,
  environment_mismatch: TOKEN_INVALID,
  token_expired: TOKEN_INVALID,
  token_not_yet_valid: TOKEN_INVALID,
  token_bound: TOKEN_INVALID,
  token_superseded: TOKEN_INVALID,
  session_revoked: TOKEN_INVALID,
  feature_missing: { status: 403, text: NOT_ALLOWED, headers: challenge('insufficient_scope') },
  requirement_malformed: GUARD_CLOSED,
  misconfigured: GUARD_CLOSED,
  internal_error: GUARD_CLOSED,

  caller_missing: { status: 401, text: CREDENTIALS_REQUIRED, in: { introspect: CLIENT_UNKNOWN } },
  caller_unknown: {
    status: 401,
    text: CREDENTIALS_REQUIRED,
    headers: challenge('invalid_token'),
    in: { introspect: CLIENT_UNKNOWN },
  },
  caller_repeated: { status: 400, text: 'There is more than one client authentication.' },
  subject_not_yours: { status: 403, text: 'To ask about another subject takes a verifier key.' },
  state_unknown: {
    status: 503,
    text: 'The present state cannot be read. Try again.',
    in: { authzen: { status: 500 }, guard: GUARD_CLOSED },
  },
  context_invalid: {
    status: 400,
    text: 'context must be an object, its targetingKey a string, and its kind organization or user.',
    ofrep: 'INVALID_CONTEXT',
  },
  targeting_key_missing: {
    status: 400,
    text: 'context.targetingKey must name an organization or a user.',
    ofrep: 'TARGETING_KEY_MISSING',
  },
  flag_not_found: { status: 404, text: 'There is no such flag.', ofrep: 'FLAG_NOT_FOUND' },
} satisfies Record<string, Entry>

/** Why a request is refused. */
export type RefusalReason = keyof typeof ENTRIES

export function refusalOf(reason: RefusalReason, dialect: Dialect): Refusal {
  const { in: differences, ...refusal }: Entry = ENTRIES[reason]
  return { ...refusal, ...differences?.[dialect] }
}
