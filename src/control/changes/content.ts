/** When two rows say the same, whatever they say about when they were touched. Pure. */
import type { Edit } from '../model/edit.ts'
import { canonical } from './chain.ts'

/**
 * Whether the edit leaves everything as it is but the marks of the edit itself. A contract's revision is its source's,
 * and is content.
 */
export function isUnchanged({ table, before, after }: Edit): boolean {
  if (before === null) return false
  if (table === 'contracts' && before.revision !== after.revision) return false
  return sameContent(before, after)
}

export function sameContent(one: Edit['before'], other: Edit['before']): boolean {
  const content = (row: Edit['before']) => {
    if (row === null) return null
    const { updated_at: _, revision: __, ...rest } = row
    return canonical(rest)
  }
  return content(one) === content(other)
}
