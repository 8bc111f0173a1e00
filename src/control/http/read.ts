/** A route that reads: a `GET`. A row with a `revision` gets an `ETag`. */
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
  type RouteBase,
  type Shape,
} from './route.ts'

export interface ReadRoute<P extends Shape, Q extends Shape, A extends z.ZodType> extends RouteBase<P, Q> {
  readonly answer: A
  read(input: Input<P, Q>): Promise<Result<z.input<A>, Refusal>>
}

export function read<A extends z.ZodType, P extends Shape = Nothing, Q extends Shape = Nothing>(
  api: Api,
  route: ReadRoute<P, Q, A>,
): void {
  const answers = { 200: { description: 'OK', schema: route.answer } }
  addRoute<P, Q, Nothing>(api, route, { method: 'get', answers }, async (c, input) => {
    if (namesForeignEnvironment(input)) return refuse(c, 'environment_forbidden')
    const result = await route.read(input)
    if (!result.ok) return refuse(c, result.reason)
    const { revision } = result.value as { revision?: unknown }
    const etag = typeof revision === 'number' ? { etag: `"${revision}"` } : {}
    return c.json(result.value as object, 200, { ...NO_STORE, ...etag })
  })
}
