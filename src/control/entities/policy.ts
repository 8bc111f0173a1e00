/**
 * Which edits somebody else must agree to, where, and whether enough have. Pure but for reading the policies.
 *
 * It is decided by what the edit does to a row, not by which route it came through, so that a new way to change something
 * cannot go round it.
 */
import type { Database } from '../db/client.ts'
import type { PolicyRow } from '../db/rows.ts'
import { policies } from '../db/schema.ts'
import { type Edit, environmentsOf, isEntitling } from './edit.ts'
import { isPublished } from './projection.ts'

export type Policy = Omit<PolicyRow, 'updated_at'>

/** Until somebody sets one: one person besides the author agrees to what changes in the last environment. */
export const defaultPolicy = (environment: string, environments: readonly string[]): Policy => ({
  environment,
  approvals: environment === environments.at(-1) ? 1 : 0,
  owner_approves: false,
  exclusive: [],
  revision: 0,
})

/** One an environment, in their order. */
export async function readPolicies(db: Database, environments: readonly string[]): Promise<Policy[]> {
  const rows = await db.select().from(policies)
  return environments.map(
    (name) => rows.find(({ environment }) => environment === name) ?? defaultPolicy(name, environments),
  )
}

/** The environments whose policies want this edit approved. */
export function guardedEnvironments(edit: Edit, all: readonly Policy[]): string[] {
  const asking = all.filter(({ approvals, owner_approves }) => approvals > 0 || owner_approves)
  const names = asking.map(({ environment }) => environment)
  const touched = environmentsOf(edit, names).filter((name) => names.includes(name))
  switch (edit.table) {
    case 'rules':
    case 'grants':
    case 'contracts':
    case 'policies':
    case 'mappings':
      return touched
    case 'plans': {
      const { before, after } = edit
      const decides = ({ flags, grace_days }: typeof after) => JSON.stringify([flags, grace_days])
      return before === null || decides(before) !== decides(after) ? touched : []
    }
    case 'flags': {
      const { before, after } = edit
      if (before === null) return isPublished(after) ? touched : []
      // Who takes over a flag would decide what its owner decides.
      const handedOver = before.owner !== after.owner
      const published = isPublished(before) !== isPublished(after)
      return touched.filter(
        (name) => published || (handedOver && asking.some((p) => p.environment === name && p.owner_approves)),
      )
    }
    // Who an organization is changes nothing of what it has; that its tokens end early only takes away.
    // Who accepts a finding changes nothing of what anybody has.
    case 'organizations':
    case 'api_keys':
    case 'change_requests':
    case 'findings':
      return []
  }
}

/** The flags that an edit is about, whose owners a policy may ask. */
export function flagsInQuestion(edit: Edit): readonly string[] {
  if (!isEntitling(edit)) return []
  switch (edit.table) {
    case 'flags':
      return [edit.after.key]
    case 'rules':
    case 'grants':
      return [edit.after.flag]
    case 'plans':
      return difference(edit.before?.flags ?? [], edit.after.flags)
    case 'contracts':
      return difference(edit.before?.add ?? [], edit.after.add)
  }
}

/** What is in one of the two only. */
export const difference = (one: readonly string[], other: readonly string[]): string[] => [
  ...one.filter((value) => !other.includes(value)),
  ...other.filter((value) => !one.includes(value)),
]
