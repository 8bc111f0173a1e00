/**
 * A refusal in the form of each dialect: OAuth (RFC 6749 section 5.2), problem details (RFC 9457), OFREP. Pure.
 */
import { NO_STORE, oauthError, problem, RETRY } from './answers.ts'
import { type Dialect, type RefusalReason, refusalOf } from './refusals.ts'

export type Encode = (reason: RefusalReason, requestId: string) => Response

/** The token, revocation and introspection endpoints. */
export const oauthEncoder =
  (dialect: Dialect): Encode =>
  (reason, requestId) => {
    const { status, text, headers, oauth = oauthCode(status) } = refusalOf(reason, dialect)
    return oauthError(status, oauth, text, requestId, { ...retry(status), ...headers })
  }

export const problemEncoder =
  (dialect: Dialect): Encode =>
  (reason, requestId) => {
    const { status, text, headers } = refusalOf(reason, dialect)
    return problem(status, reason, text, requestId, { ...retry(status), ...headers })
  }

/** @param key - the flag that was asked about, for a single evaluation */
export const ofrepEncoder =
  (key: string | undefined): Encode =>
  (reason, requestId) => {
    const { status, text, ofrep: errorCode } = refusalOf(reason, 'ofrep')
    if (errorCode === undefined) return problemEncoder('ofrep')(reason, requestId)
    const body = { ...(key !== undefined && { key }), errorCode, errorDetails: text }
    return Response.json(body, { status, headers: { ...NO_STORE, 'x-request-id': requestId } })
  }

function oauthCode(status: number): string {
  if (status >= 500) return 'temporarily_unavailable'
  return status === 401 ? 'invalid_client' : 'invalid_request'
}

const retry = (status: number): Record<string, string> => (status >= 500 ? RETRY : {})
