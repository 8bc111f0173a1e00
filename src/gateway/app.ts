/**
 * The gateway as a Hono app: which path belongs to which feature.
 */
import { Hono } from 'hono'
import { questionError } from './errors.ts'
import { type Exchange, frame, type GatewayOptions } from './exchange.ts'
import { NO_STORE, problem } from './http.ts'
import { route, servePublishedKeys } from './routes.ts'
import { verifyJson } from './verification/json.ts'

/**
 * Makes the gateway.
 *
 * It answers on every path, so mount it last: `app.route('/', createGateway())`. Configuration is read from the
 * environment of the first request; while something is wrong with it, every path but `/healthz` answers 503.
 */
export function createGateway(options: GatewayOptions = {}): Hono {
  const serve = frame(options)
  return new Hono()
    .get('/healthz', serve(answerHealth))
    .get('/.well-known/jwks.json', serve(servePublishedKeys))
    .all('/verify', serve(answerQuestion))
    .all('*', serve(route))
}

function answerHealth({ log }: Exchange): Response {
  log.route = 'healthz'
  return Response.json({ status: 'ok' }, { headers: NO_STORE })
}

async function answerQuestion({ request, gateway, log }: Exchange): Promise<Response> {
  log.route = 'verify'
  if (request.method !== 'POST') {
    return problem(405, 'method_not_allowed', 'Use POST.', log.request_id, { allow: 'POST' })
  }
  const answer = await verifyJson(request, gateway.identities, gateway.clock())
  if (answer.ok) return answer.value
  log.reason = answer.reason
  return questionError(answer.reason, log.request_id)
}
