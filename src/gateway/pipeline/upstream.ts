/**
 * Stage 3: the request goes to upstream as it came, and the answer comes back whole or not at all.
 *
 * From here on the refresh token may be spent. An answer that holds no access token is upstream's own affair and
 * passes through as it is.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { readBounded } from '../http.ts'
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

export type UpstreamReason = 'upstream_timeout' | 'upstream_unreachable' | 'upstream_answer_too_large'

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
  // The endpoint's own query (a tenant, a policy) is in its published address too, and so comes back with the request.
  const query = request.search === '' ? -1 : endpoint.indexOf('?')
  const path = query === -1 ? endpoint : endpoint.slice(0, query)
  try {
    const response = await fetcher(path + request.search, {
      method: 'POST',
      headers,
      body: request.body,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    if (!response.ok) return ok({ kind: 'other', response })
    const body = await readBounded(response, MAX_ANSWER_BYTES)
    if (!body.ok) return err('upstream_answer_too_large')
    const tokens = readTokens(body.value)
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

function readTokens(text: string): UpstreamTokens | undefined {
  const body = parseObjectText(text)
  const { access_token: accessToken, id_token: idToken } = body?.object ?? {}
  if (!body || typeof accessToken !== 'string') return undefined
  return { body, accessToken, idToken: typeof idToken === 'string' ? idToken : undefined }
}

/** An answer whose body was read, whole again. */
function sameAgain(response: Response, body: string): Response {
  const headers = new Headers(response.headers)
  for (const name of ['content-length', 'content-encoding']) headers.delete(name)
  return new Response(body || null, { status: response.status, statusText: response.statusText, headers })
}
