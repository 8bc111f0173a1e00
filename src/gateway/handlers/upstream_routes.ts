/**
 * The paths that upstream's own description defines: its token endpoint, key set, discovery document, log-in and log-out; and
 * the rest, which is proxied.
 *
 * While upstream's description is unknown, nothing is proxied: a path that may be the token endpoint must not slip through.
 */
import { problem } from '../http/answers.ts'
import { answerPublicPreflight, isPreflight } from '../http/cors.ts'
import { canonicalPath, discoveryAt, isMisspeltOwnPath, pathMatcher } from '../http/paths.ts'
import type { Endpoints } from '../profiles/profile.ts'
import { rewriteMetadata } from '../proxy/discovery.ts'
import { endpointTarget } from '../proxy/proxy.ts'
import { JWKS_MAX_AGE_SECONDS, ownKeys, publishedKeys } from '../signing_keys/jwks.ts'
import { refuseGuarded } from '../verification/forward_auth.ts'
import { isMisspeltGuardPath } from '../verification/guard_url.ts'
import { proxyAsIs, proxyWithoutHint, refuse, send } from './proxied.ts'
import type { Handler, RequestContext } from './request_context.ts'
import { endUserSession, revokeSession, revokeToken } from './session_routes.ts'
import { serveTokens } from './token_endpoint.ts'

/** Public documents: any origin may read and cache them. */
export const PUBLIC = {
  'cache-control': `public, max-age=${JWKS_MAX_AGE_SECONDS}`,
  'access-control-allow-origin': '*',
}

export async function route(context: RequestContext): Promise<Response> {
  const { request, path, gateway, log } = context
  const { config, profile } = gateway
  if (isMisspeltGuardPath(path)) return refuseGuarded('requirement_malformed', log.request_id).response
  const endpoints = await profile.endpoints()
  if (!endpoints.ok) return refuse(context, endpoints.reason)
  const { token, jwks, authorization, endSession, revocation, sessionRevocation, session } = endpoints.value

  const is = pathMatcher(path)
  const further = config.upstream.tokenPaths.find(is)
  if (further !== undefined)
    return serveTokens(context, { url: config.upstream.origin + further, path: further })
  if (is(token.path)) return serveTokens(context, token)
  const isRead = isReadOrPreflight(request)
  if (isRead && is(jwks.path)) return servePublishedKeys(context)
  const canonical = canonicalPath(path)
  const discovery = isRead && discoveryAt(canonical, config, [profile.discoveryPath ?? []].flat())
  if (discovery === 'own') return serveMetadata(context, endpoints.value)
  if (discovery === 'leads_past' || isMisspeltOwnPath(canonical, request.method, config))
    return answerNothing(context)

  const isPost = request.method === 'POST'
  if (endSession && is(endSession.path)) return endUserSession(context, endSession, session)
  if (revocation && isPost && is(revocation.path)) return revokeToken(context, revocation)
  if (sessionRevocation && session && isPost && is(sessionRevocation.path))
    return revokeSession(context, sessionRevocation, session)
  if (authorization && is(authorization.path)) log.route = 'authorize'
  const { pushedAuthorization, backchannelAuthentication } = endpoints.value
  const hinted = [authorization, pushedAuthorization, backchannelAuthentication]
  const endpoint = hinted.find((one) => one && is(one.path))
  if (endpoint && !isPreflight(request)) return proxyWithoutHint(context, endpoint)
  const elsewhere = [...hinted, revocation].find((one) => one?.isElsewhere && is(one.path))
  return elsewhere
    ? send(context, request, endpointTarget(request, elsewhere, config), request.body)
    : proxyAsIs(context)
}

/** An unknown path of the gateway's own is not passed to upstream, which would see the keys of services. */
export function answerNothing({ log }: RequestContext): Response {
  return problem(404, 'not_found', 'There is nothing here.', log.request_id)
}

/** The gateway's own address of the key set; other methods go to upstream. */
export const answerKeys: Handler = (context) =>
  isReadOrPreflight(context.request) ? servePublishedKeys(context) : route(context)

/** For services whose library cannot choose among the keys of a set: what verifies with these was minted here. */
export const answerOwnKeys: Handler = (context) => {
  const { request, gateway, log } = context
  if (!isReadOrPreflight(request)) return route(context)
  log.route = 'jwks'
  if (isPreflight(request)) return answerPublicPreflight(request)
  return Response.json(ownKeys(gateway.config, gateway.keyring), { headers: PUBLIC })
}

async function servePublishedKeys(context: RequestContext): Promise<Response> {
  const { config, keyring, keys } = context.gateway
  context.log.route = 'jwks'
  if (isPreflight(context.request)) return answerPublicPreflight(context.request)
  const published = await publishedKeys(config, keyring, keys)
  return published.ok
    ? Response.json(published.value, { headers: PUBLIC })
    : refuse(context, published.reason)
}

async function serveMetadata(context: RequestContext, endpoints: Endpoints): Promise<Response> {
  const { config, keyring, profile } = context.gateway
  context.log.route = 'discovery'
  if (isPreflight(context.request)) return answerPublicPreflight(context.request)
  const metadata = await profile.metadata()
  if (!metadata.ok) return refuse(context, metadata.reason)
  return Response.json(rewriteMetadata(metadata.value, endpoints, config, keyring), { headers: PUBLIC })
}

/** Documents can be read, also by pages. */
export const isReadOrPreflight = (request: Request): boolean =>
  request.method === 'GET' || request.method === 'HEAD' || isPreflight(request)
