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
  .regex(/^(?!\.{1,2}$)[\w.:@|+~-]{1,128}$/)
  .openapi({ example: 'org_acme' })

/** Text that is stored, hashed and read by people: no half characters, no control characters, nothing that turns it round. */
const UNREADABLE = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u
const isLine = (value: string): boolean => !UNREADABLE.test(value)
const isText = (value: string): boolean => isLine(value.replace(/[\n\t]/g, ''))

const line = (length: number) =>
  z.string().trim().min(1).max(length).refine(isLine, 'must be one line of text')
/** Lines as Windows ends them are kept as all others; a carriage return alone would overwrite a line on a terminal. */
const text = (length: number) =>
  z
    .string()
    .overwrite((value) => value.replaceAll('\r\n', '\n'))
    .trim()
    .max(length)
    .refine(isText, 'must be text without control characters')

export const shortText = line(200)
export const longText = text(4000)
export const reasonText = text(1000).min(1)

/** RFC 3339 in UTC, kept with milliseconds so that instants sort as text. */
export const instant = z.iso
  .datetime({ offset: false })
  .transform((value) => new Date(value).toISOString())
  .openapi({ type: 'string', format: 'date-time', example: '2026-11-22T09:00:00.000Z' })

/** An instant in an answer. */
export const storedInstant = z.string().openapi({ format: 'date-time', example: '2026-11-22T09:00:00.000Z' })

/** Why a command was given: every one says it, and the audit log keeps it. */
export const why = {
  reason: reasonText.openapi({ example: 'Pilot agreed with the customer' }),
  ticket: line(200).optional().openapi({ example: 'SUP-1234' }),
}

export const DAY_MS = 86_400_000
