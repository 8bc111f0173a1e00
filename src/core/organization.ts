/**
 * Where a token names its organization: a claim, or a path into one. Pure.
 *
 * Providers differ: `org_id` (Auth0, WorkOS), `o.id` (Clerk), `organization.*.id` (Keycloak 26, a map or list by name).
 * `*` stands for the only member of a map or list; at the end of a path it is that member's name, or the list's element.
 * A name that has dots of its own, such as `https://example.com/org`, is looked for whole first. What is there but cannot be
 * read as one organization is not taken for none: entitlements and denials of an organization would be left out unseen.
 */
import { type Claims, documentId, type SubjectIds } from './claims.ts'

/** `none`: the token is about no organization. `unreadable`: about one, or several, that cannot be determined. */
export type Organization =
  | { readonly kind: 'one'; readonly id: string }
  | { readonly kind: 'none' | 'unreadable' }

const NONE = { kind: 'none' } as const
const UNREADABLE = { kind: 'unreadable' } as const

/** Who a token is about. @param path - to the organization */
export function subjectOf(claims: Claims, path: string): SubjectIds {
  const organization = organizationOf(claims, path)
  return {
    orgId: organization.kind === 'one' ? organization.id : undefined,
    userId: documentId(claims.sub),
    ...(organization.kind === 'unreadable' && { unreadable: true }),
  }
}

export function organizationOf(claims: Claims, path: string): Organization {
  const names = path.split('.')
  for (let length = names.length; length > 0; length--) {
    const claim = names.slice(0, length).join('.')
    if (Object.hasOwn(claims, claim)) return follow(claims[claim], names.slice(length))
  }
  return NONE
}

function follow(value: unknown, path: readonly string[]): Organization {
  if (isNothing(value)) return NONE
  if (Array.isArray(value)) {
    if (value.length > 1) return UNREADABLE
    return follow(value[0], path[0] === '*' && !isObject(value[0]) ? path.slice(1) : path)
  }
  const [name, ...rest] = path
  if (name === undefined) {
    const id = documentId(value)
    return id === undefined ? UNREADABLE : { kind: 'one', id }
  }
  if (!isObject(value)) return UNREADABLE
  if (name !== '*') return Object.hasOwn(value, name) ? readable(follow(value[name], rest)) : UNREADABLE
  const [member, ...others] = Object.keys(value)
  if (member === undefined || others.length > 0) return UNREADABLE
  return rest.length === 0 ? follow(member, rest) : readable(follow(value[member], rest))
}

/** Within a claim that is there, nothing is not the same as no organization. */
const readable = (found: Organization): Organization => (found.kind === 'none' ? UNREADABLE : found)

const isObject = (value: unknown): value is Claims => typeof value === 'object' && value !== null

const isNothing = (value: unknown): boolean =>
  value === undefined || value === null || (isObject(value) && Object.keys(value).length === 0)
