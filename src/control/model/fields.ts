/**
 * The members that requests and answers are made of, each defined once. Pure.
 *
 * Bounds are part of the definition: an id must fit into a KV key, and a text into a row that somebody reads.
 */
import { z } from '@hono/zod-openapi'
import { ENVIRONMENT_NAME, FLAG_KEY } from '../../core/names.ts'

export const flagKey = z.string().regex(FLAG_KEY).openapi({ example: 'advanced-analytics' })
export const environmentName = z.string().regex(ENVIRONMENT_NAME).openapi({ example: 'production' })

/** An id that an identity provider or a CRM gave; no spaces, no slashes, so that it fits into paths and KV keys. */
export const externalId = z
  .string()
  .regex(/^[\w.:@|+~-]{1,128}$/)
  .openapi({ example: 'org_acme' })

export const shortText = z.string().trim().min(1).max(200)
export const longText = z.string().trim().max(4000)

/** RFC 3339 in UTC, kept with milliseconds so that instants sort as text. */
export const instant = z.iso
  .datetime({ offset: false })
  .transform((value) => new Date(value).toISOString())
  .openapi({ type: 'string', format: 'date-time', example: '2026-11-22T09:00:00.000Z' })

/** An instant in an answer. */
export const storedInstant = z.string().openapi({ format: 'date-time', example: '2026-11-22T09:00:00.000Z' })

/** Why a command was given: every one says it, and the audit log keeps it. */
export const why = {
  reason: z.string().trim().min(1).max(1000).openapi({ example: 'Pilot agreed with the customer' }),
  ticket: z.string().trim().min(1).max(200).optional().openapi({ example: 'SUP-1234' }),
}
