/**
 * The forms that names and times of other systems must have, beyond those of `entities/fields.ts`. Pure.
 *
 * Everything here ends up in a key, a path or a row, so that it is bounded; what is only shown to people is trimmed
 * rather than refused, lest an odd name keep an organization out.
 */
import * as z from 'zod'
import { externalId } from '../entities/fields.ts'

/** Names by which a mapping can be found; others cannot be mapped, and are left out. */
export const candidates = (...names: (string | null | undefined)[]): string[] =>
  names.filter((name): name is string => externalId.safeParse(name).success)

/** `~` sets off a contract's later rows (`C-9~2`), which need room. */
export const contractId = z.string().regex(/^(?!\.{1,2}$)[\w.:@|+-]{1,120}$/)

/** An event's type is kept and shown, whatever it is. */
export const eventType = z.string().regex(/^[\w.:/-]{1,128}$/)

const UNREADABLE = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/gu
const MAX_NAME = 200

/** A name to be shown: one line, without what cannot be read. */
export function displayName(name: string, otherwise: string): string {
  const line = name.replace(UNREADABLE, ' ').trim().slice(0, MAX_NAME).replace(UNREADABLE, '').trim()
  return line === '' ? otherwise : line
}

/** Epoch seconds until the end of the year 9999, so that instants sort as text. */
export const epochSeconds = z.int().min(0).max(253_402_300_799)

export const instantOf = (seconds: number): string => new Date(seconds * 1000).toISOString()
