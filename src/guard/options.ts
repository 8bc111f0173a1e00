/**
 * What a guard is configured with, checked once when it is made. Pure.
 *
 * A guard that is wrong lets everybody in or nobody; so a mistake throws where the application starts, not on the first
 * request.
 */
import { FLAG_KEY } from '../core/names.ts'
import type { Freshness, Requirement } from '../core/requirement.ts'

/** The `Verifier` entrypoint of the gateway, as a service binding gives it. */
export interface VerifierBinding {
  verify(
    token: string,
    requirement: { all: readonly string[]; any: readonly string[]; freshness: 'live' },
  ): Promise<unknown>
}

export interface GuardOptions {
  /** The `iss` of the tokens. */
  readonly issuer: string
  /** The `aud` that a token must have one of. */
  readonly audience: string | readonly string[]
  /** Default: `claim`, which trusts a token until it expires. `live` asks the gateway on every request. */
  readonly freshness?: Freshness
  /** Whom `live` asks: the gateway's origin or a service binding to its `Verifier`. Default: the issuer. */
  readonly gateway?: string | VerifierBinding
  /** Default: `/.well-known/jwks.json` of the gateway's origin, or of the issuer. */
  readonly jwksUri?: string
  /** How long `live` waits for an answer. Default: 1000. */
  readonly timeoutMs?: number
  /** Without an answer, `live` lets a token pass that is younger than this, and refuses any other. Default: 60. */
  readonly graceSeconds?: number
  /** The claim that names the organization. Default: `org_id`. */
  readonly orgClaim?: string
  /** Default: the global one. */
  readonly fetch?: typeof fetch
  /** Epoch milliseconds. Default: `Date.now`. */
  readonly now?: () => number
}

export interface GuardConfig {
  readonly issuer: string
  readonly audience: string[]
  readonly freshness: Freshness
  readonly verifier: URL | VerifierBinding
  readonly jwksUri: URL
  readonly timeoutMs: number
  readonly graceSeconds: number
  readonly orgClaim: string
}

export function readOptions(options: GuardOptions): GuardConfig {
  const { issuer, gateway, freshness = 'claim', timeoutMs = 1000, graceSeconds = 60 } = options
  const audience = [options.audience ?? []].flat()
  if (typeof issuer !== 'string' || issuer === '') throw new TypeError('issuer is required')
  if (audience.length === 0 || !audience.every(Boolean)) throw new TypeError('audience is required')
  if (freshness !== 'claim' && freshness !== 'live') throw new TypeError('freshness is claim or live')
  if (!(timeoutMs > 0)) throw new TypeError('timeoutMs must be positive')
  if (!(graceSeconds >= 0)) throw new TypeError('graceSeconds must not be negative')
  const origin = typeof gateway === 'string' ? gateway : issuer
  return {
    issuer,
    audience,
    freshness,
    verifier: typeof gateway === 'object' ? gateway : new URL('/verify', origin),
    jwksUri: new URL(options.jwksUri ?? new URL('/.well-known/jwks.json', origin)),
    timeoutMs,
    graceSeconds,
    orgClaim: options.orgClaim ?? 'org_id',
  }
}

/** What a route requires: a flag, several of which all are needed, or lists of all and any. Nothing: a good token. */
export type Required = string | readonly string[] | Partial<Requirement>

export function readRequirement(required: Required): Requirement {
  const { all = [], any = [] } =
    typeof required === 'string' ? { all: [required] } : 'length' in required ? { all: required } : required
  const wrong = [...all, ...any].find((flag) => !FLAG_KEY.test(flag))
  if (wrong !== undefined) throw new TypeError(`not a flag key: ${wrong}`)
  return { all, any }
}
