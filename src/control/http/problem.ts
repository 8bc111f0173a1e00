/**
 * Errors on the wire: RFC 9457 with a stable `code` and the request id.
 */
import { z } from '@hono/zod-openapi'
import type { z as zod } from 'zod'
import type { Contradiction } from '../effects/contradictions.ts'
import { contradictionSchema, viewContradiction } from '../effects/view.ts'
import { type Refusal, wireOf } from '../refusals.ts'
import type { ControlContext } from './context.ts'

/** For every response that contains entitlements. */
export const NO_STORE = { 'cache-control': 'no-store', pragma: 'no-cache' } as const

/** How long a client should wait: after a fault of the server, and after too many faults of its own. */
const RETRY_AFTER_SECONDS: Record<number, number> = { 429: 60, 503: 2 }
/** How many faults of one request are reported. */
const MAX_ERRORS = 20

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string().openapi({ description: 'Stable, for programs.' }),
    detail: z.string(),
    request_id: z.string(),
    errors: z
      .array(z.object({ pointer: z.string(), detail: z.string() }))
      .optional()
      .openapi({ description: 'What does not match the schema, and where (JSON Pointer, RFC 6901).' }),
    contradictions: z.array(contradictionSchema).optional().openapi({
      description: 'For `contract_contradicts`: which organizations and flags.',
    }),
  })
  .openapi('Problem')

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

export function refuse(
  c: ControlContext,
  reason: Refusal,
  issues?: zod.core.$ZodIssue[],
  contradictions?: readonly Contradiction[],
): Response {
  c.var.log.reason = reason
  const { status, detail } = wireOf(reason)
  const errors = issues?.slice(0, MAX_ERRORS).map((issue) => ({
    pointer: `/${issue.path.map((part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`,
    detail: issue.code === 'unrecognized_keys' ? 'has unknown members' : issue.message,
  }))
  return answer(c, status, {
    code: reason,
    detail,
    ...(errors && { errors }),
    ...(contradictions && { contradictions: contradictions.map(viewContradiction) }),
  })
}

/** A bug. The client gets a request id; the log has the details under it. */
export function internalError(c: ControlContext, error: unknown): Response {
  c.var.log.reason = 'internal_error'
  c.var.log.fault = faultOf(error)
  return answer(c, 500, {
    code: 'internal_error',
    detail: 'The control plane has an internal error. Its log has the request id.',
  })
}

/** The kind and place of an error. Only D1's messages are included: others may quote what a client sent. */
export function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return 'not an Error'
  if (error.message.startsWith('D1_ERROR')) return error.message
  if (error.cause instanceof Error) return faultOf(error.cause)
  const where = error.stack?.split('\n').find((line) => line.trimStart().startsWith('at '))
  return `${error.name} ${where?.trim() ?? ''}`
}

function answer(c: ControlContext, status: number, members: { code: string; detail: string }): Response {
  const requestId = c.var.log.request_id
  return Response.json(
    { type: 'about:blank', title: TITLES[status], status, ...members, request_id: requestId },
    {
      status,
      headers: {
        'content-type': 'application/problem+json',
        ...NO_STORE,
        ...(status === 401 && { 'www-authenticate': 'Bearer realm="remint-control"' }),
        ...(RETRY_AFTER_SECONDS[status] && { 'retry-after': String(RETRY_AFTER_SECONDS[status]) }),
      },
    },
  )
}
