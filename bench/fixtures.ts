/**
 * What the bench feeds to everybody: keys, entitlement documents, tokens. Pure but for the keys, which are new on every run.
 *
 * The documents are of a size that a real SaaS has (30 flags, 3 plans, a contract and a few grants per organization)
 * and a function of the organization's number alone, so that 10,000 of them need no seeding and every answer of a
 * Worker can be checked against `expectedFlags`.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { calculateJwkThumbprint, type JWK } from 'jose'

export const ENVIRONMENT = 'bench'
/** The same organizations with a catalog of 100 flags. */
export const LARGE_ENVIRONMENT = 'bench-100'
export const AUDIENCE = 'https://api.example.com'
export const CLIENT_ID = 'bench-app'
export const TOKEN_SECONDS = 3600

const PUBLISHED_AT = '2026-11-01T09:00:00Z'
const WINDOW = { from: '2026-01-01T00:00:00Z', to: '2036-01-01T00:00:00Z' }
const FLAG_COUNT = 30
const LARGE_FLAG_COUNT = 100

const flagName = (n: number): string => `feature-number-${String(n).padStart(2, '0')}`
const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => flagName(from + i))

/** Flags 0-1 are for everybody, 2-25 are sold in plans, 26-27 roll out by percentage, 28 is killed, 29 is off. */
const RULES: Record<number, object> = {
  0: { access: 'all' },
  1: { access: 'all' },
  26: { kind: 'rollout', percentage: 25 },
  27: { kind: 'rollout', percentage: 50 },
  28: { killed: true },
  29: { access: 'none' },
}
const ROLLOUTS: ReadonlySet<string> = new Set([flagName(26), flagName(27)])
const PLANS = { starter: range(2, 8), growth: range(2, 16), enterprise: range(2, 24) }
const PLAN_NAMES = ['starter', 'growth', 'enterprise'] as const

const catalog = (environment: string, flagCount: number): string =>
  JSON.stringify({
    format: 1,
    environment,
    version: 87,
    published_at: PUBLISHED_AT,
    flags: Object.fromEntries(
      range(0, flagCount).map((flag, n) => [flag, { kind: 'entitlement', access: 'some', ...RULES[n] }]),
    ),
    plans: PLANS,
  })
const CATALOGS: Record<string, string> = {
  [`catalog:${ENVIRONMENT}`]: catalog(ENVIRONMENT, FLAG_COUNT),
  [`catalog:${LARGE_ENVIRONMENT}`]: catalog(LARGE_ENVIRONMENT, LARGE_FLAG_COUNT),
}

const planOf = (n: number) => PLAN_NAMES[n % 3] ?? 'starter'

function orgDocument(n: number): string {
  const grant = (flag: number, effect: string, source: string) => ({
    id: `grant-${n}-${flag}`,
    flag: flagName(flag),
    effect,
    source,
    ...WINDOW,
  })
  return JSON.stringify({
    format: 1,
    org_id: `org_${n}`,
    version: 12,
    published_at: PUBLISHED_AT,
    contracts: [
      { id: `C-${n}`, plan: planOf(n), status: 'active', from: WINDOW.from, to: null, add: [flagName(24)] },
    ],
    grants: [grant(25, 'allow', 'beta'), grant(2, 'deny', 'override'), grant(28, 'allow', 'support')],
    not_before: 0,
  })
}

/** The value under a KV key, or `null`. Users have no document of their own. */
export function documentFor(key: string): string | null {
  const org = /^org:[\w-]+:org_(\d+)$/.exec(key)
  return org ? orgDocument(Number(org[1])) : (CATALOGS[key] ?? null)
}

/** What organization `n` is entitled to, percentage rollouts left out. */
export function expectedFlags(n: number): string[] {
  const sold = PLANS[planOf(n)].filter((flag) => flag !== flagName(2))
  return [flagName(0), flagName(1), ...sold, flagName(24), flagName(25)]
}

export const withoutRollouts = (flags: readonly string[]): string[] =>
  flags.filter((flag) => !ROLLOUTS.has(flag))

export interface SigningKey {
  readonly kid: string
  readonly privateJwk: JWK
  readonly publicJwk: JWK
  readonly privateKey: KeyObject
}

export async function newSigningKey(alg: 'ES256' | 'RS256' = 'ES256'): Promise<SigningKey> {
  const { privateKey, publicKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const bare = publicKey.export({ format: 'jwk' }) as JWK
  const kid = await calculateJwkThumbprint(bare)
  const publicJwk: JWK = { ...bare, kid, alg, use: 'sig' }
  const privateJwk: JWK = { ...(privateKey.export({ format: 'jwk' }) as JWK), kid, alg, use: 'sig' }
  return { kid, publicJwk, privateJwk, privateKey }
}

/** A service that may ask about any organization. */
export const VERIFIER = { name: 'bench', secret: randomUUID() } as const
export const VERIFIERS = JSON.stringify({
  [VERIFIER.name]: createHash('sha256').update(VERIFIER.secret).digest('hex'),
})

const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Signs a JWT, synchronously: the upstream and the token pools need tens of thousands of them. */
export function signJwt(key: SigningKey, typ: string, claims: object): string {
  const input = `${base64url({ alg: key.publicJwk.alg, typ, kid: key.kid })}.${base64url(claims)}`
  const signature = sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

/** The claims of an access token as RFC 9068 has them, for a session of organization `org`. */
export function accessTokenClaims(issuer: string, org: number, now: number): object {
  return {
    iss: issuer,
    sub: `user_${org}`,
    aud: AUDIENCE,
    client_id: CLIENT_ID,
    scope: 'openid profile offline_access',
    sid: `session_${org}`,
    org_id: `org_${org}`,
    iat: now,
    exp: now + TOKEN_SECONDS,
    jti: randomUUID(),
  }
}

/** The claims of the ID token beside it. */
export const idTokenClaims = (issuer: string, org: number, now: number): object => ({
  iss: issuer,
  sub: `user_${org}`,
  aud: CLIENT_ID,
  sid: `session_${org}`,
  iat: now,
  exp: now + TOKEN_SECONDS,
})

/** The claims of a token that the gateway minted, for what measures `/verify` without refreshing first. */
export function mintedTokenClaims(issuer: string, org: number, now: number): object {
  return {
    ...accessTokenClaims(issuer, org, now),
    feature_flags: expectedFlags(org),
    feature_flags_meta: { env: ENVIRONMENT, ver: '87.12', as_of: now, src: 'fresh' },
  }
}
