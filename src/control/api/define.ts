/**
 * The only ways to make a route: one that reads, one that gives a command, and one that starts work that changes no row.
 *
 * All carry their schemas, from which the OpenAPI document is made, and the roles that may use them, without which they
 * cannot be made. Roles are checked before the body is looked at. A member or parameter that a route does not know is
 * refused: who misspells `dry_run` or `percentage` must not find out by what has happened.
 */
import { createRoute, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import type { Result } from '../../core/result.ts'
import type { Actor, Command } from '../changes/command.ts'
import { claimOf } from '../changes/idempotency.ts'
import { type Outcome, submit } from '../changes/submit.ts'
import { documentsOf, type Edit } from '../model/edit.ts'
import type { Refusal } from '../refusals.ts'
import { hasRole, type Role } from '../roles.ts'
import type { Api, Control, ControlContext, ControlEnv } from './context.ts'
import { effectSchema } from './effect.ts'
import { NO_STORE, problemSchema, refuse } from './problem.ts'

type Shape = z.ZodObject
const nothing = z.object({})
type Nothing = typeof nothing

interface RouteBase<P extends Shape, Q extends Shape> {
  readonly path: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly roles: readonly Role[]
  readonly params?: P
  readonly query?: Q
}

interface Input<P extends Shape, Q extends Shape> {
  readonly params: z.output<P>
  readonly query: z.output<Q>
  readonly control: Control
  readonly actor: Actor
}

export interface ReadRoute<P extends Shape, Q extends Shape, A extends z.ZodType> extends RouteBase<P, Q> {
  readonly answer: A
  read(input: Input<P, Q>): Promise<Result<z.input<A>, Refusal>>
}

/** A `GET`. A row with a `revision` is answered with its `ETag`. */
export function read<A extends z.ZodType, P extends Shape = Nothing, Q extends Shape = Nothing>(
  api: Api,
  route: ReadRoute<P, Q, A>,
): void {
  const definition = createRoute({
    method: 'get',
    ...described(route),
    request: { params: route.params ?? nothing, query: (route.query ?? nothing).strict() },
    responses: { 200: { description: 'OK', content: json(route.answer) }, ...PROBLEMS },
  })
  api.openapi(definition, (async (c: ControlContext) => {
    const input = inputOf<P, Q>(c)
    if (namesForeignEnvironment(input)) return refuse(c, 'environment_forbidden')
    const result = await route.read(input)
    if (!result.ok) return refuse(c, result.reason)
    const { revision } = result.value as { revision?: unknown }
    const etag = typeof revision === 'number' ? { etag: `"${revision}"` } : {}
    return c.json(result.value as object, 200, { ...NO_STORE, ...etag })
  }) as never)
}

export interface ActRoute<P extends Shape, A extends z.ZodType> extends RouteBase<P, Nothing> {
  readonly answer: A
  act(input: Input<P, Nothing>): Promise<Result<z.input<A>, Refusal>>
}

/** A `POST` that starts work, and answers 202. */
export function act<A extends z.ZodType, P extends Shape = Nothing>(api: Api, route: ActRoute<P, A>): void {
  const definition = createRoute({
    method: 'post',
    ...described(route),
    request: {
      params: route.params ?? nothing,
      query: nothing.strict(),
      body: { required: true, content: json(nothing.strict()) },
    },
    responses: { 202: { description: 'Begun', content: json(route.answer) }, ...PROBLEMS },
  })
  api.openapi(definition, (async (c: ControlContext) => {
    const input = inputOf<P, Nothing>(c)
    if (namesForeignEnvironment(input)) return refuse(c, 'environment_forbidden')
    const result = await route.act(input)
    return result.ok ? c.json(result.value as object, 202, NO_STORE) : refuse(c, result.reason)
  }) as never)
}

export interface WriteRoute<P extends Shape, B extends Shape, E extends Edit>
  extends RouteBase<P, typeof dryRunQuery> {
  readonly method: 'post' | 'put' | 'patch'
  readonly body: B
  /** The row in the answer. */
  readonly data: z.ZodType
  /** Of the first time; 200 where it only changes something. */
  readonly status?: 200 | 201
  /** `required`: the caller must have read the row; otherwise `If-Match` is only honoured. */
  readonly ifMatch?: 'required'
  command(input: { params: z.output<P>; body: z.output<B>; actor: Actor }): Command<E> | ShownOnce<E>
  view(row: E['after']): unknown
}

/** A command whose first answer holds a secret that is kept nowhere. */
export interface ShownOnce<E extends Edit> {
  readonly command: Command<E>
  readonly secret: string
}

const dryRunQuery = z.object({
  dry_run: z
    .enum(['true', 'false'])
    .default('false')
    .openapi({ description: 'Decide and show the effective diff, and change nothing.' }),
})

const writeHeaders = z.object({
  'if-match': z.string().optional().openapi({ description: 'The `ETag` of the row that was read.' }),
  'idempotency-key': z.string().optional().openapi({
    description: 'A write with a key that was used is answered as the first time, for 24 hours.',
  }),
})

/** A command. Its answer is the row, the effective diff, and the `seq` of the audit row. */
export function write<B extends Shape, E extends Edit, P extends Shape = Nothing>(
  api: Api,
  route: WriteRoute<P, B, E>,
): void {
  const { status = 200 } = route
  const definition = createRoute({
    method: route.method,
    ...described(route),
    request: {
      params: route.params ?? nothing,
      query: dryRunQuery.strict(),
      headers: writeHeaders,
      body: { required: true, content: json(route.body.strict()) },
    },
    responses: {
      200: { description: 'Changed, or what would change', content: json(changeOf(route.data)) },
      ...(status === 201 && { 201: { description: 'Created', content: json(changeOf(route.data)) } }),
      ...PROBLEMS,
    },
  })
  api.openapi(definition, ((c: ControlContext) => execute(c, route)) as never)
}

const changeOf = (data: z.ZodType) =>
  z.object({
    data,
    effect: effectSchema,
    seq: z.int().nullable().openapi({ description: 'The audit row; null if nothing was changed.' }),
    dry_run: z.boolean(),
  })

async function execute<P extends Shape, B extends Shape, E extends Edit>(
  c: ControlContext,
  route: WriteRoute<P, B, E>,
): Promise<Response> {
  const { params, query, control, actor } = inputOf<P, typeof dryRunQuery>(c)
  const ifMatch = revisionOf(c.req.header('if-match'))
  if (ifMatch === undefined && route.ifMatch === 'required') return refuse(c, 'revision_required')
  const body = valid(c, 'json') as z.output<B>
  const made = route.command({ params, body, actor })
  const [command, secret] = 'secret' in made ? [made.command, made.secret] : [made, undefined]
  const dryRun = query.dry_run === 'true'
  const asked = [c.req.method, c.req.url, c.req.header('if-match') ?? '', await c.req.text()]
  const claim = await claimOf(dryRun ? undefined : c.req.header('idempotency-key'), actor, asked)
  if (!claim.ok) return refuse(c, claim.reason)

  const answer = ({ edit, effect, seq }: Outcome<E>) => ({
    status: seq !== null && edit.before === null ? (route.status ?? 200) : 200,
    // What a dry run shows is not there to be matched.
    etag: dryRun ? null : `"${edit.after.revision}"`,
    body: JSON.stringify({ data: route.view(edit.after), effect, seq, dry_run: dryRun }),
  })
  const submitted = await submit({
    db: control.db,
    clock: control.clock,
    environments: control.config.environments,
    actor,
    requestId: c.var.log.request_id,
    command,
    ifMatch,
    dryRun,
    idempotency: claim.value,
    answer,
  })
  if (!submitted.ok) return refuse(c, submitted.reason)
  if ('replay' in submitted.value) {
    return send(submitted.value.replay, { 'idempotency-replayed': 'true' })
  }
  const { outcome } = submitted.value
  if (outcome.seq !== null) {
    c.var.log.seq = outcome.seq
    const touched = documentsOf(outcome.edit, control.config.environments)
    control.wake([...new Set(touched.map(({ environment }) => environment))])
  }
  const { body: text, ...rest } = answer(outcome)
  const shown = secret !== undefined && outcome.seq !== null
  return send({ ...rest, body: shown ? withSecret(text, secret) : text }, {})
}

const withSecret = (body: string, secret: string): string => JSON.stringify({ ...JSON.parse(body), secret })

const send = (
  { status, etag, body }: { status: number; etag: string | null; body: string },
  headers: Record<string, string>,
): Response =>
  new Response(body, {
    status,
    headers: { 'content-type': 'application/json', ...NO_STORE, ...(etag !== null && { etag }), ...headers },
  })

/** `If-Match: "3"`; anything else that is sent matches nothing. */
function revisionOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const digits = /^"(\d{1,15})"$/.exec(header)?.[1]
  return digits === undefined ? -1 : Number(digits)
}

