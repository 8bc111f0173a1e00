/**
 * What all routes share: their schemas, which the OpenAPI document is made from, and the roles that may use them, which are
 * required. Roles are checked before the body is read.
 */
import { createRoute, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { parseUniqueJson, RepeatedMemberError } from '../../core/unique_json.ts'
import type { Actor } from '../auth/actor.ts'
import { hasRole, type Role } from '../roles.ts'
import type { Api, Control, ControlContext, ControlEnv } from './context.ts'
import { problemSchema, refuse } from './problem.ts'

export type Shape = z.ZodObject
export const nothing = z.object({})
export type Nothing = typeof nothing

export interface RouteBase<P extends Shape, Q extends Shape> {
  readonly path: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly roles: readonly Role[]
  /** Concerns all environments at once: a key that is limited to some of them is refused before anything is read. */
  readonly everywhere?: true
  readonly params?: P
  readonly query?: Q
}

export interface Input<P extends Shape, Q extends Shape, B extends Shape = Nothing> {
  readonly params: z.output<P>
  readonly query: z.output<Q>
  /** Of a `POST`, `PUT` or `PATCH`. */
  readonly body: z.output<B>
  readonly control: Control
  readonly actor: Actor
}

interface Definition {
  readonly method: 'get' | 'post' | 'put' | 'patch'
  readonly body?: Shape
  readonly headers?: Shape
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema: z.ZodType }>>
}

/**
 * Adds a route. An unknown member or parameter is refused: a misspelt `dry_run` or `percentage` must not be ignored.
 */
export function addRoute<P extends Shape, Q extends Shape, B extends Shape>(
  api: Api,
  {
    path,
    tag,
    summary,
    description,
    roles,
    everywhere,
    params = nothing as never,
    query = nothing as never,
  }: RouteBase<P, Q>,
  { method, body, headers, answers }: Definition,
  handle: (c: ControlContext, input: Input<P, Q, B>) => Promise<Response>,
): void {
  const definition = createRoute({
    method,
    path,
    tags: [tag],
    summary,
    ...(description && { description }),
    security: [{ bearer: [] }],
    'x-remint-roles': roles,
    ...(everywhere && { 'x-remint-everywhere': true }),
    middleware: [
      requireRole(path, roles),
      ...(everywhere ? [requireEveryEnvironment] : []),
      requireUniqueJson,
    ],
    request: {
      params,
      query: query.strict(),
      ...(headers && { headers }),
      ...(body && { body: { required: true, content: json(body.strict()) } }),
    },
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [
          status,
          { description: answer.description, content: json(answer.schema) },
        ]),
      ),
      ...PROBLEMS,
    },
  })
  // Each part of the request, as parsed by the route's validators.
  const valid = (c: ControlContext, part: 'param' | 'query' | 'json'): unknown => c.req.valid(part as never)
  const handler = (c: ControlContext) =>
    handle(c, {
      params: valid(c, 'param') as z.output<P>,
      query: valid(c, 'query') as z.output<Q>,
      body: (body ? valid(c, 'json') : {}) as z.output<B>,
      control: c.var.control,
      actor: c.var.actor,
    })
  api.openapi(definition, handler as never)
}

/** Whether path or query name an environment that the caller's key does not cover. For a write, the ledger decides. */
export function namesForeignEnvironment({ actor, params, query }: Input<Shape, Shape>): boolean {
  const named = [params, query].map((part) => (part as { environment?: unknown }).environment)
  return named.some((name) => typeof name === 'string' && actor.environments?.includes(name) === false)
}

function requireRole(path: string, roles: readonly Role[]): MiddlewareHandler<ControlEnv> {
  return async function requireRole(c, next) {
    c.var.log.route = path
    if (!hasRole(c.var.actor.roles, roles)) return refuse(c, 'role_missing')
    return next()
  }
}

const requireEveryEnvironment: MiddlewareHandler<ControlEnv> = async function requireEveryEnvironment(
  c,
  next,
) {
  return c.var.actor.environments === null ? next() : refuse(c, 'environment_forbidden')
}

/**
 * A body is JSON with unique members. A browser sends other types across origins without a preflight, and with the cookie
 * that Cloudflare Access reads. Of a repeated member, an earlier check of the request may have read the other value.
 */
const requireUniqueJson: MiddlewareHandler<ControlEnv> = async function requireUniqueJson(c, next) {
  if (c.req.method === 'GET') return next()
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') return refuse(c, 'body_not_json')
  try {
    parseUniqueJson(await c.req.text())
  } catch (error) {
    return refuse(c, error instanceof RepeatedMemberError ? 'member_repeated' : 'request_invalid')
  }
  return next()
}

const json = <T extends z.ZodType>(schema: T) => ({ 'application/json': { schema } })

const problemAnswer = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: problemSchema } },
})

const PROBLEMS = {
  '4XX': problemAnswer('Refused; `code` says why'),
  '5XX': problemAnswer('A fault that is not the caller’s'),
}
