/**
 * The gateway as a Hono app: opens what the isolate holds, writes one log line a request, and wires paths to features.
 */
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import type { GatewayBindings } from './config.ts'
import { questionError } from './errors.ts'
import { type Gateway, type GatewayResult, openGateway } from './gateway.ts'
import { NO_STORE, problem } from './http.ts'
import { type LogLine, writeLog } from './log.ts'
import { route, servePublishedKeys } from './routes.ts'
import { verifyJson } from './verification/json.ts'

export interface GatewayOptions {
  /** Where the bindings are in the Worker's environment; by default the environment itself. */
  readonly bindings?: (env: never) => GatewayBindings
  /** How upstream is reached, for an identity provider behind a service binding. */
  readonly fetch?: typeof fetch
  /** Epoch milliseconds. */
  readonly now?: () => number
}

export interface GatewayEnv {
  Variables: { gateway: Gateway; log: LogLine }
}

export type GatewayContext = Context<GatewayEnv>

/**
 * Makes the gateway.
 *
 * It answers on every path, so mount it last: `app.route('/', createGateway())`. Configuration is read from the
 * environment of the first request; while something is wrong with it, every path but `/healthz` answers 503.
 */
export function createGateway(options: GatewayOptions = {}): Hono<GatewayEnv> {
  return new Hono<GatewayEnv>()
    .use(logRequest(options.now ?? Date.now))
    .use(open(options))
    .get('/healthz', (c) => c.json({ status: 'ok' }, 200, NO_STORE))
    .get('/.well-known/jwks.json', servePublishedKeys)
    .post('/verify', answerQuestion)
    .all('/verify', (c) => {
      c.var.log.route = 'verify'
      return problem(405, 'method_not_allowed', 'Use POST.', c.var.log.request_id, { allow: 'POST' })
    })
    .all('*', route)
}

function logRequest(now: () => number): MiddlewareHandler<GatewayEnv> {
  return async function logRequest(c, next) {
    const startedAt = now()
    const log: LogLine = { request_id: requestId(c.req.raw.headers), method: c.req.method, route: 'proxy' }
    c.set('log', log)
    await next()
    log.status = c.res.status
    log.duration_ms = now() - startedAt
    writeLog(log)
  }
}

/** The edge's name of the request, or the caller's if it can be trusted to be a name, or a new one. */
function requestId(headers: Headers): string {
  const given = headers.get('cf-ray') ?? headers.get('x-request-id')
  return given !== null && /^[\w.:-]{1,64}$/.test(given) ? given : crypto.randomUUID()
}

function open(options: GatewayOptions): MiddlewareHandler<GatewayEnv> {
  const { bindings = (env: GatewayBindings) => env, now = Date.now } = options
  const fetcher: typeof fetch = options.fetch ?? ((...args) => fetch(...args))
  const opened = new WeakMap<object, GatewayResult>()
  return async function open(c, next) {
    const env: object = c.env ?? {}
    let result = opened.get(env)
    if (!result) {
      result = await openGateway(bindings(env as never), fetcher, now)
      opened.set(env, result)
    }
    if (result.ok) {
      c.set('gateway', result.gateway)
      return next()
    }
    c.var.log.route = 'config'
    c.var.log.reason = 'misconfigured'
    if (c.req.path === '/healthz') {
      return c.json({ status: 'misconfigured', problems: result.problems }, 503, NO_STORE)
    }
    return problem(503, 'misconfigured', 'The gateway is not configured; see /healthz.', c.var.log.request_id)
  }
}

async function answerQuestion(c: GatewayContext): Promise<Response> {
  const { gateway, log } = c.var
  log.route = 'verify'
  const answer = await verifyJson(c.req.raw, gateway.identities, gateway.clock())
  if (answer.ok) return answer.value
  log.reason = answer.reason
  return questionError(answer.reason, log.request_id)
}
