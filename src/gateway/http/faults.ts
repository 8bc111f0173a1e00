/**
 * From a fault of the gateway or upstream to what the client of a token endpoint receives. Pure.
 *
 * Every fault is a 503 with JSON and `Retry-After`, because SDKs retry that instead of ending the session. The client learns
 * what to expect; the named reason goes to the log.
 */
import { oauthError, RETRY } from './answers.ts'

const NO_ANSWER = 'The identity provider did not answer. Try again.'
const CONFIGURATION = 'The gateway’s configuration does not fit the identity provider.'
const WITHHELD = 'The identity provider’s access token does not verify.'

const FAULTS = {
  upstream_timeout: NO_ANSWER,
  upstream_unreachable: NO_ANSWER,
  upstream_answer_too_large: NO_ANSWER,
  upstream_answer_unreadable: NO_ANSWER,
  metadata_unreachable: NO_ANSWER,
  metadata_issuer_mismatch: CONFIGURATION,
  metadata_incomplete: CONFIGURATION,
  keys_unusable: CONFIGURATION,
  keys_unreachable: 'The identity provider’s keys cannot be had right now. Try again.',
  session_timeout: 'The session did not answer. Try again.',
  denylist_unwritable: 'The token could not be revoked right now. Try again.',
  token_too_large: WITHHELD,
  token_malformed: WITHHELD,
  token_header_refused: WITHHELD,
  token_is_ours: WITHHELD,
  access_token_misplaced: 'The identity provider’s response has an access token where none belongs.',
  algorithm_refused: WITHHELD,
  type_refused: WITHHELD,
  key_unknown: WITHHELD,
  signature_invalid: WITHHELD,
  payload_malformed: WITHHELD,
  issuer_mismatch: WITHHELD,
  audience_mismatch: WITHHELD,
  not_an_access_token: WITHHELD,
  token_expired: WITHHELD,
  token_not_yet_valid: WITHHELD,
}

/** Why upstream's response cannot be passed on, or no request can be sent to it. */
export type FaultReason = keyof typeof FAULTS

export const encodeFault = (reason: FaultReason, requestId: string): Response =>
  oauthError(503, 'temporarily_unavailable', FAULTS[reason], requestId, RETRY)
