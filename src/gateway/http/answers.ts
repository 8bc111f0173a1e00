/**
 * What the gateway's own responses consist of: headers against caching, and errors in the two forms that clients know.
 * Pure.
 *
 * Which reason gets which status and text is in `refusals.ts`.
 */

/** How long a client should wait after a fault that is not its own. */
export const RETRY_AFTER_SECONDS = 2
export const RETRY = { 'retry-after': String(RETRY_AFTER_SECONDS) } as const

/** For every response with a token or a decision (RFC 6749 section 5.1). */
export const NO_STORE = { 'cache-control': 'no-store', pragma: 'no-cache' } as const

/** The same, made once for frequent responses: the runtime copies headers faster than it makes them. */
export const NO_STORE_HEADERS = new Headers(NO_STORE)

/** An OAuth error response (RFC 6749 section 5.2). */
export function oauthError(
  status: number,
  error: string,
  description: string,
  requestId: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json(
    { error, error_description: description, request_id: requestId },
    { status, headers: { ...NO_STORE, 'x-request-id': requestId, ...headers } },
  )
}

/** A problem response (RFC 9457) with a stable `code`. */
export function problem(
  status: number,
  code: string,
  detail: string,
  requestId: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json(
    { type: 'about:blank', status, code, detail, request_id: requestId },
    {
      status,
      headers: {
        'content-type': 'application/problem+json',
        ...NO_STORE,
        'x-request-id': requestId,
        ...headers,
      },
    },
  )
}
