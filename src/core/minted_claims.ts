/**
 * The claims of a minted access token (RFC 9068), for the gateway that signs it and for tokens of tests. Pure.
 *
 * Who the token is for comes from upstream; when and by whom it was made comes from the gateway.
 */
import type { Claims, FeatureFlagsMeta } from './claims.ts'

export interface Minting {
  readonly issuer: string
  /** Epoch seconds. */
  readonly iat: number
  readonly exp: number
  readonly jti: string
  readonly flags: readonly string[]
  readonly meta: FeatureFlagsMeta
}

/** `nbf` is kept only if it is earlier than `iat`: a token that is not yet valid looks broken to its client. */
export function mintedClaims(upstream: Claims, { issuer, iat, exp, jti, flags, meta }: Minting): Claims {
  const { nbf } = upstream
  return {
    ...upstream,
    ...(nbf !== undefined && { nbf: typeof nbf === 'number' ? Math.min(nbf, iat) : iat }),
    iss: issuer,
    iat,
    exp,
    jti,
    feature_flags: [...new Set(flags)].sort(),
    feature_flags_meta: meta,
  }
}
