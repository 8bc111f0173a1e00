/**
 * The members of requests and responses, each defined once. Pure.
 *
 * Limits are part of the definition: an id must fit into a KV key, and a text into a readable row.
 */
import { z } from '@hono/zod-openapi'
import { ENVIRONMENT_NAME, FLAG_KEY } from '../../core/names.ts'

export const flagKey = z.string().regex(FLAG_KEY).openapi({ example: 'advanced-analytics' })
export const environmentName = z.string().regex(ENVIRONMENT_NAME).openapi({ example: 'production' })

/** An id from an identity provider or a CRM. It has no spaces and slashes, so that it fits into paths and KV keys. */
export const externalId = z
  .string()
  .regex(/^(?!\.{1,2}$)[\w.:@|+~-]{1,128}$/)
  .openapi({ example: 'org_acme' })

/** Text that is stored, hashed and read by people: no lone surrogates, no control characters, no bidirectional overrides. */
const UNREADABLE = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u
const isLine = (value: string): boolean => !UNREADABLE.test(value)
const isText = (value: string): boolean => isLine(value.replace(/[\n\t]/g, ''))

const line = (length: number) =>
  z.string().trim().min(1).max(length).refine(isLine, 'must be one line of text')
/** CRLF becomes LF. A lone carriage return is refused, because it would overwrite a line on a terminal. */
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

const RFC3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:[Zz]|([+ -])(\d\d):?(\d\d))$/
const DATE_ONLY = /^\d{4}-\d\d-\d\d$/

/** RFC 3339 with any offset, as epoch milliseconds; `undefined`: it is not one, or the day does not exist. */
function parseInstant(text: string): number | undefined {
  const match = RFC3339.exec(text)
  if (!match) return undefined
  const [year, month, day, hour, minute, second] = match
    .slice(1, 7)
    .map((part) => Number(part ?? 0)) as number[]
  const millisecond = Number((match[7] ?? '').slice(0, 3).padEnd(3, '0'))
  const [sign, hours, minutes] = [match[8], Number(match[9] ?? 0), Number(match[10] ?? 0)]
  const inRange = (hour ?? 0) < 24 && (minute ?? 0) < 60 && (second ?? 0) <= 60 && hours < 24 && minutes < 60
  const local = new Date(0)
  local.setUTCFullYear(year ?? 0, (month ?? 0) - 1, day)
  if (!inRange || local.getUTCMonth() + 1 !== month || local.getUTCDate() !== day) return undefined
  local.setUTCHours(hour ?? 0, minute, second, millisecond)
  const at = local.getTime() - (sign === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000
  // Instants sort as text: four digits of a year.
  return at >= 0 && at < 253_402_300_800_000 ? at : undefined
}

const WRITE_INSTANT = 'must be an instant with its offset from UTC, such as 2027-01-01T00:00:00Z'
const WRITE_DAY =
  'must be an instant: an end is exclusive, so write the end of 31 December as 2027-01-01T00:00:00Z, or with your offset, 2027-01-01T00:00:00+01:00'

/** RFC 3339, stored in UTC with milliseconds so that instants sort as text. */
export const instant = z
  .string()
  .meta({ format: 'date-time' })
  .transform((value, context) => {
    const at = parseInstant(value)
    if (at !== undefined) return new Date(at).toISOString()
    context.addIssue({ code: 'custom', message: DATE_ONLY.test(value) ? WRITE_DAY : WRITE_INSTANT })
    return z.NEVER
  })
  .openapi({ type: 'string', format: 'date-time', example: '2026-11-22T09:00:00.000Z' })

/** An instant in a response. */
export const storedInstant = z.string().openapi({ format: 'date-time', example: '2026-11-22T09:00:00.000Z' })

/** The reason of a command: every command has one, and the audit log stores it. */
export const why = {
  reason: reasonText.openapi({ example: 'Pilot agreed with the customer' }),
  ticket: line(200).optional().openapi({ example: 'SUP-1234' }),
}

export const DAY_MS = 86_400_000
