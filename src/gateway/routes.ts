/**
 * The paths that only upstream's own description tells apart: its token endpoint, its key set, its discovery document,
 * where it logs users in and out; and the rest, which is proxied.
 *
 * While upstream cannot be described, nothing is proxied: a path that may be the token endpoint must not slip by.
 */
import type { GatewayContext } from './app.ts'
import { hintError, refreshError, tokenRequestError } from './errors.ts'
import { requestHeaders } from './headers.ts'
import { oauthError } from './http.ts'
import { JWKS_MAX_AGE_SECONDS, publishedKeys } from './keys/jwks.ts'
import { isSamePath, ownDiscoveryPaths } from './paths.ts'
import { refresh } from './pipeline/refresh.ts'
import { parseTokenRequest } from './pipeline/request.ts'
import type { Endpoints } from './profiles/profile.ts'
import { rewriteMetadata } from './proxy/discovery.ts'
import { withoutOwnHint } from './proxy/id_token_hint.ts'
import { proxy, upstreamUrl } from './proxy/proxy.ts'

/** Public documents: any origin may read them, and keep them for a while. */
const PUBLIC = {
  'cache-control': `public, max-age=${JWKS_MAX_AGE_SECONDS}`,
  'access-control-allow-origin': '*',
}

export async function route(c: GatewayContext): Promise<Response> {
  const { config, profile } = c.var.gateway
  const endpoints = await profile.endpoints()
  if (!endpoints.ok) return refuse(c, endpoints.reason)
  const { token, jwks, authorization, endSession } = endpoints.value
  const { pathname } = new URL(c.req.url)
  const isRead = c.req.method === 'GET' || c.req.method === 'HEAD'

  if (isSamePath(pathname, token.pathname)) return serveTokens(c, token)
  if (isRead && isSamePath(pathname, jwks.pathname)) return servePublishedKeys(c)
  if (isRead && [...ownDiscoveryPaths(config), profile.discoveryPath].includes(pathname)) {
    return serveMetadata(c, endpoints.value)
  }
  const takesHint = [authorization, endSession].some(
    (endpoint) => endpoint && isSamePath(pathname, endpoint.pathname),
  )
  return takesHint ? proxyWithoutHint(c) : proxyAsIs(c)
}

export async function servePublishedKeys(c: GatewayContext): Promise<Response> {
  const { config, keyring, keys } = c.var.gateway
  c.var.log.route = 'jwks'
  const published = await publishedKeys(config, keyring, keys)
  return published.ok ? c.json(published.value, 200, PUBLIC) : refuse(c, published.reason)
}

async function serveMetadata(c: GatewayContext, endpoints: Endpoints): Promise<Response> {
  const { config, keyring, profile } = c.var.gateway
  c.var.log.route = 'discovery'
  const metadata = await profile.metadata()
  if (!metadata.ok) return refuse(c, metadata.reason)
  return c.json(rewriteMetadata(metadata.value, endpoints, config, keyring), 200, PUBLIC)
}

async function serveTokens(c: GatewayContext, endpoint: URL): Promise<Response> {
  const { gateway, log } = c.var
  const request = c.req.raw
  log.route = 'token'
  // A browser asks upstream whether it may send the request; the request itself is ours.
  if (request.method === 'OPTIONS') return proxyAsIs(c)
  if (request.method !== 'POST') {
    return oauthError(405, 'invalid_request', 'Use POST.', log.request_id, { allow: 'POST' })
  }
  const parsed = await parseTokenRequest(request, gateway.profile.bodyFormats)
  if (!parsed.ok) {
    log.reason = parsed.reason
    return readableBy(request, tokenRequestError(parsed.reason, log.request_id))
  }
  const headers = requestHeaders(request.headers, gateway.config)
  const refreshing = refresh(gateway, endpoint, parsed.value, headers, log)
  // A closed tab must not lose a refresh token that upstream has rotated.
  keepAlive(c, refreshing)
  const answer = await refreshing
  return answer.ok ? answer.value : refuse(c, answer.reason)
}

async function proxyWithoutHint(c: GatewayContext): Promise<Response> {
  const { config, keyring, fetcher } = c.var.gateway
  const request = c.req.raw
  const hintless = await withoutOwnHint(request, upstreamUrl(request, config), config, keyring)
  if (!hintless.ok) {
    c.var.log.reason = hintless.reason
    return hintError(hintless.reason, c.var.log.request_id)
  }
  const proxied = await proxy(request, hintless.value.target, hintless.value.body, config, fetcher)
  return proxied.ok ? proxied.value : refuse(c, proxied.reason)
}

async function proxyAsIs(c: GatewayContext): Promise<Response> {
  const { config, fetcher } = c.var.gateway
  const request = c.req.raw
  const proxied = await proxy(request, upstreamUrl(request, config), request.body, config, fetcher)
  return proxied.ok ? proxied.value : refuse(c, proxied.reason)
}

function refuse(c: GatewayContext, reason: Parameters<typeof refreshError>[0]): Response {
  c.var.log.reason = reason
  return readableBy(c.req.raw, refreshError(reason, c.var.log.request_id))
}

/**
 * Lets the page that asked read an error of ours: to a browser's SDK an answer it may not read is a network failure,
 * and it would not learn when to try again. Nothing in it is secret.
 */
function readableBy(request: Request, response: Response): Response {
  const origin = request.headers.get('origin')
  if (origin !== null) {
    response.headers.set('access-control-allow-origin', origin)
    response.headers.set('access-control-allow-credentials', 'true')
    response.headers.set('access-control-expose-headers', 'retry-after, x-request-id')
    response.headers.append('vary', 'origin')
  }
  return response
}

function keepAlive(c: GatewayContext, work: Promise<unknown>): void {
  try {
    c.executionCtx.waitUntil(work)
  } catch {
    // Not on Workers: nothing ends the work early there.
  }
}
