/**
 * The claims that Remint puts into a token and reads out of it. Pure.
 *
 * `feature_flags` is an array of keys, sorted and unique, because clients compare it in order.
 */
/** Where the entitlements of a token come from: the fallbacks of the gateway, in their order. */
export type EntitlementSource = 'fresh' | 'stale' | 'degraded'

/** `feature_flags_meta`: where the flags come from. */
export interface FeatureFlagsMeta {
  /** The environment whose documents were read. */
  readonly env: string
  /** Versions of the catalog's and the organization's document, and of the user's where there is one: `"87.12"`. */
  readonly ver: string
  /** When the documents were read; epoch seconds. */
  readonly as_of: number
  readonly src: EntitlementSource
}

export type Claims = Readonly<Record<string, unknown>>

/** A string claim, or nothing. */
export const stringClaim = (claims: Claims, name: string): string | undefined => {
  const value = claims[name]
  return typeof value === 'string' ? value : undefined
}

/** The flags that a token carries; a claim of another shape grants nothing. */
export function featureFlags(claims: Claims): readonly string[] {
  const value = claims.feature_flags
  return Array.isArray(value) && value.every((flag) => typeof flag === 'string') ? value : []
}

/** The environment that a token was minted in, by `feature_flags_meta`; `undefined` if the claim has another form. */
export function environmentOf(claims: Claims): string | undefined {
  const meta = claims.feature_flags_meta
  return typeof meta === 'object' && meta !== null ? stringClaim(meta as Claims, 'env') : undefined
}

/**
 * The audiences of a token. Some identity providers join several with spaces into one string, which RFC 7519 section
 * 4.1.3 does not know; an audience is a URI or a name and holds no space.
 */
export function audiences(claims: Claims): readonly string[] {
  const { aud } = claims
  if (typeof aud === 'string') return aud.split(' ')
  return Array.isArray(aud) ? aud.filter((one) => typeof one === 'string') : []
}

/** Whether a token is for one of these audiences. One that holds a space is compared whole. */
export const isForAudience = (claims: Claims, accepted: readonly string[]): boolean => {
  const named = audiences(claims)
  return accepted.some((audience) => named.includes(audience) || claims.aud === audience)
}

/** Anything that could name an audience counts as one. */
export const hasNoAudience = ({ aud }: Claims): boolean =>
  aud === undefined || aud === '' || (Array.isArray(aud) && aud.every((one) => one === ''))

/** Who a token is about, as documents name them. */
export interface SubjectIds {
  readonly orgId: string | undefined
  readonly userId: string | undefined
  /** A claim names an organization, but not in a form that can be a document's key. */
  readonly unreadable?: true
}

/** Longer ids do not fit into a KV key (512 bytes), so that nothing can have been published for them. */
const MAX_DOCUMENT_ID_BYTES = 440

/** An id that can stand in a document's key, or nothing. */
export function documentId(claim: unknown): string | undefined {
  const id = Number.isSafeInteger(claim) ? String(claim) : claim
  if (typeof id !== 'string' || id === '') return undefined
  // A UTF-16 unit is at most three bytes.
  if (id.length * 3 <= MAX_DOCUMENT_ID_BYTES) return id
  return new TextEncoder().encode(id).byteLength <= MAX_DOCUMENT_ID_BYTES ? id : undefined
}
