/**
 * The handlers of verification: each dialect's requests in, its responses out, and a reason for the log.
 *
 * All of them use the same verdict; only the form of requests and responses is here.
 */
import { ok, type Result } from '../../core/result.ts'
import { NO_STORE } from '../http/answers.ts'
import { answerPublicPreflight, isPreflight, readableByAll, requestedMethod } from '../http/cors.ts'
import { type Encode, oauthEncoder, ofrepEncoder, problemEncoder } from '../http/encode.ts'
import type { Dialect, RefusalReason } from '../http/refusals.ts'
import { type Route, warn } from '../log.ts'
import { authzenMetadata, evaluateMany, evaluateOne } from '../verification/authzen.ts'
import { type Caller, type CallerReason, identifyCaller } from '../verification/caller.ts'
import { guard } from '../verification/forward_auth.ts'
import { introspect } from '../verification/introspection.ts'
import { verifyJson } from '../verification/json.ts'
import { evaluateFlag, evaluateFlags } from '../verification/ofrep.ts'
import type { Verification } from '../verification/verdict.ts'
import type { Handler, RequestContext } from './request_context.ts'
import { answerNothing, isReadOrPreflight, PUBLIC, route } from './upstream_routes.ts'

const OFREP_FLAGS = '/ofrep/v1/evaluate/flags'

export async function answerVerify(context: RequestContext): Promise<Response> {
  const { request, log } = context
  if (!isForUs(request)) return route(context)
  log.route = 'verify'
  if (request.method !== 'POST') return usePost(context, 'verify')
  return toResponse(context, await verifyJson(request, verificationOf(context)), problemEncoder('verify'))
}

export async function answerGuard(context: RequestContext): Promise<Response> {
  const { request, log } = context
  log.route = 'guard'
  const { response, reason } = await guard(request, verificationOf(context), log.request_id)
  if (reason !== 'allowed') log.reason = reason
  return response
}

/**
 * At `/verify` and `/introspect` only POST is the gateway's; upstream may have a page there. But a request with a token or a
 * key was meant for the gateway, and upstream must not see it.
 */
function isForUs(request: Request): boolean {
  const wanted = isPreflight(request) ? requestedMethod(request) : request.method
  return wanted === 'POST' || ['authorization', 'x-api-key'].some((name) => request.headers.has(name))
}

export function answerNowhere(context: RequestContext): Response {
  context.log.route = 'verify'
  return answerNothing(context)
}

/** Introspection replaces upstream's only if verifiers are configured. */
export async function answerIntrospection(context: RequestContext): Promise<Response> {
  const { request, gateway, log } = context
  if (gateway.config.verifiers.length === 0 || !isForUs(request)) return route(context)
  if (request.method !== 'POST') return usePost(context, 'introspect')
  log.route = 'introspect'
  const answer = await introspect(request, gateway.config.verifiers, verificationOf(context))
  if (answer.ok) log.caller = answer.value.caller
  const response = answer.ok ? ok(answer.value.response) : answer
  return toResponse(context, response, oauthEncoder('introspect'))
}

export function describeAuthzen(context: RequestContext): Response | Promise<Response> {
  const { request, gateway, log } = context
  if (!isReadOrPreflight(request)) return route(context)
  log.route = 'discovery'
  if (isPreflight(request)) return answerPublicPreflight(request)
  return Response.json(authzenMetadata(gateway.config), { headers: PUBLIC })
}

export async function answerAuthzen(context: RequestContext): Promise<Response> {
  const { request, path, log } = context
  if (request.method !== 'POST') return usePost(context, 'authzen')
  log.route = 'authzen'
  const evaluate = path.endsWith('/evaluations') ? evaluateMany : evaluateOne
  const answer = await answerCaller(context, (caller, verification) =>
    evaluate(request, caller, verification),
  )
  const json = answer.ok ? ok(Response.json(answer.value, { headers: NO_STORE })) : answer
  const response = toResponse(context, json, problemEncoder('authzen'))
  // The caller's own request id is returned unchanged, whatever the log's id is.
  const given = request.headers.get('x-request-id')
  if (given !== null) response.headers.set('x-request-id', given)
  return response
}

/**
 * Web pages of any origin evaluate flags with the user's token. No cookie is involved, so every page and every header is
 * allowed: tracing agents add their own.
 */
export const forPages =
  (handler: Handler): Handler =>
  async (context) => {
    if (isPreflight(context.request)) {
      context.log.route = 'ofrep'
      return answerPublicPreflight(context.request, 'POST')
    }
    return readableByAll(await handler(context), 'etag, retry-after, x-request-id')
  }

export async function answerOfrep(context: RequestContext): Promise<Response> {
  const { request, path, log } = context
  if (request.method !== 'POST') return usePost(context, 'ofrep')
  log.route = 'ofrep'
  const key = path === OFREP_FLAGS ? undefined : path.slice(OFREP_FLAGS.length + 1)
  const answer = await answerCaller(context, (caller, verification) =>
    key === undefined
      ? evaluateFlags(request, caller, verification)
      : evaluateFlag(request, key, caller, verification),
  )
  return toResponse(context, answer, ofrepEncoder(key))
}

/** Authenticates the caller and responds. */
async function answerCaller<T, Reason extends RefusalReason>(
  context: RequestContext,
  answer: (caller: Caller, verification: Verification) => Promise<Result<T, Reason>>,
): Promise<Result<T, Reason | CallerReason>> {
  const { request, gateway, log } = context
  const verification = verificationOf(context)
  const caller = await identifyCaller(request.headers, gateway.config.verifiers, verification)
  if (!caller.ok) return caller
  if (caller.value.kind === 'service') log.caller = caller.value.name
  return answer(caller.value, verification)
}

/** The one place where a reason of verification becomes a response and is logged. */
function toResponse(
  { log }: RequestContext,
  answer: Result<Response, RefusalReason>,
  encode: Encode,
): Response {
  if (answer.ok) return answer.value
  log.reason = answer.reason
  return encode(answer.reason, log.request_id)
}

function usePost({ log }: RequestContext, name: Route & Dialect): Response {
  log.route = name
  return problemEncoder(name)('method_not_allowed', log.request_id)
}

function verificationOf({ gateway, log }: RequestContext): Verification {
  const { identities, current, clock } = gateway
  return { identities, current, clock, warn: (warning) => warn(log, warning) }
}
