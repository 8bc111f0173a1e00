/**
 * Upstream's response with minted tokens in it; everything else stays byte for byte upstream's. Pure.
 *
 * No field is added: some SDKs seal the whole response into a cookie, which has no room for more.
 */
import type { Config } from '../config.ts'
import { NO_STORE } from '../http/answers.ts'
import { responseHeaders } from '../http/headers.ts'
import { replaceMembers } from '../http/json_text.ts'
import type { LogLine } from '../log.ts'
import type { AnswerHead, UpstreamTokens } from './upstream.ts'

/** The replacements in the response. */
export interface Replacements {
  readonly accessToken?: string | undefined
  readonly idToken?: string | undefined
  /** Seconds; replaces upstream's figure, if there is one. */
  readonly expiresIn?: number | undefined
  /** The end of the access token, for siblings of `expires_in`; epoch seconds. */
  readonly exp?: number | undefined
}

/** Further fields for the end that some providers send (Supabase, Entra) and clients use. */
function endsOf(body: Readonly<Record<string, unknown>>, { expiresIn, exp }: Replacements) {
  const ends = new Map<string, string | number>()
  if (exp === undefined || expiresIn === undefined) return ends
  if (body.ext_expires_in !== undefined) ends.set('ext_expires_in', as(body.ext_expires_in, expiresIn))
  for (const name of ['expires_at', 'expires_on', 'expires']) {
    const given = body[name]
    if (typeof given === 'number' || (typeof given === 'string' && /^\d+$/.test(given))) {
      const isMilliseconds = Number(given) > MAX_EPOCH_SECONDS
      ends.set(name, as(given, isMilliseconds ? exp * 1000 : exp))
    } else if (typeof given === 'string' && !Number.isNaN(Date.parse(given))) {
      ends.set(name, new Date(exp * 1000).toISOString())
    }
  }
  return ends
}

/** The year 5138. */
const MAX_EPOCH_SECONDS = 1e11

const as = (given: unknown, value: number): string | number =>
  typeof given === 'string' ? String(value) : value

/** Fields that describe the body as it was on the wire. */
const OF_THE_OLD_BODY = ['content-length', 'content-encoding', 'etag']

/** @param serverTiming - how long the gateway's stages took */
export function respond(
  upstream: AnswerHead,
  { body }: UpstreamTokens,
  replacements: Replacements,
  serverTiming: string,
  config: Config,
): Response {
  const { accessToken, idToken, expiresIn } = replacements
  const values = endsOf(body.object, replacements)
  if (accessToken !== undefined) values.set('access_token', accessToken)
  if (idToken !== undefined) values.set('id_token', idToken)
  if (expiresIn !== undefined) values.set('expires_in', expiresIn)

  const headers = responseHeaders(upstream.headers, config)
  for (const name of OF_THE_OLD_BODY) headers.delete(name)
  for (const [name, value] of Object.entries(NO_STORE)) headers.set(name, value)
  headers.append('server-timing', serverTiming)
  const { status, statusText } = upstream
  return new Response(replaceMembers(body, values), { status, statusText, headers })
}

/** @see https://www.w3.org/TR/server-timing/ */
export function serverTiming({ session, upstream_ms, lookup_ms, mint_ms }: LogLine): string {
  const durations = Object.entries({ upstream: upstream_ms, lookup: lookup_ms, mint: mint_ms })
    .filter(([, duration]) => duration !== undefined)
    .map(([name, duration]) => `${name};dur=${duration}`)
  return (session === undefined ? durations : [...durations, `session;desc=${session}`]).join(', ')
}
