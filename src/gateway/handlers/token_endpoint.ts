/**
 * Upstream's token endpoint, at its published path or a further one: every POST goes through the pipeline.
 */
import type { MintedEvent } from '../../core/mint_event.ts'
import { allowOwnHeaders, isPreflight, preflightForUpstream, readableBy } from '../http/cors.ts'
import { oauthEncoder } from '../http/encode.ts'
import { tokenRequestHeaders } from '../http/headers.ts'
import { refresh } from '../pipeline/refresh.ts'
import { parseTokenRequest } from '../pipeline/request.ts'
import type { Endpoint } from '../profiles/profile.ts'
import { refuse, send } from './proxied.ts'
import type { RequestContext } from './request_context.ts'

export async function serveTokens(context: RequestContext, endpoint: Endpoint): Promise<Response> {
  const { request, gateway, log, defer } = context
  log.route = 'token'
  if (isPreflight(request)) return proxyPreflight(context, endpoint)
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
  if (answer.ok) return answer.value
  if (answer.reason !== 'replays_exhausted') return refuse(context, answer.reason)
  log.reason = answer.reason
  const refusal = oauthEncoder('token')(answer.reason, log.request_id)
  refusal.headers.set('retry-after', String(answer.retryAfterSeconds))
  return readableBy(request, refusal)
}

/**
 * Upstream answers whether a browser may send the request; the request itself is the gateway's. Nothing else is passed on: an
 * upstream that takes it for a POST because of a header would answer with a token.
 */
async function proxyPreflight(context: RequestContext, { url }: Endpoint): Promise<Response> {
  const { request } = context
  const preflight = { method: 'OPTIONS', headers: preflightForUpstream(request.headers) }
  const response = await send(context, preflight, new URL(url), null)
  allowOwnHeaders(request.headers, response.headers)
  return response
}
