/**
 * Upstream's answer with our tokens in it; everything else stays byte for byte upstream's. Pure.
 *
 * No field is added: some SDKs seal the whole answer into a cookie, which has no room for more.
 */
import type { Config } from '../config.ts'
import { NO_STORE } from '../http/answers.ts'
import { responseHeaders } from '../http/headers.ts'
import { replaceMembers } from './json_text.ts'
import type { AnswerHead, UpstreamTokens } from './upstream.ts'

/** What goes into the answer in place of upstream's. */
export interface Replacements {
  readonly accessToken?: string | undefined
  readonly idToken?: string | undefined
  /** Seconds; replaces upstream's figure where it gave one. */
  readonly expiresIn?: number | undefined
}

/** Fields that speak of the body as it was on the wire. */
const OF_THE_OLD_BODY = ['content-length', 'content-encoding', 'etag']

/** @param serverTiming - how long our stages took */
export function respond(
  upstream: AnswerHead,
  { body }: UpstreamTokens,
  { accessToken, idToken, expiresIn }: Replacements,
  serverTiming: string,
  config: Config,
): Response {
  const values = new Map<string, string | number>()
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
