/**
 * The forms that names and times of other systems must have, beyond those of the API's own fields. Pure.
 *
 * Everything here ends up in a key, a path or a row, so it is limited; text that is only shown to people is trimmed rather
 * than refused, so that an odd name does not keep an organization out.
 */
import * as z from 'zod'
import { externalId } from '../../entities/fields.ts'
import type { External } from '../events.ts'

/** The names by which a mapping can be found; others cannot be mapped, and are left out. */
export const candidates = (...names: (string | null | undefined)[]): string[] =>
  names.filter((name): name is string => externalId.safeParse(name).success)

/** A name that somebody entered: a malformed one is an error, an empty one is none. */
export const isGiven = (name: string | null | undefined): name is string =>
  name !== undefined && name !== null && name !== ''

/** A name that exists here or is mapped. @param others - further candidates for a mapping, first */
export const named = (
  kind: External['kind'],
  name: string,
  ...others: (string | null | undefined)[]
): External =>
  externalId.safeParse(name).success
    ? { kind, candidates: candidates(...others, name), ours: name }
    : { kind, candidates: candidates(...others), invalid: displayName(name, 'a name') }

/** A contract's number as its system has it: one line of text. */
export const contractNumber = z
  .string()
  .min(1)
  .max(120)
  .regex(/^(?!\.{1,2}$)(?! )[^~\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]+(?<! )$/u)

/** A number that is used as an id unchanged. `~` marks a contract's later rows (`C-9~2`), which need room. */
export const PLAIN_NUMBER = /^(?!\.{1,2}$)[\w.:@|+-]{1,120}$/

/** An event's type is stored and shown, whatever it is. */
export const eventType = z.string().regex(/^[\w.:/-]{1,128}$/)
/** An event's id is used in paths. */
export const eventId = z.string().regex(/^[\w.:@|+~-]{1,128}$/)

const UNREADABLE = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/gu
const MAX_NAME = 200

/** A name for display: one line, without unreadable characters. */
export function displayName(name: string, otherwise: string): string {
  const line = name.replace(UNREADABLE, ' ').trim().slice(0, MAX_NAME).replace(UNREADABLE, '').trim()
  return line === '' ? otherwise : line
}

/** Epoch seconds until the end of the year 9999, so that instants sort as text. */
export const epochSeconds = z.int().min(0).max(253_402_300_799)

export const instantOf = (seconds: number): string => new Date(seconds * 1000).toISOString()
