/**
 * Sends the request to upstream unchanged, and returns its complete response or a fault.
 *
 * From here on the refresh token may be spent. A refusal, or a response without an access token, is passed on unchanged. A
 * success that cannot be read is withheld, because it may hold an access token.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { NO_STORE } from '../http/answers.ts'
import { readBounded } from '../http/body.ts'
import { type JsonObjectText, parseObjectText } from '../http/json_text.ts'
import type { NoAnswer, NoSessionAnswer, ReplaysExhausted, SessionPath } from '../sessions/call.ts'
import type { RefreshRequest } from './request.ts'

/** A token response with the user's profile is about 10 KiB; the limit only protects the isolate. */
const MAX_ANSWER_BYTES = 1024 * 1024

/** Upstream's response: tokens, or anything else, which is passed on. */
export type UpstreamAnswer =
  | { readonly kind: 'tokens'; readonly response: AnswerHead; readonly tokens: UpstreamTokens }
  | { readonly kind: 'other'; readonly response: Response }

export interface UpstreamTokens {
  readonly body: JsonObjectText
  readonly accessToken: string
  readonly idToken: string | undefined
  /** Upstream says that `access_token` holds a token of another kind (RFC 8693 section 2.2.1). */
  readonly labelledAs: string | undefined
  /** When upstream returned them; epoch milliseconds. */
  readonly receivedAt: number
}

export type UpstreamReason = NoSessionAnswer | 'upstream_answer_unreadable' | 'access_token_misplaced'

export interface UpstreamCall {
  readonly url: string
  readonly request: RefreshRequest
  /** The client's headers, prepared for upstream. */
  readonly headers: Headers
}

/** The head of a response. */
export type AnswerHead = Pick<Response, 'ok' | 'status' | 'statusText' | 'headers'>

export type UpstreamReply = (
  | { readonly response: Response; readonly text?: undefined }
  /** A success whose body is already read. */
  | { readonly response: AnswerHead; readonly text: string }
) & {
  /** When upstream returned it, which may be a while ago; epoch milliseconds. */
  readonly receivedAt: number
  /** How a refresh got it. */
  readonly session?: SessionPath
  readonly warnings?: readonly string[]
}

/** Sends a request to upstream: directly, or through the object that all requests for one refresh share. */
export type SendTokenRequest = (
  call: UpstreamCall,
) => Promise<Result<UpstreamReply, UpstreamReason> | ReplaysExhausted>

/** Sends the request to upstream, once. */
export const direct =
  (timeoutMs: number, fetcher: typeof fetch, clock: () => number): SendTokenRequest =>
  async ({ url, request, headers }) => {
    try {
      const response = await fetcher(url, {
        method: 'POST',
        headers,
        body: request.body,
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      return ok({ response, receivedAt: clock() })
    } catch (cause) {
      return err(reasonOf(cause))
    }
  }

/** Reads the tokens of a response. */
export async function readAnswer(reply: UpstreamReply): Promise<Result<UpstreamAnswer, UpstreamReason>> {
  const { response, receivedAt } = reply
  if (reply.text === undefined && !response.ok) return ok({ kind: 'other', response: reply.response })
  try {
    const body =
      reply.text === undefined ? await readBounded(reply.response, MAX_ANSWER_BYTES) : ok(reply.text)
    if (!body.ok) return err('upstream_answer_too_large')
    const object = parseObjectText(body.value)
    if (!object && body.value !== '') return err('upstream_answer_unreadable')
    const tokens = object && readTokens(object, receivedAt)
    return ok(
      tokens
        ? { kind: 'tokens', response, tokens }
        : { kind: 'other', response: sameAgain(response, body.value) },
    )
  } catch (cause) {
    return err(reasonOf(cause))
  }
}

const reasonOf = (cause: unknown): NoAnswer =>
  cause instanceof Error && cause.name === 'TimeoutError' ? 'upstream_timeout' : 'upstream_unreachable'

/**
 * The address of a request. The endpoint's own query (a tenant, a policy) is in its published address too, and so in the
 * request; a client cannot change it.
 */
export function endpointUrl(endpoint: string, { search }: RefreshRequest): string {
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

/** The tokens of a response; `undefined` if it has no access token in the expected place. */
export function readTokens(body: JsonObjectText, receivedAt: number): UpstreamTokens | undefined {
  const { access_token: accessToken, id_token: idToken, issued_token_type: type } = body.object
  if (typeof accessToken !== 'string') return undefined
  return {
    body,
    accessToken,
    idToken: typeof idToken === 'string' ? idToken : undefined,
    labelledAs: OTHER_TOKEN_TYPES.includes(type as string) ? (type as string) : undefined,
    receivedAt,
  }
}

/** Rebuilds a response whose body was read. */
function sameAgain(response: AnswerHead, body: string): Response {
  const headers = new Headers(response.headers)
  for (const name of ['content-length', 'content-encoding']) headers.delete(name)
  for (const [name, value] of Object.entries(NO_STORE)) headers.set(name, value)
  return new Response(body || null, { status: response.status, statusText: response.statusText, headers })
}
