/** The members of requests and responses that only contract sync uses. Pure. */
import { z } from '@hono/zod-openapi'

/** A source, or a named endpoint of one: `standard-market`. */
export const sourceName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/)
  .openapi({ example: 'stripe' })

/** A number of a contract or an event in Stripe, a CRM or another system. */
export const eventIdParam = z.string().regex(/^[\w.:@|+~-]{1,160}$/)
