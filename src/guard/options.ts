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
    requirement: { all?: readonly string[]; any?: readonly string[]; freshness: 'live' },
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
  readFreshness(freshness)
  if (!(timeoutMs > 0)) throw new TypeError('timeoutMs must be positive')
  if (!(graceSeconds >= 0)) throw new TypeError('graceSeconds must not be negative')
  const origin = typeof gateway === 'string' ? gateway : issuer
  return {
    issuer,
    audience,
    freshness,
    verifier: typeof gateway === 'object' ? gateway : secureUrl('gateway', new URL('/verify', origin)),
    jwksUri: secureUrl('jwksUri', new URL(options.jwksUri ?? new URL('/.well-known/jwks.json', origin))),
    timeoutMs,
    graceSeconds,
    orgClaim: options.orgClaim ?? 'org_id',
  }
}

/** What a route requires: a flag, several of which all are needed, or lists of all and any. */
export type Required = string | readonly string[] | Partial<Requirement>

/**
 * Checks a requirement. One that is there but cannot be understood is a mistake, never the requirement of nothing.
 *
 * @throws TypeError when it is no flag, list or object of `all` and `any`, or has an `any` that nobody can meet
 */
export function readRequirement(required: unknown): Requirement {
  if (typeof required === 'string') return { all: flagList('a flag', [required]), any: [] }
  if (Array.isArray(required)) return { all: flagList('a list of flags', required), any: [] }
  if (typeof required !== 'object' || required === null)
    throw new TypeError('a requirement is a flag, a list of flags, or { all, any }')
  const unknown = Object.keys(required).find((name) => name !== 'all' && name !== 'any')
  if (unknown !== undefined) throw new TypeError(`a requirement has all and any, not ${unknown}`)
  const requirement = required as Record<'all' | 'any', unknown>
  if (!('all' in required || 'any' in required)) throw new TypeError('a requirement needs all or any')
  const any = 'any' in required ? flagList('any', requirement.any) : []
  if ('any' in required && any.length === 0) throw new TypeError('any must name a flag')
  return { all: 'all' in required ? flagList('all', requirement.all) : [], any }
}

function flagList(name: string, list: unknown): readonly string[] {
  if (!Array.isArray(list)) throw new TypeError(`${name} must be a list of flags`)
  const wrong = list.find((flag) => typeof flag !== 'string' || !FLAG_KEY.test(flag))
  // `find` would not tell a wrong `undefined` from none.
  if (wrong !== undefined || list.includes(undefined)) throw new TypeError(`not a flag key: ${String(wrong)}`)
  return [...list]
}

export function readFreshness(freshness: unknown): Freshness {
  if (freshness !== 'claim' && freshness !== 'live') throw new TypeError('freshness is claim or live')
  return freshness
}

/** Keys over plain HTTP are anybody's who stands on the way; `http` is for this machine. */
function secureUrl(name: string, url: URL): URL {
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback))
    throw new TypeError(`${name} must be an https URL (http is for localhost, 127.0.0.1 and [::1])`)
  return url
}
