/**
 * Mints a token with the current flags from a verified one.
 *
 * It never lives longer than upstream's, and never says more than upstream's about who it is for. `mint` takes only a
 * `VerifiedToken`: what was not verified cannot be signed.
 */
import { base64url, CompactSign } from 'jose'
import type { Claims } from '../../core/claims.ts'
import { mintedClaims } from '../../core/minted_claims.ts'
import type { Config } from '../config.ts'
import type { Entitlements } from '../documents/entitle.ts'
import type { SigningKey } from '../signing_keys/keyring.ts'
import type { VerifiedToken } from './verify.ts'

export interface MintedToken {
  readonly jwt: string
  readonly jti: string
  /** Epoch seconds. */
  readonly exp: number
}

/**
 * Mints an access token (RFC 9068).
 *
 * @param now - epoch milliseconds
 * @param receivedAt - when upstream returned its token; epoch milliseconds
 */
export async function mint(
  upstream: VerifiedToken,
  { flags, until, meta }: Pick<Entitlements, 'flags' | 'until' | 'meta'>,
  key: SigningKey,
  config: Config,
  now: number,
  receivedAt: number,
): Promise<MintedToken> {
  const iat = Math.floor(now / 1000)
  const exp = Math.floor(
    Math.min(upstream.claims.exp, iat + config.tokenMaxSeconds, until ?? Number.POSITIVE_INFINITY),
  )
  const jti = await tokenId(upstream, receivedAt, flags, meta)
  const claims = mintedClaims(upstream.claims, { issuer: config.tokenIssuer, iat, exp, jti, flags, meta })
  return { jwt: await sign(claims, 'at+jwt', key), jti, exp }
}

/**
 * The id of a minted token: the same for a replay whose documents have not changed, so that every token of a client leads to
 * the row of the first one in the mint log, and replays add none. It is derived from upstream's token, which is secret, and
 * from what was added to it; and from when upstream returned it, because some return one token for several refreshes.
 *
 * @see RFC 9562 section 5.8 for the form
 */
async function tokenId(
  { jwt }: VerifiedToken,
  receivedAt: number,
  flags: readonly string[],
  { env, ver, src }: Entitlements['meta'],
): Promise<string> {
  const text = JSON.stringify(['remint jti, format 1', jwt, receivedAt, env, ver, src, flags])
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(text))).subarray(0, 16)
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/**
 * Re-signs an ID token that would otherwise be wrong: its `iss` changes, or it carries the hash of an access token that was
 * replaced. Otherwise there is nothing to do.
 *
 * @param accessToken - the one in the same response
 * @param key - of upstream's algorithm, if there is one: many clients accept only RS256
 * @param replaced - whether it differs from upstream's
 * @param now - epoch milliseconds
 * @param session - of the access token. An ID token of the same subject that does not name its session gets this one, so
 *   that logging out with it ends the access tokens of the session.
 */
export async function mintIdToken(
  upstream: VerifiedToken,
  accessToken: string,
  replaced: boolean,
  key: SigningKey,
  config: Config,
  now: number,
  session: { readonly sub?: unknown; readonly sid?: unknown } = {},
): Promise<string | undefined> {
  const { claims } = upstream
  const hasHash = Object.hasOwn(claims, 'at_hash')
  if (claims.iss === config.tokenIssuer && !(hasHash && replaced)) return undefined
  // Flags belong into access tokens, which end with what pays for them; upstream's flags are not repeated.
  const { feature_flags: _, feature_flags_meta: __, ...kept } = claims
  const atHash = hasHash ? { at_hash: await accessTokenHash(accessToken, key.alg) } : {}
  const named = session.sid !== undefined && session.sub === claims.sub ? { sid: session.sid } : {}
  const times = notAfter(Math.floor(now / 1000), claims, 'nbf', 'iat')
  return sign({ ...named, ...kept, ...times, iss: config.tokenIssuer, ...atHash }, 'JWT', key)
}

/** Upstream's clock may be ahead of the gateway's; a minted token must be valid at once. */
function notAfter(seconds: number, claims: Claims, ...names: string[]): Record<string, number> {
  const ahead = names.filter((name) => typeof claims[name] === 'number' && claims[name] > seconds)
  return Object.fromEntries(ahead.map((name) => [name, seconds]))
}

/**
 * The left half of the access token's hash (OpenID Connect Core section 3.1.3.6), by the hash function of the
 * algorithm that signs the ID token; Ed25519 has SHA-512 inside.
 */
async function accessTokenHash(accessToken: string, alg: string): Promise<string> {
  const hash = alg === 'EdDSA' ? 'SHA-512' : 'SHA-256'
  const digest = new Uint8Array(await crypto.subtle.digest(hash, encoder.encode(accessToken)))
  return base64url.encode(digest.subarray(0, digest.length / 2))
}

const encoder = new TextEncoder()

const sign = (claims: Claims, typ: string, { alg, kid, key }: SigningKey): Promise<string> =>
  new CompactSign(encoder.encode(JSON.stringify(claims))).setProtectedHeader({ alg, kid, typ }).sign(key)
