/**
 * What a browser may send from a page of another origin, and what that page may read. Pure.
 *
 * Upstream answers preflights of its own paths, the gateway those of its own documents. Whether a request
 * is a preflight does not depend on its body: Safari declares one of length 0, and workerd makes a stream of that.
 *
 * @see https://fetch.spec.whatwg.org/#http-cors-protocol
 */

/** How long a browser may cache the answer to a preflight. */
const PREFLIGHT_MAX_AGE_SECONDS = 600

const REQUESTED_METHOD = 'access-control-request-method'
const REQUESTED_HEADERS = 'access-control-request-headers'
const ALLOWED_ORIGIN = 'access-control-allow-origin'
const ALLOWED_HEADERS = 'access-control-allow-headers'
const EXPOSED_HEADERS = 'access-control-expose-headers'

/** The gateway's own fields, which upstream does not know. */
const OWN_REQUEST_HEADERS = ['remint-min-version']

export const isPreflight = ({ method, headers }: Request): boolean =>
  method === 'OPTIONS' && headers.has('origin') && headers.has(REQUESTED_METHOD)

/** The method that a page would like to use. */
export const requestedMethod = ({ headers }: Request): string | null => headers.get(REQUESTED_METHOD)

/**
 * The answer for a document that anybody may read. Tracing agents add their own fields to every request, so every field is
 * allowed; none has an effect.
 */
export function answerPublicPreflight({ headers }: Request, methods = 'GET, HEAD'): Response {
  const requested = headers.get(REQUESTED_HEADERS)
  return new Response(null, {
    status: 204,
    headers: {
      [ALLOWED_ORIGIN]: '*',
      'access-control-allow-methods': methods,
      ...(requested !== null && { [ALLOWED_HEADERS]: requested }),
      'access-control-max-age': String(PREFLIGHT_MAX_AGE_SECONDS),
      vary: REQUESTED_HEADERS,
    },
  })
}

/** Lets every page read a response, and these fields in it. */
export function readableByAll(response: Response, names: string): Response {
  response.headers.set(ALLOWED_ORIGIN, '*')
  response.headers.set(EXPOSED_HEADERS, names)
  return response
}

/** The headers of a preflight for upstream: without fields that it does not know. */
export function preflightForUpstream(request: Headers): Headers {
  const headers = new Headers(request)
  const others = fieldNames(headers.get(REQUESTED_HEADERS)).filter(
    (name) => !OWN_REQUEST_HEADERS.includes(name),
  )
  if (others.length > 0) headers.set(REQUESTED_HEADERS, others.join(','))
  else headers.delete(REQUESTED_HEADERS)
  return headers
}

/** If upstream allows a page's request, allows the gateway's own fields in it too. */
export function allowOwnHeaders(request: Headers, response: Headers): void {
  const requested = fieldNames(request.get(REQUESTED_HEADERS)).filter((name) =>
    OWN_REQUEST_HEADERS.includes(name),
  )
  if (requested.length === 0 || !response.has(ALLOWED_ORIGIN)) return
  response.append(ALLOWED_HEADERS, requested.join(', '))
}

/** Lets a page that may read the response read a field of the gateway in it. */
export function expose(response: Headers, name: string): void {
  if (response.has(ALLOWED_ORIGIN)) response.append(EXPOSED_HEADERS, name)
}

/**
 * Lets the page that sent the request read an error of the gateway: to a browser's SDK an unreadable response is a network
 * failure, and it would not learn when to retry. Nothing in it is secret.
 */
export function readableBy(request: Request, response: Response): Response {
  const origin = request.headers.get('origin')
  if (origin === null) return response
  response.headers.set(ALLOWED_ORIGIN, origin)
  response.headers.set('access-control-allow-credentials', 'true')
  response.headers.set(EXPOSED_HEADERS, 'retry-after, x-request-id')
  response.headers.append('vary', 'origin')
  return response
}

const fieldNames = (list: string | null): string[] =>
  (list ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
