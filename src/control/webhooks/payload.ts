/** Says where an event's payload is not what its type promises. Pure. */
import type * as z from 'zod'
import { displayName } from './names.ts'

const MAX_PLACES = 3

/**
 * A payload that is not what its type promises, and where: `data.phases.0.status`.
 *
 * @param errors - by the place that was parsed
 */
export function payloadInvalid(errors: Readonly<Record<string, z.ZodError | undefined>>) {
  const places = Object.entries(errors).flatMap(([place, error]) =>
    (error?.issues ?? [])
      .flatMap(membersOf)
      .map((path) => (place === '' ? path : [place, ...path]).join('.')),
  )
  const exact = places.filter((one) => !places.some((other) => other.startsWith(`${one}.`)))
  const detail = displayName([...new Set(exact)].slice(0, MAX_PLACES).join(', '), 'the event')
  return { ok: false as const, reason: 'payload_invalid' as const, detail }
}

/** Of members that there are not, themselves. */
const membersOf = (issue: z.core.$ZodIssue): PropertyKey[][] =>
  issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]
