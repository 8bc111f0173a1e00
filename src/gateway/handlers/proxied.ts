/**
 * Requests that go to upstream: unchanged, or without what only the gateway understands. And back: an access token in an
 * unexpected place is minted or withheld, so that no path, form or redirect leads past the pipeline.
 */
import type { MintedEvent } from '../../core/mint_event.ts'
import { isPreflight, readableBy } from '../http/cors.ts'
import { problemEncoder } from '../http/encode.ts'
import { encodeFault, type FaultReason } from '../http/faults.ts'
import { inspect } from '../http/inspect.ts'
import { parseObjectText } from '../http/json_text.ts'
import { accessTokenOf, refusedRedirect } from '../http/token_search.ts'
import { warn } from '../log.ts'
import { type MintContext, replaceTokens } from '../pipeline/replace.ts'
import { readTokens } from '../pipeline/upstream.ts'
import type { Endpoint } from '../profiles/profile.ts'
import { withoutOwnHint } from '../proxy/id_token_hint.ts'
import { endpointTarget, type ProxiedRequest, proxy, upstreamUrl } from '../proxy/proxy.ts'
import { mayBeUpstreams } from '../signing_keys/recognize.ts'
import type { RequestContext } from './request_context.ts'

/** Passes a request on unchanged. */
export const proxyAsIs = (context: RequestContext): Promise<Response> =>
  send(context, context.request, upstreamUrl(context.request, context.gateway.config), context.request.body)

/** Passes a request on to an endpoint that takes ID token hints, wherever upstream has it. */
export async function proxyWithoutHint(
  context: RequestContext,
  endpoint: Endpoint,
  onSession: (sid: string | undefined) => Promise<unknown> = async () => {},
): Promise<Response> {
  const { request, log, gateway } = context
  const target = endpointTarget(request, endpoint, context.gateway.config)
  const hintless = await withoutOwnHint(request, target, gateway, endpoint.takesClaims)
  if (!hintless.ok) {
    log.reason = hintless.reason
    return readableBy(request, problemEncoder('hint')(hintless.reason, log.request_id))
  }
  const { body, sid, parameters } = hintless.value
  if (endpoint.isElsewhere && endpoint.isForBrowsers && !isPreflight(request)) {
    await onSession(sid)
    return redirectTo(hintless.value.target, parameters)
  }
  const [proxied] = await Promise.all([send(context, request, hintless.value.target, body), onSession(sid)])
  return proxied
}

/**
 * A browser is redirected to another origin: upstream's cookies are there, and a form can also be a query (OpenID Connect
 * Core section 3.1.2.1).
 */
function redirectTo(target: URL, form: URLSearchParams | undefined): Response {
  const location = new URL(target)
  for (const [name, value] of form ?? []) location.searchParams.append(name, value)
  return new Response(null, {
    status: 303,
    headers: { location: location.href, 'cache-control': 'no-store' },
  })
}

/** Sends a request on, and inspects the response. */
export async function send(
  context: RequestContext,
  request: ProxiedRequest,
  target: URL,
  body: string | ReadableStream | null,
): Promise<Response> {
  const { config, fetcher } = context.gateway
  const proxied = await proxy(request, target, body, config, fetcher)
  if (!proxied.ok) return refuse(context, proxied.reason)
  const response = await withoutRedirectedToken(context, proxied.value)
  return mayHoldTokens(context, response) ? inspected(context, response) : response
}

/** A page that posts itself to the client, wherever browsers return to after the log-in; and JSON. */
const DOCUMENT = /^(text\/html|application\/(xhtml\+xml|([\w.-]+\+)?json))\s*(;|$)/i

/** Without a POST, documents only; and whatever answers an authorization request, or a GET that is a token request. */
function mayHoldTokens({ request, log }: RequestContext, { status, headers }: Response): boolean {
  if (status >= 300 && status < 400) return false
  const isRead = ['GET', 'HEAD', 'OPTIONS'].includes(request.method)
  if (!isRead || log.route === 'authorize') return true
  return (
    DOCUMENT.test(headers.get('content-type') ?? '') || new URL(request.url).searchParams.has('grant_type')
  )
}

/** The front channel: `response_type=token`, however it was requested. */
async function withoutRedirectedToken(context: RequestContext, response: Response): Promise<Response> {
  const location = response.headers.get('location')
  const token = location === null ? undefined : accessTokenOf(location)
  if (location === null || token === undefined || !(await isUpstreams(context, token))) return response
  context.log.access_token = 'withheld'
  warn(context.log, 'access_token_in_redirect')
  const headers = new Headers(response.headers)
  headers.set('location', refusedRedirect(location))
  return new Response(null, { status: response.status, headers })
}

async function inspected(context: RequestContext, original: Response): Promise<Response> {
  const { gateway, log, defer } = context
  let found: Awaited<ReturnType<typeof inspect>>
  try {
    found = await inspect(original, (jwt) => isUpstreams(context, jwt))
  } catch {
    return refuse(context, 'upstream_unreachable')
  }
  const { response, text } = found
  if (!found.holdsToken) return response

  // An unpublished address at which upstream issues tokens: see UPSTREAM_TOKEN_PATHS.
  warn(log, 'access_token_at_another_path')
  log.upstream_status = response.status
  const object = response.ok && text !== undefined ? parseObjectText(text) : undefined
  const held = object && readTokens(object, gateway.clock())
  if (!held) {
    log.access_token = 'withheld'
    return refuse(context, 'access_token_misplaced')
  }
  const { mintLog } = gateway
  const record = mintLog && ((event: MintedEvent) => mintLog.record(event, defer))
  const minting: MintContext = { ...gateway, record }
  const replaced = await replaceTokens(minting, response, held, {}, log)
  return replaced.ok ? replaced.value : refuse(context, replaced.reason)
}

async function isUpstreams({ gateway }: RequestContext, token: string): Promise<boolean> {
  const { config, keyring, keys } = gateway
  const theirs = await keys.current()
  return mayBeUpstreams(token, config, keyring, theirs.ok ? theirs.value : { has: () => false })
}

export function refuse({ request, log }: RequestContext, reason: FaultReason): Response {
  log.reason = reason
  return readableBy(request, encodeFault(reason, log.request_id))
}
