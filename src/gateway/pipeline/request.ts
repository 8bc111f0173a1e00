/**
 * From an HTTP request to a `RefreshRequest`; a bad one is refused before it reaches upstream.
 *
 * The body is only read, never rewritten: upstream gets the same text, so that unknown parameters, and client authentication
 * of any method, pass through unchanged.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { readRequest } from '../http/body.ts'
import { parseObjectText } from '../http/json_text.ts'
import type { BodyFormat } from '../profiles/profile.ts'

/** A parameter's name, and its text in the body, name included. */
export type WrittenParameter = readonly [name: string, text: string]

/** A token request of any grant, named after the most common one. */
export interface RefreshRequest {
  readonly grantType: string
  readonly body: string
  /** The parameters of the body, repeated ones included. */
  readonly parameters: readonly (readonly [name: string, value: unknown])[]
  /** The same unparsed: parsing can make different texts equal (`%FF` and `%FE`, large numbers). */
  readonly written: readonly WrittenParameter[]
  readonly headers: Headers
  /** The query with its question mark, or empty. */
  readonly search: string
  /** The minimum version of the entitlements, if the client sent one. */
  readonly minVersion: number | undefined
}

export type RequestReason =
  | 'body_too_large'
  | 'body_unreadable'
  | 'content_type_unsupported'
  | 'body_malformed'
  | 'parameter_repeated'
  | 'parameter_missing'
  | 'authorization_repeated'
  | 'min_version_malformed'

const MEDIA_TYPES: Readonly<Record<BodyFormat, string>> = {
  form: 'application/x-www-form-urlencoded',
  json: 'application/json',
}

/** RFC 8707 section 2 and RFC 8693 section 2.1 let these occur more than once in a form. */
const REPEATABLE = new Set(['resource', 'audience'])

export async function parseTokenRequest(
  request: Request,
  formats: readonly BodyFormat[],
): Promise<Result<RefreshRequest, RequestReason>> {
  const mediaType = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  const format = formats.find((known) => MEDIA_TYPES[known] === mediaType)
  if (!format) return err('content_type_unsupported')
  if (request.headers.get('authorization')?.includes(',')) return err('authorization_repeated')
  const minVersion = request.headers.get('remint-min-version')
  if (minVersion !== null && !/^\d+$/.test(minVersion)) return err('min_version_malformed')

  const body = await readRequest(request)
  if (!body.ok) return body
  const read = format === 'form' ? formParameters(body.value) : jsonParameters(body.value)
  if (!read) return err('body_malformed')
  const { parameters, written } = read

  const query = request.url.indexOf('?')
  const search = query === -1 ? '' : request.url.slice(query)
  const inQuery = new Set(new URLSearchParams(search).keys())
  const seen = new Map<string, unknown>()
  for (const [name, value] of parameters) {
    if (inQuery.has(name) || (seen.has(name) && !(format === 'form' && REPEATABLE.has(name))))
      return err('parameter_repeated')
    seen.set(name, value)
  }
  const grantType = seen.get('grant_type')
  if (typeof grantType !== 'string' || grantType === '') return err('parameter_missing')
  // AuthKit in a browser stores the refresh token in a cookie, which upstream reads.
  const refreshToken = seen.get('refresh_token') || request.headers.get('cookie')
  if (grantType === 'refresh_token' && !refreshToken) return err('parameter_missing')
  return ok({
    grantType,
    body: body.value,
    parameters,
    written,
    headers: request.headers,
    search,
    minVersion: minVersion === null ? undefined : Number(minVersion),
  })
}

type Parameters = Pick<RefreshRequest, 'parameters' | 'written'>

const formParameters = (body: string): Parameters => ({
  parameters: [...new URLSearchParams(body)],
  written: body.split('&').map((text) => [new URLSearchParams(text).keys().next().value ?? '', text]),
})

function jsonParameters(body: string): Parameters | undefined {
  const parsed = parseObjectText(body)
  if (!parsed) return undefined
  const { object, members } = parsed
  return {
    parameters: members.map(({ name }) => [name, object[name]]),
    written: members.map(({ name, start, end }) => [name, body.slice(start, end)]),
  }
}
