/**
 * The token of an `Authorization` header, and the challenge that requests one (RFC 6750). Pure.
 *
 * Two headers, which arrive joined by a comma, are refused rather than guessed between: the next hop may read the other.
 */
import { err, ok, type Result } from './result.ts'

export type BearerReason = 'authorization_repeated' | 'authorization_malformed'

/** @returns `undefined` without a header. Any other scheme than Bearer is malformed, because it needs another check. */
export function bearerToken(authorization: string | null): Result<string | undefined, BearerReason> {
  if (authorization === null) return ok(undefined)
  if (authorization.includes(',')) return err('authorization_repeated')
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
  return token === undefined ? err('authorization_malformed') : ok(token)
}

export type BearerError = 'invalid_request' | 'invalid_token' | 'insufficient_scope'

/** A `WWW-Authenticate` value. Without an error where no token was sent (RFC 6750 section 3.1). */
export const bearerChallenge = (error?: BearerError): string =>
  error === undefined ? 'Bearer realm="remint"' : `Bearer realm="remint", error="${error}"`
