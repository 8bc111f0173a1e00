/** What several edits together can change: the affected flags, and the subjects that can gain or lose them. Pure. */
import { type About, NO_ONE, type Scope } from '../entities/entity.ts'

/** A scope that is not empty. */
export type Concerned = Exclude<Scope, { kind: 'none' }>

/** The union of the scopes; empty ones add nothing. */
export const unite = (scopes: readonly Scope[]): Scope => scopes.reduce(both, NO_ONE)

function both(one: Scope, other: Scope): Scope {
  if (!concernsSomebody(other)) return one
  if (!concernsSomebody(one)) return other
  const about: About = {
    flags: union(one.flags, other.flags),
    flagsOf: union(one.flagsOf, other.flagsOf),
    contractsOf: union(one.contractsOf, other.contractsOf),
  }
  if (one.kind === 'everyone' || other.kind === 'everyone') return { kind: 'everyone', ...about }
  return {
    kind: 'subjects',
    organizations: union(one.organizations, other.organizations),
    users: union(one.users, other.users),
    ...about,
  }
}

export const concernsSomebody = (scope: Scope): scope is Concerned =>
  scope.kind !== 'none' && scope.flags.length + (scope.flagsOf?.length ?? 0) > 0

/** The flags with all that exclude one of them. */
export const withPartners = (flags: readonly string[], together: readonly (readonly string[])[]): string[] =>
  union(flags, together.filter((set) => set.some((flag) => flags.includes(flag))).flat())

export const union = (one: readonly string[] = [], other: readonly string[] = []): string[] => [
  ...new Set([...one, ...other]),
]
