/**
 * The handlers of verification: each dialect's questions in, its answers out, and a reason for the log.
 *
 * All of them reach the same verdict; what is here is only how each is asked and answered.
 */
import type { Result } from '../../core/result.ts'
import { authzenError, introspectionError, ofrepError, questionError } from '../http/refusals.ts'
import type { Exchange } from './request_context.ts'
import { NO_STORE, problem } from '../http/body.ts'
import type { Route } from '../log.ts'
import { PUBLIC, route } from './upstream_routes.ts'
import { type Asker, type AskerReason, identifyAsker } from '../verification/caller.ts'
import { type AuthzenReason, authzenMetadata, evaluateMany, evaluateOne } from '../verification/authzen.ts'
import { guard } from '../verification/forward_auth.ts'
import { introspect } from '../verification/introspection.ts'
import { verifyJson } from '../verification/json.ts'
import { evaluateFlag, evaluateFlags, type OfrepReason } from '../verification/ofrep.ts'
import type { Verification } from '../verification/verdict.ts'

const OFREP_FLAGS = '/ofrep/v1/evaluate/flags'

export async function answerVerify(exchange: Exchange): Promise<Response> {
  const { request, log } = exchange
  log.route = 'verify'
  if (request.method !== 'POST') return usePost(exchange, 'verify')
  return told(exchange, await verifyJson(request, verificationOf(exchange)), questionError)
}

export async function answerGuard(exchange: Exchange): Promise<Response> {
  const { request, log } = exchange
  log.route = 'guard'
  const { response, reason } = await guard(request, verificationOf(exchange), log.request_id)
  if (reason !== 'allowed') log.reason = reason
  return response
}

/** What is ours and leads nowhere is not upstream's either: it would be shown the keys of services. */
export function answerNowhere({ log }: Exchange): Response {
  log.route = 'verify'
  return problem(404, 'not_found', 'There is nothing here.', log.request_id)
}

/** Introspection takes the place of upstream's only where somebody is configured to ask. */
export async function answerIntrospection(exchange: Exchange): Promise<Response> {
  const { request, gateway, log } = exchange
  if (gateway.config.verifiers.length === 0) return route(exchange)
  if (request.method !== 'POST') return usePost(exchange, 'introspect')
  log.route = 'introspect'
  const answer = await introspect(request, gateway.config.verifiers, verificationOf(exchange))
  if (answer.ok) log.caller = answer.value.caller
  const response = told(exchange, answer, introspectionError)
  return response instanceof Response ? response : response.response
}

export function describeAuthzen({ gateway, log }: Exchange): Response {
  log.route = 'discovery'
  return Response.json(authzenMetadata(gateway.config), { headers: PUBLIC })
}

export async function answerAuthzen(exchange: Exchange): Promise<Response> {
  const { request, path, log } = exchange
  if (request.method !== 'POST') return usePost(exchange, 'authzen')
  log.route = 'authzen'
  const evaluate = path.endsWith('/evaluations') ? evaluateMany : evaluateOne
  const answer = await asked<object, AuthzenReason>(exchange, authzenError, (asker, verification) =>
    evaluate(request, asker, verification),
  )
  const response = answer instanceof Response ? answer : Response.json(answer, { headers: NO_STORE })
  // The caller's own name for the request comes back as it was, whatever the log calls it.
  const given = request.headers.get('x-request-id')
  if (given !== null) response.headers.set('x-request-id', given)
  return response
}

export async function answerOfrep(exchange: Exchange): Promise<Response> {
  const { request, path, log } = exchange
  if (request.method !== 'POST') return usePost(exchange, 'ofrep')
  log.route = 'ofrep'
  const key = path === OFREP_FLAGS ? undefined : path.slice(OFREP_FLAGS.length + 1)
  return asked<Response, OfrepReason>(
    exchange,
    (reason, requestId) => ofrepError(reason, key, requestId),
    (asker, verification) =>
      key === undefined
        ? evaluateFlags(request, asker, verification)
        : evaluateFlag(request, key, asker, verification),
  )
}

/** Finds out who asks, lets them ask, and tells a reason in the dialect's words. */
async function asked<T, Reason extends string>(
  exchange: Exchange,
  toResponse: (reason: Reason | AskerReason, requestId: string) => Response,
  ask: (asker: Asker, verification: Verification) => Promise<Result<T, Reason>>,
): Promise<T | Response> {
  const { request, gateway, log } = exchange
  const verification = verificationOf(exchange)
  const asker = await identifyAsker(request.headers, gateway.config.verifiers, verification)
  if (asker.ok && asker.value.kind === 'service') log.caller = asker.value.name
  const answer = asker.ok ? await ask(asker.value, verification) : asker
  return told(exchange, answer, toResponse)
}

function told<T, Reason extends string>(
  { log }: Exchange,
  answer: Result<T, Reason>,
  toResponse: (reason: Reason, requestId: string) => Response,
): T | Response {
  if (answer.ok) return answer.value
  log.reason = answer.reason
  return toResponse(answer.reason, log.request_id)
}

function usePost({ log }: Exchange, name: Route): Response {
  log.route = name
  return problem(405, 'method_not_allowed', 'Use POST.', log.request_id, { allow: 'POST' })
}

function verificationOf({ gateway, log }: Exchange): Verification {
  const { identities, current, clock } = gateway
  const warn = (warning: string) => {
    log.warnings = [...(log.warnings ?? []), warning]
  }
  return { identities, current, clock, warn }
}
