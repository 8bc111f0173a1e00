/**
 * Where tokens and sessions end early: upstream's log-out, and its revocation of tokens (RFC 7009) and of sessions. These also
 * end what the gateway minted, for `live` verification.
 */
import { documentId } from '../../core/claims.ts'
import { NO_STORE } from '../http/answers.ts'
import { readParameters, readRequest } from '../http/body.ts'
import { readableBy } from '../http/cors.ts'
import { oauthEncoder } from '../http/encode.ts'
import { parseObjectText } from '../http/json_text.ts'
import { warn } from '../log.ts'
import type { Endpoint, Endpoints } from '../profiles/profile.ts'
import { endpointTarget } from '../proxy/proxy.ts'
import { revokeOwnToken } from '../proxy/revoke.ts'
import { basicCredentials } from '../verification/credentials.ts'
import { proxyAsIs, proxyWithoutHint, refuse, send } from './proxied.ts'
import type { RequestContext } from './request_context.ts'

/** Logging out through the gateway. */
export async function endUserSession(
  context: RequestContext,
  endpoint: Endpoint,
  session: Endpoints['session'],
): Promise<Response> {
  const { request, log } = context
  log.route = 'logout'
  // A preflight or a HEAD request does not log anybody out.
  const isLogOut = request.method === 'GET' || request.method === 'POST'
  if (session === undefined) {
    return proxyWithoutHint(context, endpoint, async (sid) => isLogOut && denySession(context, sid))
  }
  const answer = await proxyAsIs(context)
  // The parameter has no proof: only upstream's success shows that there was such a session. With two, it is unclear
  // which one it was.
  const [sid, ...others] = new URL(request.url).searchParams.getAll(session.parameter)
  const isOver = isLogOut && answer.status < 400 && others.length === 0
  if (isOver) await denySession(context, sessionId(sid, session))
  return answer
}

/** Upstream ends a session that a service names. Upstream checks the service's key. */
export async function revokeSession(
  context: RequestContext,
  endpoint: Endpoint,
  session: NonNullable<Endpoints['session']>,
): Promise<Response> {
  const { request, log } = context
  log.route = 'revoke'
  const body = await readRequest(request)
  if (!body.ok) return readableBy(request, oauthEncoder('revoke')(body.reason, log.request_id))
  const answer = await send(
    context,
    request,
    endpointTarget(request, endpoint, context.gateway.config),
    body.value,
  )
  const named = parseObjectText(body.value)?.object ?? Object.fromEntries(new URLSearchParams(body.value))
  if (answer.ok) await denySession(context, sessionId(named[session.parameter], session))
  return answer
}

/** Only ids in upstream's form: otherwise anybody could write invented ones to KV. */
function sessionId(id: unknown, { form }: NonNullable<Endpoints['session']>): string | undefined {
  return typeof id === 'string' && form.test(id) ? documentId(id) : undefined
}

/** A log-out does not depend on it: the denylist takes its time limit at most, in parallel with upstream. */
async function denySession({ gateway, log }: RequestContext, sid: string | undefined): Promise<void> {
  const { denylist } = gateway
  if (sid === undefined) return
  const added = await denylist.add([denylist.session(sid)])
  if (!added.ok) warn(log, added.reason)
}

export async function revokeToken(context: RequestContext, endpoint: Endpoint): Promise<Response> {
  const { request, gateway, log } = context
  log.route = 'revoke'
  const read = await readParameters(request, 'token')
  if (!read.ok) {
    log.reason = read.reason
    return readableBy(request, oauthEncoder('revoke')(read.reason, log.request_id))
  }
  const { parameters, body } = read.value
  const basic = basicCredentials(request.headers.get('authorization'))
  const given = parameters.get('client_id')
  const clientIds = given !== null ? [given] : basic ? [basic.name, basic.otherName] : []
  const revoked = await revokeOwnToken(parameters.get('token') as string, clientIds, gateway, gateway.clock())
  if (!revoked.ok) {
    const { reason } = revoked
    if (reason === 'denylist_unwritable') return refuse(context, reason)
    log.reason = reason
    return readableBy(request, oauthEncoder('revoke')(reason, log.request_id))
  }
  const answer = await send(context, request, endpointTarget(request, endpoint, context.gateway.config), body)
  // Upstream does not know the gateway's token, and its response to it does not matter.
  return revoked.value ? readableBy(request, new Response(null, { status: 200, headers: NO_STORE })) : answer
}
