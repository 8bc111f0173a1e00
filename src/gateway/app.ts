/**
 * The gateway as a Hono app: it maps paths to handlers.
 */
import { Hono } from 'hono'
import {
  answerAuthzen,
  answerGuard,
  answerIntrospection,
  answerNowhere,
  answerOfrep,
  answerVerify,
  describeAuthzen,
  forPages,
} from './handlers/decision_routes.ts'
import { answerHealth } from './handlers/health.ts'
import { type GatewayOptions, type Open, openOnce, withGateway } from './handlers/request_context.ts'
import { answerKeys, answerOwnKeys, route } from './handlers/upstream_routes.ts'

/**
 * Makes the gateway.
 *
 * It answers on every path, so mount it last: `app.route('/', createGateway())`. Configuration is read from the
 * environment of the first request; while something is wrong with it, every path but `/healthz` answers 503.
 */
export function createGateway(options: GatewayOptions = {}): Hono {
  return createApp(options, openOnce(options))
}

/** The same with a shared gateway, so that an isolate has its state only once. */
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
    .all('/ofrep/v1/evaluate/flags', serve(forPages(answerOfrep)))
    .all('/ofrep/v1/evaluate/flags/:key', serve(forPages(answerOfrep)))
    .all('/access/v1/*', serve(answerNowhere))
    .all('/ofrep/*', serve(forPages(answerNowhere)))
    .all('*', serve(route))
}
