/**
 * `remint/guard/node`: the guard for servers on Node's `http`, which have no `Request`: Express (and Connect, NestJS,
 * Restify), Fastify, and `http.createServer` itself.
 *
 * Only the methods and headers of the three are used, so that none of them, nor Node's types, need to be installed.
 */
import {
  createGuard,
  type GuardedRequest,
  type GuardIdentity,
  type GuardOptions,
  type Required,
} from './index.ts'
import { type Demand, readDemand } from './requirement.ts'

export type { CheckOptions, GuardIdentity, GuardOptions, Required } from './index.ts'

/** `http.IncomingMessage`, and what is made from it. */
export interface NodeRequest {
  readonly method?: string | undefined
  readonly rawHeaders?: readonly string[]
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>
}

/** `http.ServerResponse`, and what is made from it. */
export interface NodeResponse {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body: string): unknown
}

export interface FastifyLikeRequest {
  readonly raw: NodeRequest
}

export interface FastifyLikeReply {
  code(status: number): unknown
  header(name: string, value: string): unknown
  send(body: string): unknown
}

export interface NodeGuard {
  /** Express middleware. Without a requirement any valid token passes. */
  express(
    ...demand: Demand
  ): (request: NodeRequest, response: NodeResponse, next: (error?: unknown) => void) => Promise<void>
  /** A hook for `onRequest` or `preHandler` of Fastify. Without a requirement any valid token passes. */
  fastify(...demand: Demand): (request: FastifyLikeRequest, reply: FastifyLikeReply) => Promise<unknown>
  /**
   * For a handler of `http.createServer`.
   *
   * @returns the identity; `undefined` if the request was refused and the response is sent
   */
  admit(request: NodeRequest, response: NodeResponse, ...demand: Demand): Promise<GuardIdentity | undefined>
}

/** Keyed by Node's own request, which the frameworks wrap. */
const admitted = new WeakMap<object, GuardIdentity>()

/**
 * The identity of a request that a guard has allowed.
 *
 * @param request - of Express, Fastify or Node
 * @throws TypeError when no guard has allowed this request: the route is not guarded
 */
export function identityOf(request: NodeRequest | FastifyLikeRequest): GuardIdentity {
  const identity = admitted.get('raw' in request ? request.raw : request)
  if (!identity)
    throw new TypeError('identityOf: no guard has allowed this request. Put one before the handler')
  return identity
}

/**
 * Makes a guard. Make one and keep it: it holds the gateway's keys.
 *
 * @throws TypeError when an option, or later a required flag, is not what it should be
 */
export function createNodeGuard(options: GuardOptions): NodeGuard {
  const guard = createGuard(options)

  /** @returns the refusal; `undefined` if the request may pass */
  async function refusalOf(request: NodeRequest, demand: Demand): Promise<Refusal | undefined> {
    const checked = await guard.check(guardedRequest(request), ...(demand as [Required]))
    if (checked.ok) {
      admitted.set(request, checked.identity)
      return undefined
    }
    const { response } = checked
    return { status: response.status, headers: [...response.headers], body: await response.text() }
  }

  return {
    express(...demand) {
      readDemand(demand, 'claim')
      return async function guardExpress(request, response, next) {
        let refusal: Refusal | undefined
        try {
          refusal = await refusalOf(request, demand)
        } catch (error) {
          return next(error)
        }
        if (refusal) respond(response, refusal)
        else next()
      }
    },
    fastify(...demand) {
      readDemand(demand, 'claim')
      return async function guardFastify({ raw }, reply) {
        const refusal = await refusalOf(raw, demand)
        if (!refusal) return undefined
        reply.code(refusal.status)
        for (const [name, value] of refusal.headers) reply.header(name, value)
        return reply.send(refusal.body)
      }
    },
    async admit(request, response, ...demand) {
      const refusal = await refusalOf(request, demand)
      if (!refusal) return admitted.get(request)
      respond(response, refusal)
      return undefined
    },
  }
}

interface Refusal {
  readonly status: number
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

function respond(response: NodeResponse, { status, headers, body }: Refusal): void {
  response.statusCode = status
  for (const [name, value] of headers) response.setHeader(name, value)
  response.end(body)
}

/**
 * Node drops all but the first of several `Authorization` headers from `headers`; two must be seen to be refused. On
 * serverless platforms, replacements of Node's requests may fill only `headers`.
 */
const guardedRequest = ({ method = 'GET', rawHeaders = [], headers = {} }: NodeRequest): GuardedRequest => ({
  method,
  headers: {
    get(name) {
      const raw = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name)
      const values = raw.length > 0 ? raw : [headers[name] ?? []].flat()
      return values.length === 0 ? null : values.join(', ')
    },
  },
})
