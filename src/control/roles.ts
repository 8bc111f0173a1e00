/**
 * The roles of operators, and the sets of them that routes name. Pure.
 *
 * A route without a set cannot be made (`http/route.ts`), so a forgotten one is closed, not open.
 */
export const ROLES = ['viewer', 'editor', 'approver', 'admin', 'break-glass'] as const

export type Role = (typeof ROLES)[number]

/** Everybody who may see anything. */
export const READERS: readonly Role[] = ROLES

/** Who changes flags, rules, grants, plans and contracts. */
export const EDITORS: readonly Role[] = ['editor', 'admin']

/** Who approves what others request. */
export const APPROVERS: readonly Role[] = ['approver', 'admin']

/** Who acts first and is reviewed afterwards. No other role includes it. */
export const BREAKERS: readonly Role[] = ['break-glass']

/** Who stops or helps in an incident: killing is always safe, and a grant ends by itself. */
export const RESPONDERS: readonly Role[] = ['editor', 'admin', 'break-glass']

/** Who grants access to the control plane itself, and rebuilds documents. */
export const ADMINS: readonly Role[] = ['admin']

export const hasRole = (held: readonly string[], wanted: readonly Role[]): boolean =>
  wanted.some((role) => held.includes(role))

const known = new Set<string>(ROLES)

/** The roles among the values of a claim; other values are ignored. */
export const rolesAmong = (values: unknown): Role[] =>
  Array.isArray(values) ? values.filter((value): value is Role => known.has(value)) : []
