/**
 * The paths that only upstream's own description tells apart: its token endpoint, its key set, its discovery document,
 * where it logs users in and out; and the rest, which is proxied.
 *
 * While upstream cannot be described, nothing is proxied: a path that may be the token endpoint must not slip by.
 */
import { documentId } from '../../core/claims.ts'
import type { MintedEvent } from '../../core/mint_event.ts'
import { formError, hintError, refreshError, tokenRequestError } from '../http/refusals.ts'
import type { Exchange } from './request_context.ts'
import { tokenRequestHeaders } from '../http/headers.ts'
import { NO_STORE, oauthError, readForm } from '../http/body.ts'
import { JWKS_MAX_AGE_SECONDS, publishedKeys } from '../signing_keys/jwks.ts'
import { ownDiscoveryPaths, pathMatcher } from '../http/paths.ts'
import { refresh } from '../pipeline/refresh.ts'
import { parseTokenRequest } from '../pipeline/request.ts'
import type { Endpoint, Endpoints } from '../profiles/profile.ts'
import { rewriteMetadata } from '../proxy/discovery.ts'
import { withoutOwnHint } from '../proxy/id_token_hint.ts'
import { proxy, upstreamUrl } from '../proxy/proxy.ts'
import { revokeOwnToken } from '../proxy/revoke.ts'
import { basicCredentials } from '../verification/credentials.ts'
import { refuseGuarded } from '../verification/forward_auth.ts'
import { isMisspeltGuardPath } from '../verification/guard_url.ts'

/** Public documents: any origin may read them, and keep them for a while. */
export const PUBLIC = {
  'cache-control': `public, max-age=${JWKS_MAX_AGE_SECONDS}`,
  'access-control-allow-origin': '*',
}

export async function route(exchange: Exchange): Promise<Response> {
  const { request, path, gateway } = exchange
  if (isMisspeltGuardPath(path))
    return refuseGuarded('requirement_malformed', exchange.log.request_id).response
  const endpoints = await gateway.profile.endpoints()
  if (!endpoints.ok) return refuse(exchange, endpoints.reason)
  const { token, jwks, authorization, endSession, revocation } = endpoints.value
  const isRead = request.method === 'GET' || request.method === 'HEAD'

  const is = pathMatcher(path)
  if (is(token.path)) return serveTokens(exchange, token)
  if (isRead && is(jwks.path)) return servePublishedKeys(exchange)
  const metadata = [...ownDiscoveryPaths(gateway.config), gateway.profile.discoveryPath ?? []].flat()
  if (isRead && metadata.some(is)) return serveMetadata(exchange, endpoints.value)
  const isAt = (endpoint: Endpoint | undefined) => endpoint && is(endpoint.path)
  if (isAt(endSession)) return endUserSession(exchange, endpoints.value.sessionParameter)
  if (isAt(authorization)) return proxyWithoutHint(exchange)
  if (isAt(revocation) && request.method === 'POST') return revokeToken(exchange)
  return proxyAsIs(exchange)
}

export async function servePublishedKeys(exchange: Exchange): Promise<Response> {
  const { config, keyring, keys } = exchange.gateway
  exchange.log.route = 'jwks'
  const published = await publishedKeys(config, keyring, keys)
  return published.ok
    ? Response.json(published.value, { headers: PUBLIC })
    : refuse(exchange, published.reason)
}

async function serveMetadata(exchange: Exchange, endpoints: Endpoints): Promise<Response> {
  const { config, keyring, profile } = exchange.gateway
  exchange.log.route = 'discovery'
  const metadata = await profile.metadata()
  if (!metadata.ok) return refuse(exchange, metadata.reason)
  return Response.json(rewriteMetadata(metadata.value, endpoints, config, keyring), { headers: PUBLIC })
}

async function serveTokens(exchange: Exchange, endpoint: Endpoint): Promise<Response> {
  const { request, gateway, log, defer } = exchange
  log.route = 'token'
  // A browser asks upstream whether it may send the request; the request itself is ours.
  if (isPreflight(request)) return proxyAsIs(exchange)
  if (request.method !== 'POST') {
    return oauthError(405, 'invalid_request', 'Use POST.', log.request_id, { allow: 'POST' })
  }
  const parsed = await parseTokenRequest(request, gateway.profile.bodyFormats)
  if (!parsed.ok) {
    log.reason = parsed.reason
    return readableBy(request, tokenRequestError(parsed.reason, log.request_id))
  }
  const headers = tokenRequestHeaders(request.headers, gateway.config)
  const { mintLog } = gateway
  const record = mintLog && ((event: MintedEvent) => mintLog.record(event, defer))
  const answer = await refresh({ ...gateway, record }, endpoint.url, parsed.value, headers, log)
  return answer.ok ? answer.value : refuse(exchange, answer.reason)
}

