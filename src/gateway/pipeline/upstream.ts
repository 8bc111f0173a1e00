/**
 * Stage 3: the request goes to upstream as it came, and the answer comes back whole or not at all.
 *
 * From here on the refresh token may be spent. A refusal, and an answer that holds no access token, is upstream's own
 * affair and passes through as it is. A yes that cannot be read is withheld, because it may hold one.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { NO_STORE, readBounded } from '../http.ts'
import { type JsonObjectText, parseObjectText } from './json_text.ts'
import type { RefreshRequest } from './request.ts'

/** A token answer with the user's profile in it is some 10 KiB; this only keeps the isolate alive. */
const MAX_ANSWER_BYTES = 1024 * 1024

/** What upstream said: tokens, or anything else, which is not ours to read. */
export type UpstreamAnswer =
  | { readonly kind: 'tokens'; readonly response: Response; readonly tokens: UpstreamTokens }
  | { readonly kind: 'other'; readonly response: Response }

export interface UpstreamTokens {
  readonly body: JsonObjectText
  readonly accessToken: string
  readonly idToken: string | undefined
}

export type UpstreamReason =
  | 'upstream_timeout'
  | 'upstream_unreachable'
  | 'upstream_answer_too_large'
  | 'upstream_answer_unreadable'

/**
 * @param headers - the client's headers, made ready for upstream
 */
export async function callUpstream(
  endpoint: string,
  request: RefreshRequest,
  headers: Headers,
  timeoutMs: number,
  fetcher: typeof fetch,
): Promise<Result<UpstreamAnswer, UpstreamReason>> {
  try {
    const response = await fetcher(withQuery(endpoint, request.search), {
      method: 'POST',
      headers,
      body: request.body,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    if (!response.ok) return ok({ kind: 'other', response })
    const body = await readBounded(response, MAX_ANSWER_BYTES)
    if (!body.ok) return err('upstream_answer_too_large')
    const object = parseObjectText(body.value)
    if (!object && body.value !== '') return err('upstream_answer_unreadable')
    const tokens = object && readTokens(object)
    return ok(
      tokens
        ? { kind: 'tokens', response, tokens }
        : { kind: 'other', response: sameAgain(response, body.value) },
    )
  } catch (cause) {
    return err(
      cause instanceof Error && cause.name === 'TimeoutError' ? 'upstream_timeout' : 'upstream_unreachable',
    )
  }
}

/**
 * The endpoint's own query (a tenant, a policy) is in its published address too, and so comes back with the request; a
 * client cannot change it.
 */
function withQuery(endpoint: string, search: string): string {
  if (search === '' || !endpoint.includes('?')) return endpoint + search
  const url = new URL(endpoint)
  const parameters = new URLSearchParams(search)
  for (const name of url.searchParams.keys()) parameters.delete(name)
  for (const [name, value] of url.searchParams) parameters.append(name, value)
  url.search = parameters.toString()
  return url.href
}

/** What a token exchange may put into `access_token` that is no access token (RFC 8693 sections 2.2.1 and 3). */
const OTHER_TOKEN_TYPES = ['id_token', 'refresh_token', 'saml1', 'saml2'].map(
  (name) => `urn:ietf:params:oauth:token-type:${name}`,
)

function readTokens(body: JsonObjectText): UpstreamTokens | undefined {
  const { access_token: accessToken, id_token: idToken, issued_token_type: type } = body.object
  if (typeof accessToken !== 'string' || OTHER_TOKEN_TYPES.includes(type as string)) return undefined
  return { body, accessToken, idToken: typeof idToken === 'string' ? idToken : undefined }
}

/** An answer whose body was read, whole again. */
function sameAgain(response: Response, body: string): Response {
  const headers = new Headers(response.headers)
  for (const name of ['content-length', 'content-encoding']) headers.delete(name)
  for (const [name, value] of Object.entries(NO_STORE)) headers.set(name, value)
  return new Response(body || null, { status: response.status, statusText: response.statusText, headers })
}
