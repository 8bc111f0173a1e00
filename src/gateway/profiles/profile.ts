/**
 * What differs between kinds of identity provider: where its endpoints are and how a token request is written.
 */
import type { Result } from '../../core/result.ts'

export type BodyFormat = 'form' | 'json'

export interface Endpoint {
  /** Where the gateway calls it. */
  readonly url: string
  /** The gateway's own path for it. */
  readonly path: string
  /** Whether it is at an origin that the gateway does not proxy: that origin's cookies stay there. */
  readonly isElsewhere?: boolean
  /** Whether browsers are redirected there. */
  readonly isForBrowsers?: boolean
  /** Whether it takes the parameter `claims` (OpenID Connect Core section 5.5). */
  readonly takesClaims?: boolean
}

export interface Endpoints {
  readonly token: Endpoint
  readonly jwks: Endpoint
  readonly authorization?: Endpoint | undefined
  readonly endSession?: Endpoint | undefined
  /** Ends a session that is named in the body. */
  readonly sessionRevocation?: Endpoint | undefined
  /** How a request names a session without an ID token: the parameter, and the form of an id. */
  readonly session?: { readonly parameter: string; readonly form: RegExp }
  readonly revocation?: Endpoint | undefined
  /** RFC 9126. */
  readonly pushedAuthorization?: Endpoint | undefined
  /** OpenID Connect CIBA. */
  readonly backchannelAuthentication?: Endpoint | undefined
}

/** Why upstream's description is unknown. */
export type MetadataFault = 'metadata_unreachable' | 'metadata_issuer_mismatch' | 'metadata_incomplete'

export interface Profile {
  /** How a token request may be written; the first is the usual one. */
  readonly bodyFormats: readonly BodyFormat[]
  /** The address of upstream's discovery document, if it does not follow from its issuer. */
  readonly discoveryPath: string | undefined
  /**
   * Whether upstream declares that it returns the same answer when a refresh token is used twice within a moment. Elsewhere
   * the second use ends the session.
   */
  readonly replaysRefresh: boolean
  /** The endpoints, once they are known. */
  endpoints(): Promise<Result<Endpoints, MetadataFault>>
  /** Upstream's discovery document, as upstream wrote it. */
  metadata(): Promise<Result<Readonly<Record<string, unknown>>, MetadataFault>>
  /** What is wrong with upstream's description and what to do about it, as far as known. */
  problem(): string | undefined
}
