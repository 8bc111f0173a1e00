/**
 * The context of one request, which every handler receives, and `withGateway` around all of them: it opens the gateway, writes
 * one log line, and turns a bug into a response that clients can handle.
 */
import type { Context } from 'hono'
import type { GatewayBindings } from '../config.ts'
import { type Gateway, type GatewayResult, openGateway } from '../gateway.ts'
import { NO_STORE, problem, RETRY } from '../http/answers.ts'
import { type LogLine, writeLog } from '../log.ts'
import { refuseGuarded } from '../verification/forward_auth.ts'
import { isGuardPath } from '../verification/guard_url.ts'

export interface RequestContext {
  readonly request: Request
  readonly path: string
  readonly gateway: Gateway
  /** Filled in on the way, and written with the response. */
  readonly log: LogLine
  /** Lets work finish that the response does not wait for. */
  readonly defer: (work: Promise<unknown>) => void
}

export type Handler = (context: RequestContext) => Response | Promise<Response>

export interface GatewayOptions {
  /** The bindings in the Worker's environment; by default the environment itself. */
  readonly bindings?: (env: never) => GatewayBindings
  /** For requests to upstream; for example an identity provider behind a service binding. */
  readonly fetch?: typeof fetch
  /** Epoch milliseconds. */
  readonly now?: () => number
}

/** Opens the gateway of an environment object. */
export type Open = (env: object) => Promise<GatewayResult>

/** An opened gateway is cached per environment object, which on Workers means per isolate. */
export function openOnce(options: GatewayOptions): Open {
  const { bindings = (env: GatewayBindings) => env, now = Date.now } = options
  const fetcher: typeof fetch = options.fetch ?? ((...args) => fetch(...args))
  const opened = new WeakMap<object, GatewayResult>()
  return async function open(env) {
    const known = opened.get(env)
    if (known) return known
    const result = await openGateway(bindings(env as never), fetcher, now)
    // Requests must not wait for each other. If several open it at once, the first to finish counts.
    const first = opened.get(env) ?? result
    opened.set(env, first)
    return first
  }
}

/** Makes `withGateway`. */
export function withGateway(
  { now = Date.now }: GatewayOptions,
  open: Open,
): (handler: Handler) => (c: Context) => Promise<Response> {
  async function answer(c: Context, handler: Handler): Promise<Response> {
    const startedAt = now()
    const request = c.req.raw
    const { path } = c.req
    const log: LogLine = { request_id: requestId(request.headers), method: request.method, route: 'proxy' }
    let response: Response
    try {
      const result = await open(c.env ?? {})
      if (!result.ok) response = misconfigured(path, result.problems, log)
      else if (isClosed(request, path, result.gateway)) response = closed(log)
      else {
        const { gateway } = result
        response = await handler({ request, path, gateway, log, defer: (work) => keepAlive(c, work) })
      }
    } catch (bug) {
      response = failed(bug, path, log)
    }
    log.status = response.status
    log.duration_ms = now() - startedAt
    writeLog(log)
    return response
  }

  return (handler) => (c) => {
    const answering = answer(c, handler)
    keepAlive(c, answering)
    return answering
  }
}

/** The request id of the edge, or the caller's if it is well-formed, or a new one. */
function requestId(headers: Headers): string {
  const given = headers.get('cf-ray') ?? headers.get('x-request-id')
  return given !== null && /^[\w.:-]{1,64}$/.test(given) ? given : crypto.randomUUID()
}

/**
 * A client that disconnects must not end the work: a refresh token that upstream has rotated would be lost, and a fetch that
 * other requests wait for would never return.
 */
function keepAlive(c: Context, work: Promise<unknown>): void {
  try {
    c.executionCtx.waitUntil(work)
  } catch {
    // Not on Workers: the work is not ended early there.
  }
}

/**
 * The origin of the guards has nothing else. If a proxy appends a client's path to a guard's, an edge may resolve `..` in it
 * before the gateway sees the request, and the proxy accepts every 200.
 */
const isClosed = (request: Request, path: string, { config }: Gateway): boolean =>
  config.guardOrigin !== undefined &&
  new URL(request.url).host === new URL(config.guardOrigin).host &&
  !isGuardPath(path)

function closed(log: LogLine): Response {
  log.route = 'guard'
  log.reason = 'requirement_malformed'
  return refuseGuarded('requirement_malformed', log.request_id).response
}

function misconfigured(path: string, problems: readonly string[], log: LogLine): Response {
  log.route = 'config'
  log.reason = 'misconfigured'
  if (path === '/healthz') {
    return Response.json({ status: 'misconfigured', problems }, { status: 503, headers: NO_STORE })
  }
  if (isGuardPath(path)) return refuseGuarded('misconfigured', log.request_id).response
  return problem(503, 'misconfigured', 'The gateway is not configured; see /healthz.', log.request_id)
}

/** Where it happened, without the message, which may quote input. */
function failed(bug: unknown, path: string, log: LogLine): Response {
  const frames =
    bug instanceof Error ? (bug.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)) : []
  log.reason = 'internal_error'
  log.stack = frames.slice(0, 8).map((line) => line.trim())
  // A proxy needs a refusal that it understands.
  if (isGuardPath(path)) return refuseGuarded('internal_error', log.request_id).response
  return problem(503, 'internal_error', 'Something went wrong. Try again.', log.request_id, RETRY)
}
