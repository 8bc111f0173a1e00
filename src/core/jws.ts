/**
 * The form of a compact JWS, checked before any key is looked at. Pure.
 *
 * jose decodes base64url leniently, so two different strings can be one token; here a token has exactly one spelling.
 * Headers that would make a verifier fetch or trust something that the token brought along are refused outright.
 */
import { decodeProtectedHeader } from 'jose'
import { err, ok, type Result } from './result.ts'
import { mediaType } from './token_purpose.ts'

/** No JWT that is meant for an HTTP header is longer than this. */
export const MAX_JWT_BYTES = 16 * 1024

export interface JwsHeader {
  readonly alg: string
  readonly kid: string | undefined
  /** Lower case, without the optional `application/` prefix (RFC 7515 section 4.1.9). */
  readonly typ: string | undefined
}

export type JwsFormReason = 'token_too_large' | 'token_malformed' | 'token_header_refused'

const COMPACT = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/

/** Header parameters by which a token would choose its own key, or its own rules. */
const REFUSED_PARAMETERS = ['jku', 'x5u', 'jwk', 'x5c', 'crit'] as const

/** Whether a header holds a parameter by which a token would choose its own key, or its own rules. */
export const isHeaderRefused = (header: object): boolean =>
  REFUSED_PARAMETERS.some((name) => Object.hasOwn(header, name))

/** What is wrong with the form of a compact JWS, before anything in it is decoded. */
export function jwsFormFault(token: string): 'token_too_large' | 'token_malformed' | undefined {
  if (token.length > MAX_JWT_BYTES) return 'token_too_large'
  const segments = COMPACT.exec(token)
  if (!segments) return 'token_malformed'
  for (let i = 1; i <= 3; i++) if (!isCanonical(segments[i] as string)) return 'token_malformed'
  return undefined
}

/** Checks the form of a compact JWS and reads its header. Does not check the algorithm, the type or the signature. */
export function readJwsHeader(token: string): Result<JwsHeader, JwsFormReason> {
  const fault = jwsFormFault(token)
  if (fault !== undefined) return err(fault)
  let header: Record<string, unknown>
  try {
    header = decodeProtectedHeader(token)
  } catch {
    return err('token_malformed')
  }
  if (isHeaderRefused(header)) return err('token_header_refused')
  const { alg, kid, typ } = header
  if (typeof alg !== 'string') return err('token_malformed')
  if (kid !== undefined && typeof kid !== 'string') return err('token_malformed')
  if (typ !== undefined && typeof typ !== 'string') return err('token_malformed')
  return ok({ alg, kid, typ: mediaType(typ) })
}

/**
 * Whether an access token must be taken for a JWS, well-formed or not. What is not one is opaque to us (RFC 6749
 * section 1.4), an encrypted JWT included. The test is lenient on purpose: what some verifier downstream might still
 * decode as a JWT must not slip by as opaque.
 */
export function looksLikeJws(token: string): boolean {
  const segments = token.split('.')
  if (segments.length !== 3) return false
  const [first = ''] = segments
  // Some providers put the scheme before it: `Bearer eyJ…`.
  return isHeader(first) || isHeader(first.replace(/^\s*\w+\s+/, ''))
}

function isHeader(segment: string): boolean {
  const header = segment
    .replace(/[^\w+/-]/g, '')
    .replace(/-/g, '+')
    .replace(/_/g, '/')
  try {
    return atob(header).trimStart().startsWith('{')
  } catch {
    return header.startsWith('ey')
  }
}

/** The last character of an unpadded base64url string may carry no stray low bits (RFC 4648 section 3.5). */
function isCanonical(segment: string): boolean {
  switch (segment.length % 4) {
    case 0:
      return true
    case 2:
      return 'AQgw'.includes(segment.at(-1) as string)
    case 3:
      return 'AEIMQUYcgkosw048'.includes(segment.at(-1) as string)
    default:
      return false
  }
}
