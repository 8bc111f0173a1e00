/**
 * A token of a test, as the gateway would have minted it. The claims are made by the function that the gateway uses.
 */
import type { CryptoKey } from 'jose'
import { SignJWT } from 'jose'
import { refuseUnknown } from '../core/known_names.ts'
import { mintedClaims } from '../core/minted_claims.ts'
import { FLAG_KEY } from '../core/names.ts'
import { ACCESS_TOKEN_TYPE } from '../core/token_purpose.ts'

export interface TestTokenOptions {
  /** What `feature_flags` holds. */
  readonly features: readonly string[]
  /** Default: `org_test`. */
  readonly orgId?: string
  /** `sub`. Default: `user_test`. */
  readonly userId?: string
  /** `sid`. Default: a new one. */
  readonly sessionId?: string
  /** Further claims, over all others; one that is `undefined` is left out. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** How old the token is. Default: 0. */
  readonly ageSeconds?: number
  /** From when it was issued to when it ends. Default: 300. A token that is older has expired. */
  readonly lifetimeSeconds?: number
  /** Default: those of `testGuardOptions`. */
  readonly issuer?: string
  readonly audience?: string | readonly string[]
  readonly environment?: string
}

export interface TestKey {
  readonly kid: string
  readonly alg: string
  readonly key: CryptoKey
}

/** The defaults of a token. */
export const DEFAULTS = {
  issuer: 'https://auth.remint.test',
  audience: 'https://api.remint.test',
  environment: 'test',
}

const NAMES: Record<keyof TestTokenOptions, true> = {
  features: true,
  orgId: true,
  userId: true,
  sessionId: true,
  claims: true,
  ageSeconds: true,
  lifetimeSeconds: true,
  issuer: true,
  audience: true,
  environment: true,
}

/** @param now - epoch milliseconds @throws TypeError when an option is unknown, or a feature no flag key */
export async function signTestToken(
  options: TestTokenOptions,
  { kid, alg, key }: TestKey,
  now: number,
): Promise<string> {
  refuseUnknown('the options of mintTestToken', options, Object.keys(NAMES))
  const { features, claims = {}, orgId = 'org_test', userId = 'user_test' } = options
  const { ageSeconds = 0, lifetimeSeconds = 300, sessionId = `session_${crypto.randomUUID()}` } = options
  const { issuer, audience, environment } = { ...DEFAULTS, ...options }
  if (!Array.isArray(features) || !features.every((flag) => typeof flag === 'string' && FLAG_KEY.test(flag)))
    throw new TypeError('mintTestToken: features must be a list of flag keys')
  const iat = Math.floor(now / 1000 - ageSeconds)
  const upstream = { aud: audience, sub: userId, org_id: orgId, sid: sessionId, client_id: 'client_test' }
  const minted = mintedClaims(upstream, {
    ...{ issuer, iat, exp: iat + lifetimeSeconds, jti: crypto.randomUUID(), flags: features },
    meta: { env: environment, ver: '1.1', as_of: iat, src: 'fresh' },
  })
  return new SignJWT({ ...minted, ...claims })
    .setProtectedHeader({ alg, kid, typ: ACCESS_TOKEN_TYPE })
    .sign(key)
}
