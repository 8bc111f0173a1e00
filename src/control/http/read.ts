/** A route that reads. */
import { createRoute, type z } from '@hono/zod-openapi'
import type { Result } from '../../core/result.ts'
import type { Refusal } from '../refusals.ts'
import type { Api, ControlContext } from './context.ts'
import { NO_STORE, refuse } from './problem.ts'
import {
  described,
  type Input,
  inputOf,
  json,
  type Nothing,
  namesForeignEnvironment,
  nothing,
  PROBLEMS,
  type RouteBase,
  type Shape,
} from './route.ts'

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
