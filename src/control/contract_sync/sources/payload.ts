/** Finds where an event's payload does not match its type, with a hint if there is one. Pure. */
import type * as z from 'zod'
import type { ContractEvent } from '../events.ts'
import { displayName } from './names.ts'
import type { Unreadable } from './source.ts'

const MAX_PLACES = 3

/**
 * A payload that does not match its type, and where: `data.phases.0.status`.
 *
 * @param errors - by the place that was parsed
 * @param ends - restrictions that can be read anyway
 */
export function payloadInvalid(
  errors: Readonly<Record<string, z.ZodError | undefined>>,
  ends?: ContractEvent,
): Unreadable {
  const places = Object.entries(errors).flatMap(([place, error]) =>
    (error?.issues ?? []).flatMap((issue) =>
      membersOf(issue).map((path) => ({
        path: (place === '' ? path : [place, ...path]).join('.'),
        // Custom messages give a hint; those of the schema library add nothing to the place.
        hint: issue.message.startsWith('must be an instant') ? issue.message : undefined,
      })),
    ),
  )
  const exact = places.filter(({ path }) => !places.some((other) => other.path.startsWith(`${path}.`)))
  const shown = exact.map(({ path, hint }) => (hint === undefined ? path : `${path} ${hint}`))
  const detail = displayName([...new Set(shown)].slice(0, MAX_PLACES).join(', '), 'the event')
  return { ok: false, reason: 'payload_invalid', detail, ...(ends && { ends }) }
}

/** For unknown members, their own places. */
const membersOf = (issue: z.core.$ZodIssue): PropertyKey[][] =>
  issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]
