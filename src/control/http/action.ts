/** A route that starts work and changes no row: a `POST` that answers 202. */
import type { z } from '@hono/zod-openapi'
import type { Result } from '../../core/result.ts'
import type { Refusal } from '../refusals.ts'
import type { Api } from './context.ts'
import { NO_STORE, refuse } from './problem.ts'
import {
  addRoute,
  type Input,
  type Nothing,
  namesForeignEnvironment,
  nothing,
  type RouteBase,
  type Shape,
} from './route.ts'

export interface ActionRoute<P extends Shape, A extends z.ZodType, B extends Shape>
  extends RouteBase<P, Nothing> {
  readonly answer: A
  readonly body?: B
  act(input: Input<P, Nothing, B>): Promise<Result<z.input<A>, Refusal>>
}

export function act<A extends z.ZodType, P extends Shape = Nothing, B extends Shape = Nothing>(
  api: Api,
  route: ActionRoute<P, A, B>,
): void {
  const answers = { 202: { description: 'Started', schema: route.answer } }
  const definition = { method: 'post' as const, body: route.body ?? nothing, answers }
  addRoute<P, Nothing, B>(api, route, definition, async (c, input) => {
    if (namesForeignEnvironment(input)) return refuse(c, 'environment_forbidden')
    const result = await route.act(input)
    return result.ok ? c.json(result.value as object, 202, NO_STORE) : refuse(c, result.reason)
  })
}
