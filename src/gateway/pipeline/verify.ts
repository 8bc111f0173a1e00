/**
 * Verifies upstream's token; only the result can be minted.
 *
 * "The token is bad" and "we cannot tell right now" (`keys_unreachable`) are different reasons. Reasons name what is wrong
 * and never quote the token.
 */
import { compactVerify, errors } from 'jose'
import type { Claims } from '../../core/claims.ts'
import { type JwsFormReason, readJwsHeader } from '../../core/jws.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { accessTokenFault, isAccessTokenType } from '../../core/token_purpose.ts'
import { isForServices } from '../audience.ts'
import type { Config } from '../config.ts'
import type { Keyring } from '../signing_keys/keyring.ts'
import type { KeysFault, UpstreamKeys } from '../signing_keys/upstream_keys.ts'

declare const verified: unique symbol

/** The claims of a token whose signature, issuer, audience, type and times were checked. Made here and nowhere else. */
export interface VerifiedToken {
  readonly claims: Claims & { readonly exp: number }
  /** The algorithm of its signature. */
  readonly alg: string
  /** As it was signed: only who was given it knows it. */
  readonly jwt: string
  readonly [verified]: true
}

export type VerifyReason =
  | JwsFormReason
  | 'token_is_ours'
  | 'algorithm_refused'
  | 'type_refused'
  | 'key_unknown'
  | KeysFault
  | 'signature_invalid'
  | 'payload_malformed'
  | 'issuer_mismatch'
  | 'audience_mismatch'
  | 'not_an_access_token'
  | 'token_expired'
  | 'token_not_yet_valid'

type IsType = (typ: string | undefined) => boolean

const isResponseType: IsType = (typ) => isAccessTokenType(typ, 'token_response')
const isIdTokenType: IsType = (typ) => typ === undefined || typ === 'jwt'

export interface VerifyContext {
  readonly config: Config
  readonly keyring: Keyring
  readonly keys: UpstreamKeys
}

/**
 * Verifies upstream's access token.
 *
 * @param now - epoch milliseconds
 * @param isLabelled - whether upstream labels it as a token of another kind, so that its place is no evidence
 */
export async function verifyAccessToken(
  token: string,
  context: VerifyContext,
  now: number,
  isLabelled = false,
): Promise<Result<VerifiedToken, VerifyReason>> {
  const signed = await verifySigned(token, isResponseType, context, now)
  if (!signed.ok) return signed
  const { claims, typ, alg } = signed.value
  if (!isForServices(claims, context.config.upstream)) return err('audience_mismatch')
  const fault = accessTokenFault(typ, claims, isLabelled ? 'presented' : 'token_response')
  return fault === undefined ? ok({ claims, alg, jwt: token } as VerifiedToken) : err(fault)
}

/**
 * Verifies upstream's ID token. The client checks its audience.
 *
 * @param now - epoch milliseconds
 */
export async function verifyIdToken(
  token: string,
  context: VerifyContext,
  now: number,
): Promise<Result<VerifiedToken, VerifyReason>> {
  const signed = await verifySigned(token, isIdTokenType, context, now)
  if (!signed.ok) return signed
  const { claims, alg } = signed.value
  return ok({ claims, alg, jwt: token } as VerifiedToken)
}

interface Signed {
  readonly claims: VerifiedToken['claims']
  readonly typ: string | undefined
  readonly alg: string
}

/** Form, algorithm, type, key, signature, issuer and times, in that order: nothing is read that was not checked. */
async function verifySigned(
  token: string,
  isType: IsType,
  { config, keyring, keys }: VerifyContext,
  now: number,
): Promise<Result<Signed, VerifyReason>> {
  const header = readJwsHeader(token)
  if (!header.ok) return header
  const { kid, typ } = header.value
  const alg = header.value.alg === 'Ed25519' ? 'EdDSA' : header.value.alg
  if (!config.upstream.algorithms.includes(alg)) return err('algorithm_refused')
  if (!isType(typ)) return err('type_refused')
  if (keyring.has(kid)) return err('token_is_ours')
  const candidates = await findKeys(keys, kid, alg)
  if (!candidates.ok) return candidates
  const payload = await payloadOf(token, candidates.value)
  if (!payload.ok) return payload
  const claims = payload.value
  if (!isClaims(claims)) return err('payload_malformed')
  if (!config.upstream.issuers.includes(claims.iss as string)) return err('issuer_mismatch')
  const seconds = Math.floor(now / 1000)
  // Whole seconds: the minted token must not end as it begins.
  if (Math.floor(claims.exp) <= seconds) return err('token_expired')
  // Upstream has just issued the token; its clock may be ahead (RFC 7519 section 4.1.5).
  if ((claims.nbf ?? 0) > seconds + config.clockSkewSeconds) return err('token_not_yet_valid')
  return ok({ claims, typ, alg })
}

/** An unknown key may be a new one: the key set is fetched again, at most once per cool-down. */
async function findKeys(
  keys: UpstreamKeys,
  kid: string | undefined,
  alg: string,
): Promise<Result<readonly CryptoKey[], 'key_unknown' | KeysFault>> {
  const current = await keys.current()
  if (!current.ok) return current
  const known = current.value.candidates(kid, alg)
  if (known.length > 0) return ok(known)
  if (!(await keys.refresh())) return err('keys_unreachable')
  const refreshed = await keys.current()
  const found = refreshed.ok ? refreshed.value.candidates(kid, alg) : []
  return found.length > 0 ? ok(found) : err('key_unknown')
}

/** Tries the keys in turn: all of them are upstream's, and of the same algorithm. */
async function payloadOf(
  token: string,
  keys: readonly CryptoKey[],
): Promise<Result<unknown, 'signature_invalid' | 'payload_malformed'>> {
  for (const key of keys) {
    try {
      const { payload } = await compactVerify(token, key)
      return ok(JSON.parse(new TextDecoder().decode(payload)))
    } catch (cause) {
      if (!(cause instanceof errors.JWSSignatureVerificationFailed)) return err('payload_malformed')
    }
  }
  return err('signature_invalid')
}

function isClaims(value: unknown): value is Claims & { readonly exp: number; readonly nbf?: number } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const { exp, nbf } = value as Record<string, unknown>
  return Number.isFinite(exp) && (nbf === undefined || Number.isFinite(nbf))
}
