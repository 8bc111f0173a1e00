/**
 * What `npm run entitle` does to a document. Pure: a document in, the changed one out.
 *
 * One subject has at most one local grant for a flag: a new one replaces the old, because at a keyboard the last command
 * counts.
 */
import { randomUUID } from 'node:crypto'
import type { Catalog, Grant, OrgDocument, Rule, UserDocument } from '../../src/core/documents.ts'

const UNPUBLISHED = { format: 1, version: 0, published_at: new Date(0).toISOString() } as const

export const newOrg = (orgId: string): OrgDocument => ({
  ...UNPUBLISHED,
  org_id: orgId,
  contracts: [],
  grants: [],
  not_before: 0,
})

export const newUser = (userId: string): UserDocument => ({
  ...UNPUBLISHED,
  user_id: userId,
  grants: [],
  not_before: 0,
})

type Subject = OrgDocument | UserDocument

/** @param ttlMs - how long the grant holds; without it, until it is removed */
export function withGrant<D extends Subject>(
  document: D,
  grant: Pick<Grant, 'flag' | 'effect' | 'source'>,
  now: number,
  ttlMs?: number,
): D {
  const window = {
    from: new Date(now).toISOString(),
    to: ttlMs === undefined ? null : new Date(now + ttlMs).toISOString(),
  }
  const others = withoutGrants(document, grant.flag).grants
  return { ...document, grants: [...others, { id: `local_${randomUUID()}`, ...grant, ...window }] }
}

export const withoutGrants = <D extends Subject>(document: D, flag: string): D => ({
  ...document,
  grants: document.grants.filter((grant) => grant.flag !== flag),
})

/** Changes what is named and leaves the rest of the rule as it is. */
export function withRule(catalog: Catalog, flag: string, change: Partial<Rule>): Catalog {
  const rule = catalog.flags[flag]
  if (!rule) throw new Error(`no flag ${flag}`)
  return { ...catalog, flags: { ...catalog.flags, [flag]: { ...rule, ...change } } }
}

/** `+on -off`, in order; empty when nothing changed. */
export function difference(before: readonly string[], after: readonly string[]): string[] {
  const on = after.filter((flag) => !before.includes(flag)).map((flag) => `+${flag}`)
  const off = before.filter((flag) => !after.includes(flag)).map((flag) => `-${flag}`)
  return [...on, ...off]
}
