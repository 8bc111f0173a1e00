/**
 * What a route requires of a token, and how fresh the answer must be. Pure.
 *
 * The gateway and the guard library decide by the same two functions, so that they cannot disagree.
 */

/** All of one list and at least one of the other. An empty list requires nothing. */
export interface Requirement {
  readonly all: readonly string[]
  readonly any: readonly string[]
}

/** `claim` trusts the token until it expires; `live` also checks the current state. */
export type Freshness = 'claim' | 'live'

export const NOTHING: Requirement = { all: [], any: [] }

/** The missing flags: those of `all` that the token lacks, and all of `any` if it has none of them. */
export function missingFlags(flags: readonly string[], { all, any }: Requirement): readonly string[] {
  const missing = all.filter((flag) => !flags.includes(flag))
  if (any.length > 0 && !any.some((flag) => flags.includes(flag))) missing.push(...any)
  return missing.length > 1 ? [...new Set(missing)] : missing
}
