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
  /** Whether it is at an origin whose pages are not the gateway's to proxy: cookies of that origin stay there. */
  readonly isElsewhere?: boolean
  /** Whether people are sent there. */
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
  /** How sessions are named where no ID token does: by which parameter, and what an id looks like. */
  readonly session?: { readonly parameter: string; readonly form: RegExp }
  readonly revocation?: Endpoint | undefined
  /** RFC 9126. */
  readonly pushedAuthorization?: Endpoint | undefined
  /** OpenID Connect CIBA. */
  readonly backchannelAuthentication?: Endpoint | undefined
}

/** Why upstream cannot be described. */
export type MetadataFault = 'metadata_unreachable' | 'metadata_issuer_mismatch' | 'metadata_incomplete'

export interface Profile {
  /** How a token request may be written; the first is the usual one. */
  readonly bodyFormats: readonly BodyFormat[]
  /** Where upstream keeps its discovery document, if that does not follow from its issuer. */
  readonly discoveryPath: string | undefined
  /**
   * Whether upstream answers the same again when a refresh token is used twice within a moment, as it declares itself.
   * Elsewhere the second use ends the session.
   */
  readonly replaysRefresh: boolean
  /** The endpoints, once they are known. */
  endpoints(): Promise<Result<Endpoints, MetadataFault>>
  /** Upstream's discovery document, as upstream wrote it. */
  metadata(): Promise<Result<Readonly<Record<string, unknown>>, MetadataFault>>
  /** What is wrong with upstream's description and what to do about it, as far as that is known already. */
  problem(): string | undefined
}
