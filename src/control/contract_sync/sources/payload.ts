/** Says where an event's payload is not what its type promises, and how to write it where that is known. Pure. */
import type * as z from 'zod'
import type { ContractEnd } from '../events.ts'
import { displayName } from './names.ts'
import type { Unreadable } from './source.ts'

const MAX_PLACES = 3

/**
 * A payload that is not what its type promises, and where: `data.phases.0.status`.
 *
 * @param errors - by the place that was parsed
 * @param ends - what it takes away all the same
 */
export function payloadInvalid(
  errors: Readonly<Record<string, z.ZodError | undefined>>,
  ends?: ContractEnd,
): Unreadable {
  const places = Object.entries(errors).flatMap(([place, error]) =>
    (error?.issues ?? []).flatMap((issue) =>
      membersOf(issue).map((path) => ({
        path: (place === '' ? path : [place, ...path]).join('.'),
        // Messages of our own say how to write it; those of the schema library say what the place says already.
        hint: issue.message.startsWith('must be an instant') ? issue.message : undefined,
      })),
    ),
  )
  const exact = places.filter(({ path }) => !places.some((other) => other.path.startsWith(`${path}.`)))
  const shown = exact.map(({ path, hint }) => (hint === undefined ? path : `${path} ${hint}`))
  const detail = displayName([...new Set(shown)].slice(0, MAX_PLACES).join(', '), 'the event')
  return { ok: false, reason: 'payload_invalid', detail, ...(ends && { ends }) }
}

/** Of members that there are not, themselves. */
const membersOf = (issue: z.core.$ZodIssue): PropertyKey[][] =>
  issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]
