/** A route that starts work and changes no row. */
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
  valid,
} from './route.ts'

export interface ActRoute<P extends Shape, A extends z.ZodType, B extends Shape>
  extends RouteBase<P, Nothing> {
  readonly answer: A
  readonly body?: B
  act(input: Input<P, Nothing> & { readonly body: z.output<B> }): Promise<Result<z.input<A>, Refusal>>
}

/** A `POST` that starts work, and answers 202. */
export function act<A extends z.ZodType, P extends Shape = Nothing, B extends Shape = Nothing>(
  api: Api,
  route: ActRoute<P, A, B>,
): void {
  const definition = createRoute({
    method: 'post',
    ...described(route),
    request: {
      params: route.params ?? nothing,
      query: nothing.strict(),
      body: { required: true, content: json((route.body ?? nothing).strict()) },
    },
    responses: { 202: { description: 'Started', content: json(route.answer) }, ...PROBLEMS },
  })
  api.openapi(definition, (async (c: ControlContext) => {
    const input = inputOf<P, Nothing>(c)
    if (namesForeignEnvironment(input)) return refuse(c, 'environment_forbidden')
    const result = await route.act({ ...input, body: valid(c, 'json') as z.output<B> })
    return result.ok ? c.json(result.value as object, 202, NO_STORE) : refuse(c, result.reason)
  }) as never)
}
