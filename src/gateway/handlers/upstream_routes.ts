/**
 * The paths that only upstream's own description tells apart: its token endpoint, its key set, its discovery document,
 * where it logs users in and out; and the rest, which is proxied.
 *
 * While upstream cannot be described, nothing is proxied: a path that may be the token endpoint must not slip by.
 */
import { documentId } from '../../core/claims.ts'
import type { MintedEvent } from '../../core/mint_event.ts'
import { NO_STORE } from '../http/answers.ts'
import { readForm } from '../http/body.ts'
import {
  allowOwnHeaders,
  answerPublicPreflight,
  isPreflight,
  preflightForUpstream,
  readableBy,
} from '../http/cors.ts'
import { oauthEncoder, problemEncoder } from '../http/encode.ts'
import { encodeFault, type FaultReason } from '../http/faults.ts'
import { tokenRequestHeaders } from '../http/headers.ts'
import { ownDiscoveryPaths, pathMatcher } from '../http/paths.ts'
import { refresh } from '../pipeline/refresh.ts'
import { parseTokenRequest } from '../pipeline/request.ts'
import type { Endpoint, Endpoints } from '../profiles/profile.ts'
import { rewriteMetadata } from '../proxy/discovery.ts'
import { withoutOwnHint } from '../proxy/id_token_hint.ts'
import { proxy, upstreamUrl } from '../proxy/proxy.ts'
import { revokeOwnToken } from '../proxy/revoke.ts'
import { JWKS_MAX_AGE_SECONDS, ownKeys, publishedKeys } from '../signing_keys/jwks.ts'
import { basicCredentials } from '../verification/credentials.ts'
import { refuseGuarded } from '../verification/forward_auth.ts'
import { isMisspeltGuardPath } from '../verification/guard_url.ts'
import type { Handler, RequestContext } from './request_context.ts'

/** Public documents: any origin may read them, and keep them for a while. */
export const PUBLIC = {
  'cache-control': `public, max-age=${JWKS_MAX_AGE_SECONDS}`,
  'access-control-allow-origin': '*',
}

export async function route(context: RequestContext): Promise<Response> {
  const { request, path, gateway } = context
  if (isMisspeltGuardPath(path))
    return refuseGuarded('requirement_malformed', context.log.request_id).response
  const endpoints = await gateway.profile.endpoints()
  if (!endpoints.ok) return refuse(context, endpoints.reason)
  const { token, jwks, authorization, endSession, revocation } = endpoints.value
  const isRead = isReadOrPreflight(request)

  const is = pathMatcher(path)
  if (is(token.path)) return serveTokens(context, token)
  if (isRead && is(jwks.path)) return servePublishedKeys(context)
  const metadata = [...ownDiscoveryPaths(gateway.config), gateway.profile.discoveryPath ?? []].flat()
  if (isRead && metadata.some(is)) return serveMetadata(context, endpoints.value)
  const isAt = (endpoint: Endpoint | undefined) => endpoint && is(endpoint.path)
  if (isAt(endSession)) return endUserSession(context, endpoints.value.sessionParameter)
  if (isAt(authorization)) return proxyWithoutHint(context)
  if (isAt(revocation) && request.method === 'POST') return revokeToken(context)
  return proxyAsIs(context)
}

/** Our own address of the key set; other methods are upstream's affair. */
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

async function serveTokens(context: RequestContext, endpoint: Endpoint): Promise<Response> {
  const { request, gateway, log, defer } = context
  log.route = 'token'
  if (isPreflight(request)) return proxyPreflight(context)
  if (request.method !== 'POST')
    return readableBy(request, oauthEncoder('token')('method_not_allowed', log.request_id))
  const parsed = await parseTokenRequest(request, gateway.profile.bodyFormats)
  if (!parsed.ok) {
    log.reason = parsed.reason
    return readableBy(request, oauthEncoder('token')(parsed.reason, log.request_id))
  }
  const headers = tokenRequestHeaders(request.headers, gateway.config)
  const { mintLog } = gateway
  const record = mintLog && ((event: MintedEvent) => mintLog.record(event, defer))
  const answer = await refresh({ ...gateway, record }, endpoint.url, parsed.value, headers, log)
  return answer.ok ? answer.value : refuse(context, answer.reason)
}

