/**
 * What a guard is configured with, checked once when it is made. Pure.
 *
 * A wrong guard admits everybody or nobody. So a mistake throws where the application starts, not on the first request,
 * and the message names the option and what to do.
 */

import { refuseUnknown } from '../core/known_names.ts'
import type { Freshness } from '../core/requirement.ts'
import type { GuardDecision } from './decision.ts'
import { readFreshness } from './requirement.ts'

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
  /**
   * The accepted `aud`; a token must have one of them. `false` where the identity provider's access tokens have none (WorkOS
   * AuthKit, Amazon Cognito): then only tokens without an audience are accepted.
   */
  readonly audience: string | readonly string[] | false
  /**
   * The environment whose tokens are accepted: `ENVIRONMENT` of the gateway. Default: the one that the key set names.
   * Required where it names several.
   */
  readonly environment?: string
  /** Default: `claim`, which trusts a token until it expires. `live` checks with the gateway on every request. */
  readonly freshness?: Freshness
  /** Where `live` checks: the gateway's origin or a service binding to its `Verifier`. Default: the issuer. */
  readonly gateway?: string | VerifierBinding
  /** Default: `/.well-known/jwks.json` of the gateway's origin, or of the issuer. */
  readonly jwksUri?: string
  /** How long `live` waits for an answer: whole milliseconds. Default: 1000. */
  readonly timeoutMs?: number
  /** Without an answer, `live` lets a token pass that is younger than this, and refuses any other. Default: 60. */
  readonly graceSeconds?: number
  /** The claim that names the organization. Default: `org_id`. */
  readonly orgClaim?: string
  /** Called after each decision, for logs and metrics. It never sees the token, and its errors change nothing. */
  readonly onDecision?: (decision: GuardDecision) => unknown
  /** Default: the global one. */
  readonly fetch?: typeof fetch
  /** Epoch milliseconds. Default: `Date.now`. */
  readonly now?: () => number
}

export interface GuardConfig {
  readonly issuer: string
  /** Empty: only tokens without an audience are accepted. */
  readonly audience: readonly string[]
  readonly environment: string | undefined
  readonly freshness: Freshness
  readonly verifier: URL | VerifierBinding
  readonly jwksUri: URL
  readonly timeoutMs: number
  readonly graceSeconds: number
  readonly orgClaim: string
  readonly onDecision: ((decision: GuardDecision) => unknown) | undefined
}

/** Its type requires every option, so that none can be forgotten. */
const NAMES: Record<keyof GuardOptions, true> = {
  issuer: true,
  audience: true,
  environment: true,
  freshness: true,
  gateway: true,
  jwksUri: true,
  timeoutMs: true,
  graceSeconds: true,
  orgClaim: true,
  onDecision: true,
  fetch: true,
  now: true,
}

/** The longest time that a timer can be set to; any longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** @throws TypeError when an option is missing, unknown, or not what it should be */
export function readOptions(options: GuardOptions): GuardConfig {
  refuseUnknown('the options of createGuard', options, Object.keys(NAMES))
  const { issuer, environment, gateway, jwksUri, onDecision, now } = options
  const { freshness = 'claim', timeoutMs = 1000, graceSeconds = 60, orgClaim = 'org_id' } = options
  const hasAudience = options.audience !== false
  const audience = hasAudience ? [options.audience ?? []].flat() : []
  assertOption(
    isText(issuer),
    'issuer',
    'is required: the iss of the tokens, such as "https://auth.example.com"',
  )
  assertOption(
    !hasAudience || (audience.length > 0 && audience.every(isText)),
    'audience',
    'is required: the aud of the tokens, a string or a list of strings, or false where they have none',
  )
  assertOption(
    environment === undefined || isText(environment),
    'environment',
    'must be the name of one, such as "production"',
  )
  assertOption(isText(orgClaim), 'orgClaim', 'must be the name of a claim')
  assertOption(
    Number.isSafeInteger(timeoutMs) && timeoutMs > 0 && timeoutMs <= MAX_TIMER_MS,
    'timeoutMs',
    `must be a whole number from 1 to ${MAX_TIMER_MS}`,
  )
  assertOption(
    Number.isFinite(graceSeconds) && graceSeconds >= 0,
    'graceSeconds',
    'must be a number of seconds, 0 or more',
  )
  assertOption(
    onDecision === undefined || typeof onDecision === 'function',
    'onDecision',
    'must be a function',
  )
  assertOption(
    options.fetch === undefined || typeof options.fetch === 'function',
    'fetch',
    'must be a function',
  )
  assertOption(now === undefined || typeof now === 'function', 'now', 'must be a function')
  readFreshness(freshness)

  const [origin, option] = isText(gateway) ? ([gateway, 'gateway'] as const) : ([issuer, 'issuer'] as const)
  return {
    ...{ issuer, audience, environment, freshness, timeoutMs, graceSeconds, orgClaim, onDecision },
    verifier: isBinding(gateway) ? gateway : secureUrl(option, '/verify', origin),
    jwksUri:
      jwksUri === undefined
        ? secureUrl(option, '/.well-known/jwks.json', origin)
        : secureUrl('jwksUri', jwksUri),
  }
}

function assertOption(holds: boolean, option: keyof GuardOptions, what: string): void {
  if (!holds) throw new TypeError(`createGuard: ${option} ${what}`)
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** Runtimes represent service bindings differently; whether it is one shows when it is called. */
function isBinding(gateway: unknown): gateway is VerifierBinding {
  if (gateway === undefined || isText(gateway)) return false
  const isOne = (typeof gateway === 'object' && gateway !== null) || typeof gateway === 'function'
  assertOption(isOne, 'gateway', 'must be the origin of the gateway, or a service binding to its Verifier')
  return true
}

/** Keys over plain HTTP can be replaced by anybody on the way; `http` is only for this machine. */
function secureUrl(option: keyof GuardOptions, url: string, base?: string): URL {
  const parsed = URL.canParse(url, base) ? new URL(url, base) : undefined
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(parsed?.hostname ?? '')
  const isSecure = parsed?.protocol === 'https:' || (parsed?.protocol === 'http:' && isLoopback)
  if (!parsed || !isSecure) {
    const otherwise = option === 'issuer' ? ', or gateway must be one' : ''
    assertOption(
      false,
      option,
      `must be an https URL (http is for localhost, 127.0.0.1 and [::1])${otherwise}`,
    )
  }
  return parsed as URL
}