/** @see https://fetch.spec.whatwg.org/#cors-preflight-request */
const isPreflight = ({ method, headers, body }: Request): boolean =>
  method === 'OPTIONS' &&
  body === null &&
  headers.has('origin') &&
  headers.has('access-control-request-method')

/** Logging out through the gateway also ends what it minted for the session, for those who ask `live`. */
async function endUserSession(exchange: Exchange, sessionParameter: string | undefined): Promise<Response> {
  const { request, log } = exchange
  log.route = 'logout'
  // A preflight, or a look at the headers, logs nobody out.
  const isLogOut = request.method === 'GET' || request.method === 'POST'
  if (sessionParameter === undefined) {
    return proxyWithoutHint(exchange, async (sid) => isLogOut && denySession(exchange, sid))
  }
  const answer = await proxyAsIs(exchange)
  // No proof comes with the parameter: upstream's yes is what says that there was such a session. Which of two it was
  // about, nobody can say.
  const [sid, ...others] = new URL(request.url).searchParams.getAll(sessionParameter)
  const isOver = isLogOut && answer.status < 400 && others.length === 0
  if (isOver) await denySession(exchange, documentId(sid))
  return answer
}

/** A log-out goes on without it: the denylist takes its time limit at most, while upstream is asked. */
async function denySession({ gateway, log }: Exchange, sid: string | undefined): Promise<void> {
  const { denylist } = gateway
  if (sid === undefined) return
  const added = await denylist.add([denylist.session(sid)])
  if (!added.ok) log.warnings = [...(log.warnings ?? []), added.reason]
}

async function revokeToken(exchange: Exchange): Promise<Response> {
  const { request, gateway, log } = exchange
  log.route = 'revoke'
  const form = await readForm(request, 'token')
  if (!form.ok) {
    log.reason = form.reason
    return readableBy(request, formError(form.reason, log.request_id))
  }
  const { value: parameters } = form
  const clientId = parameters.get('client_id') ?? basicCredentials(request.headers.get('authorization'))?.name
  const revoked = await revokeOwnToken(parameters.get('token') as string, clientId, gateway, gateway.clock())
  if (!revoked.ok) return refuse(exchange, revoked.reason)
  const target = upstreamUrl(request, gateway.config)
  const proxied = await proxy(request, target, parameters.toString(), gateway.config, gateway.fetcher)
  // Upstream does not know a token of ours, and may say so in any way it likes.
  if (revoked.value) return readableBy(request, new Response(null, { status: 200, headers: NO_STORE }))
  return proxied.ok ? proxied.value : refuse(exchange, proxied.reason)
}

async function proxyWithoutHint(
  exchange: Exchange,
  onSession: (sid: string | undefined) => Promise<unknown> = async () => {},
): Promise<Response> {
  const { request, log } = exchange
  const { config, keyring, fetcher } = exchange.gateway
  const hintless = await withoutOwnHint(request, upstreamUrl(request, config), config, keyring)
  if (!hintless.ok) {
    log.reason = hintless.reason
    return hintError(hintless.reason, log.request_id)
  }
  const { target, body, sid } = hintless.value
  const [proxied] = await Promise.all([proxy(request, target, body, config, fetcher), onSession(sid)])
  return proxied.ok ? proxied.value : refuse(exchange, proxied.reason)
}

async function proxyAsIs(exchange: Exchange): Promise<Response> {
  const { request, gateway } = exchange
  const { config, fetcher } = gateway
  const proxied = await proxy(request, upstreamUrl(request, config), request.body, config, fetcher)
  return proxied.ok ? proxied.value : refuse(exchange, proxied.reason)
}

function refuse({ request, log }: Exchange, reason: Parameters<typeof refreshError>[0]): Response {
  log.reason = reason
  return readableBy(request, refreshError(reason, log.request_id))
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