/**
 * A browser asks upstream whether it may send the request; the request itself is ours. Nothing else of it goes along: an
 * upstream that is told to take it for a POST would answer with a token.
 */
async function proxyPreflight(context: RequestContext): Promise<Response> {
  const { request, gateway } = context
  const target = upstreamUrl(request, gateway.config)
  target.search = ''
  const preflight = { method: 'OPTIONS', headers: preflightForUpstream(request.headers) }
  const proxied = await proxy(preflight, target, null, gateway.config, gateway.fetcher)
  if (!proxied.ok) return refuse(context, proxied.reason)
  allowOwnHeaders(request.headers, proxied.value.headers)
  return proxied.value
}

/** Logging out through the gateway also ends what it minted for the session, for those who ask `live`. */
async function endUserSession(
  context: RequestContext,
  sessionParameter: string | undefined,
): Promise<Response> {
  const { request, log } = context
  log.route = 'logout'
  // A preflight, or a look at the headers, logs nobody out.
  const isLogOut = request.method === 'GET' || request.method === 'POST'
  if (sessionParameter === undefined) {
    return proxyWithoutHint(context, async (sid) => isLogOut && denySession(context, sid))
  }
  const answer = await proxyAsIs(context)
  // No proof comes with the parameter: upstream's yes is what says that there was such a session. Which of two it was
  // about, nobody can say.
  const [sid, ...others] = new URL(request.url).searchParams.getAll(sessionParameter)
  const isOver = isLogOut && answer.status < 400 && others.length === 0
  if (isOver) await denySession(context, documentId(sid))
  return answer
}

/** A log-out goes on without it: the denylist takes its time limit at most, while upstream is asked. */
async function denySession({ gateway, log }: RequestContext, sid: string | undefined): Promise<void> {
  const { denylist } = gateway
  if (sid === undefined) return
  const added = await denylist.add([denylist.session(sid)])
  if (!added.ok) log.warnings = [...(log.warnings ?? []), added.reason]
}

async function revokeToken(context: RequestContext): Promise<Response> {
  const { request, gateway, log } = context
  log.route = 'revoke'
  const form = await readForm(request, 'token')
  if (!form.ok) {
    log.reason = form.reason
    return readableBy(request, oauthEncoder('revoke')(form.reason, log.request_id))
  }
  const { value: parameters } = form
  const clientId = parameters.get('client_id') ?? basicCredentials(request.headers.get('authorization'))?.name
  const revoked = await revokeOwnToken(parameters.get('token') as string, clientId, gateway, gateway.clock())
  if (!revoked.ok) return refuse(context, revoked.reason)
  const target = upstreamUrl(request, gateway.config)
  const proxied = await proxy(request, target, parameters.toString(), gateway.config, gateway.fetcher)
  // Upstream does not know a token of ours, and may say so in any way it likes.
  if (revoked.value) return readableBy(request, new Response(null, { status: 200, headers: NO_STORE }))
  return proxied.ok ? proxied.value : refuse(context, proxied.reason)
}

async function proxyWithoutHint(
  context: RequestContext,
  onSession: (sid: string | undefined) => Promise<unknown> = async () => {},
): Promise<Response> {
  const { request, log } = context
  const { config, keyring, fetcher } = context.gateway
  const hintless = await withoutOwnHint(request, upstreamUrl(request, config), config, keyring)
  if (!hintless.ok) {
    log.reason = hintless.reason
    return problemEncoder('hint')(hintless.reason, log.request_id)
  }
  const { target, body, sid } = hintless.value
  const [proxied] = await Promise.all([proxy(request, target, body, config, fetcher), onSession(sid)])
  return proxied.ok ? proxied.value : refuse(context, proxied.reason)
}

async function proxyAsIs(context: RequestContext): Promise<Response> {
  const { request, gateway } = context
  const { config, fetcher } = gateway
  const proxied = await proxy(request, upstreamUrl(request, config), request.body, config, fetcher)
  return proxied.ok ? proxied.value : refuse(context, proxied.reason)
}

function refuse({ request, log }: RequestContext, reason: FaultReason): Response {
  log.reason = reason
  return readableBy(request, encodeFault(reason, log.request_id))
}

/** Documents may be read, and a page may be allowed to. */
export const isReadOrPreflight = (request: Request): boolean =>
  request.method === 'GET' || request.method === 'HEAD' || isPreflight(request)
