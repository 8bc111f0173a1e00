/** What the policies require of edits, with the kinds of the flags that they are about. Does I/O. */
import type { FlagRow } from '../db/rows.ts'
import {
  type Affected,
  type Edit,
  flagsInQuestion,
  type Requirement,
  requirementsOf,
} from '../entities/edit.ts'
import type { Facts } from './command.ts'

/** @param affected - what somebody gains or loses by the edits */
export async function requirementsIn(
  { policies, state }: Pick<Facts, 'policies' | 'state'>,
  edits: readonly Edit[],
  affected: readonly Affected[],
): Promise<Requirement[]> {
  const kinds = new Map<string, FlagRow['kind']>()
  if (policies.some((policy) => policy.kinds !== null)) {
    const flags = [...edits.flatMap(flagsInQuestion), ...affected.map(({ flag }) => flag)]
    for (const { key, kind } of await state.rows('flags').loadMany([...new Set(flags)])) kinds.set(key, kind)
    for (const { table, after } of edits) if (table === 'flags') kinds.set(after.key, after.kind)
  }
  return requirementsOf(edits, policies, affected, kinds)
}