function inputOf<P extends Shape, Q extends Shape>(c: ControlContext): Input<P, Q> {
  return {
    params: valid(c, 'param') as z.output<P>,
    query: valid(c, 'query') as z.output<Q>,
    control: c.var.control,
    actor: c.var.actor,
  }
}

/** Whether path or query ask for an environment that the caller's key is not for. Of a write, `submit` decides. */
function namesForeignEnvironment({ actor, params, query }: Input<Shape, Shape>): boolean {
  const named = [params, query].map((part) => (part as { environment?: unknown }).environment)
  return named.some((name) => typeof name === 'string' && actor.environments?.includes(name) === false)
}

/** What the validators of the route have made of a part of the request. */
const valid = (c: ControlContext, part: 'param' | 'query' | 'json'): unknown => c.req.valid(part as never)

const described = ({ path, tag, summary, description, roles }: RouteBase<Shape, Shape>) => ({
  path,
  tags: [tag],
  summary,
  ...(description && { description }),
  security: [{ bearer: [] }],
  'x-remint-roles': roles,
  middleware: [requireRole(path, roles), requireJson],
})

function requireRole(path: string, roles: readonly Role[]): MiddlewareHandler<ControlEnv> {
  return async function requireRole(c, next) {
    c.var.log.route = path
    if (!hasRole(c.var.actor.roles, roles)) return refuse(c, 'role_missing')
    return next()
  }
}

/** A browser sends other types across origins without asking, and with the cookie that Cloudflare Access reads. */
const requireJson: MiddlewareHandler<ControlEnv> = async function requireJson(c, next) {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  return c.req.method === 'GET' || type === 'application/json' ? next() : refuse(c, 'body_not_json')
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
