/**
 * The gateway as a Hono app: which path belongs to which feature.
 */
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import {
  answerAuthzen,
  answerGuard,
  answerIntrospection,
  answerNowhere,
  answerOfrep,
  answerVerify,
  describeAuthzen,
} from './handlers/decision_routes.ts'
import {
  type GatewayOptions,
  type Open,
  openOnce,
  type RequestContext,
  withGateway,
} from './handlers/request_context.ts'
import { answerKeys, answerOwnKeys, route } from './handlers/upstream_routes.ts'
import { NO_STORE } from './http/answers.ts'

/**
 * Web pages evaluate flags with the user's token, from whatever origin they are. No cookie takes part, so that every header
 * is allowed: tracing agents add their own.
 */
const OFREP_CORS = {
  origin: '*',
  allowMethods: ['POST'],
  exposeHeaders: ['etag', 'retry-after', 'x-request-id'],
  maxAge: 600,
}

/**
 * Makes the gateway.
 *
 * It answers on every path, so mount it last: `app.route('/', createGateway())`. Configuration is read from the
 * environment of the first request; while something is wrong with it, every path but `/healthz` answers 503.
 */
export function createGateway(options: GatewayOptions = {}): Hono {
  return createApp(options, openOnce(options))
}

/** The same over a gateway that others open too: what an isolate holds, it holds once. */
export function createApp(options: GatewayOptions, open: Open): Hono {
  const serve = withGateway(options, open)
  return new Hono()
    .get('/healthz', serve(answerHealth))
    .all('/.well-known/jwks.json', serve(answerKeys))
    .all('/remint/jwks.json', serve(answerOwnKeys))
    .all('/verify', serve(answerVerify))
    .all('/guard', serve(answerGuard))
    .all('/guard/*', serve(answerGuard))
    .all('/introspect', serve(answerIntrospection))
    .all('/.well-known/authzen-configuration', serve(describeAuthzen))
    .all('/access/v1/:kind{evaluations?}', serve(answerAuthzen))
    .use('/ofrep/*', cors(OFREP_CORS))
    .all('/ofrep/v1/evaluate/flags', serve(answerOfrep))
    .all('/ofrep/v1/evaluate/flags/:key', serve(answerOfrep))
    .all('/access/v1/*', serve(answerNowhere))
    .all('/ofrep/*', serve(answerNowhere))
    .all('*', serve(route))
}

function answerHealth({ log }: RequestContext): Response {
  log.route = 'healthz'
  return Response.json({ status: 'ok' }, { headers: NO_STORE })
}
