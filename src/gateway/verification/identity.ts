/**
 * The identity in a presented token: verification of the gateway's own access tokens.
 *
 * A verified identity is cached in the isolate under the SHA-256 of the whole token, a decision never is; `exp` is checked
 * on every hit. Only tokens that the gateway's own keys signed are accepted, even if upstream has the same issuer.
 */
import { compactVerify, errors } from 'jose'
import {
  type Claims,
  documentId,
  environmentOf,
  type FeatureFlagsMeta,
  featureFlags,
  type SubjectIds,
  stringClaim,
} from '../../core/claims.ts'
import { type JwsFormReason, MAX_JWT_BYTES, readJwsHeader } from '../../core/jws.ts'
import { LruMap } from '../../core/lru.ts'
import { subjectOf } from '../../core/organization.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { accessTokenFault, isAccessTokenType, type PurposeFault } from '../../core/token_purpose.ts'
import { isForServices } from '../audience.ts'
import { type Config, isOwnIssuer } from '../config.ts'
import type { Keyring } from '../signing_keys/keyring.ts'

export interface Identity extends SubjectIds {
  readonly sub: string | undefined
  readonly sid: string | undefined
  readonly jti: string | undefined
  /** Epoch seconds. */
  readonly exp: number
  /** Epoch seconds; a token without it counts as infinitely old. */
  readonly iat: number
  readonly flags: readonly string[]
  readonly meta: FeatureFlagsMeta | undefined
  /** Whether the token is bound to a key (`cnf`), so that presenting it proves nothing. */
  readonly bound: boolean
  readonly claims: Claims
}

/** Why a token does not verify; part of the interface of `POST /verify`. */
export type IdentityReason =
  | JwsFormReason
  | 'algorithm_refused'
  | PurposeFault
  | 'key_unknown'
  | 'signature_invalid'
  | 'issuer_mismatch'
  | 'audience_mismatch'
  | 'environment_mismatch'
  | 'token_expired'
  | 'token_not_yet_valid'

/** Identities cached per isolate: at 2 KiB each, about 10 MiB of its 128. */
const MAX_IDENTITIES = 5_000

/** The skew among the gateway's own machines; upstream's clock is `CLOCK_SKEW_SECONDS` of the configuration. */
const CLOCK_SKEW_SECONDS = 5

export class Identities {
  readonly #config: Config
  readonly #keyring: Keyring
  readonly #known = new LruMap<string, Identity>(MAX_IDENTITIES)

  constructor(config: Config, keyring: Keyring) {
    this.#config = config
    this.#keyring = keyring
  }

  /** Verifies a token, bound or not; the decision handles bound ones. @param now - epoch milliseconds */
  async verify(token: string, now: number): Promise<Result<Identity, IdentityReason>> {
    if (token.length > MAX_JWT_BYTES) return err('token_too_large')
    const digest = await fingerprint(token)
    let identity = this.#known.get(digest)
    if (!identity) {
      const verified = await this.#verifySigned(token, now)
      if (!verified.ok) return verified
      identity = verified.value
      this.#known.set(digest, identity)
    }
    if (identity.exp <= Math.floor(now / 1000)) return err('token_expired')
    return ok(identity)
  }

  async #verifySigned(token: string, now: number): Promise<Result<Identity, IdentityReason>> {
    const { upstream, orgClaim, environment } = this.#config
    const header = readJwsHeader(token)
    if (!header.ok) return header
    const { alg, kid, typ } = header.value
    if (!isAccessTokenType(typ, 'minted')) return err('type_refused')
    if (!this.#keyring.has(kid)) return err('key_unknown')
    const key = this.#keyring.find(kid, alg)
    if (!key) return err('algorithm_refused')
    let claims: Claims
    try {
      claims = JSON.parse(new TextDecoder().decode((await compactVerify(token, key)).payload))
    } catch (cause) {
      return err(
        cause instanceof errors.JWSSignatureVerificationFailed ? 'signature_invalid' : 'token_malformed',
      )
    }
    const fault = accessTokenFault(typ, claims, 'minted')
    if (fault !== undefined) return err(fault)
    const { exp, iat, nbf, cnf } = claims
    if (typeof exp !== 'number') return err('token_malformed')
    if (!isOwnIssuer(claims.iss, this.#config)) return err('issuer_mismatch')
    if (!isForServices(claims, upstream)) return err('audience_mismatch')
    // Environments may share keys, issuer and audience; only the claim distinguishes their tokens.
    if (claims.feature_flags_meta !== undefined && environmentOf(claims) !== environment)
      return err('environment_mismatch')
    if (typeof nbf === 'number' && nbf > Math.floor(now / 1000) + CLOCK_SKEW_SECONDS)
      return err('token_not_yet_valid')
    return ok({
      ...subjectOf(claims, orgClaim),
      sub: stringClaim(claims, 'sub'),
      sid: documentId(claims.sid),
      jti: documentId(claims.jti),
      exp,
      iat: typeof iat === 'number' ? iat : 0,
      flags: featureFlags(claims),
      // The gateway signed it, so it has the gateway's form.
      meta: claims.feature_flags_meta as FeatureFlagsMeta | undefined,
      bound: cnf !== undefined,
      claims,
    })
  }
}

const encoder = new TextEncoder()

async function fingerprint(token: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(token)))
  return String.fromCharCode(...digest)
}
