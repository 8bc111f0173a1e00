/**
 * Everything that is not intercepted goes to upstream and back unchanged: streamed, redirects not followed.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { passThrough, requestHeaders } from '../http/headers.ts'
import type { Endpoint } from '../profiles/profile.ts'

/** The same path and query at upstream's origin. */
export function upstreamUrl(request: Request, config: Config): URL {
  const { pathname, search } = new URL(request.url)
  return new URL(config.upstream.origin + pathname + search)
}

/** An endpoint, wherever upstream has it, with the request's query. */
export function endpointTarget(request: Request, { url, isElsewhere }: Endpoint, config: Config): URL {
  if (!isElsewhere) return upstreamUrl(request, config)
  const target = new URL(url)
  const { search } = new URL(request.url)
  // Its own query is in its published address too, and so is already in the request.
  if (search !== '') target.search = search
  return target
}

/** The parts of a request that are passed on. */
export type ProxiedRequest = Pick<Request, 'method' | 'headers'>

/** The encodings that the runtime decodes, so that a response can be inspected. */
function readableEncodings(accepted: string): string {
  const readable = accepted.split(',').filter((encoding) => /^\s*(gzip|br)\s*(;|$)/i.test(encoding))
  return readable.join(',').trim() || 'identity'
}

/** Passes a request on. @param body - the request's own, or its replacement */
export async function proxy(
  request: ProxiedRequest,
  target: URL,
  body: string | ReadableStream | null,
  config: Config,
  fetcher: typeof fetch,
): Promise<Result<Response, 'upstream_unreachable'>> {
  const headers = requestHeaders(request.headers, config)
  const accepted = headers.get('accept-encoding')
  // Without the field the runtime sends its own, of the encodings that it decodes.
  if (accepted !== null) headers.set('accept-encoding', readableEncodings(accepted))
  try {
    const response = await fetcher(target.href, {
      method: request.method,
      headers,
      // The runtime makes a stream of a declared length of 0, which means no content (RFC 9110 section 8.6).
      body: request.headers.get('content-length') === '0' ? null : body,
      redirect: 'manual',
    })
    return ok(passThrough(response, config))
  } catch {
    return err('upstream_unreachable')
  }
}
