/**
 * `remint/guard`, the library for services. It verifies the gateway's access tokens offline, checks the flags that a route
 * requires, and checks with the gateway where a route needs the current state.
 *
 * For plain `Request`s (Workers, Deno, Bun, service workers) and as Hono middleware; Hono itself is only needed for its
 * types. Express, Fastify and Node's own server have `remint/guard/node`.
 */
// biome-ignore lint/suspicious/noTsIgnore: it must hold where Hono is not installed too; there the type is any.
/** @ts-ignore */
import type { MiddlewareHandler } from 'hono'
import { bearerToken } from '../core/bearer.ts'
import { stringClaim } from '../core/claims.ts'
import { subjectOf } from '../core/organization.ts'
import { type Freshness, missingFlags } from '../core/requirement.ts'
import { type GuardDecision, report } from './decision.ts'
import { GatewayClock } from './gateway_clock.ts'
import { GatewayKeys } from './keys.ts'
import { askGateway } from './live.ts'
import { type GuardOptions, readOptions } from './options.ts'
import { type RefusalReason, refusal } from './refusal.ts'
import { type CheckOptions, type Demand, type ReadDemand, type Required, readDemand } from './requirement.ts'
import { type VerifiedToken, verifyToken } from './verify.ts'

export type { Freshness, Requirement } from '../core/requirement.ts'
export type { GuardDecision } from './decision.ts'
export type { GuardOptions, VerifierBinding } from './options.ts'
export type { RefusalReason } from './refusal.ts'
export type { CheckOptions, Required } from './requirement.ts'

/** The identity behind an allowed request. */
export interface GuardIdentity {
  readonly sub: string | undefined
  readonly orgId: string | undefined
  readonly sid: string | undefined
  /** The flags that count: those of the token, and with `live` only those that are on now too. */
  readonly features: readonly string[]
  /** How fresh the decision is. `grace`: the gateway did not answer, and the token is young enough. */
  readonly freshness: Freshness | 'grace'
  readonly claims: Readonly<Record<string, unknown>>
}

export type Checked =
  | { readonly ok: true; readonly identity: GuardIdentity }
  | { readonly ok: false; readonly reason: RefusalReason; readonly response: Response }

/** What a guard reads of a request: a `Request`, or anything like one. */
export interface GuardedRequest {
  readonly method?: string
  readonly headers: { get(name: string): string | null }
}

/** What `requireFeature` sets in Hono's context: `c.var.remint`. */
export interface RemintVariables {
  remint: GuardIdentity
}

export interface Guard {
  /**
   * Checks a request. Without a requirement, or with an empty list, any valid token passes. A requirement that is passed
   * and undefined throws.
   *
   * @returns the identity, or the response to send: 401, 403, or 503 if this cannot be decided right now
   */
  check(request: GuardedRequest): Promise<Checked>
  check(request: GuardedRequest, required: Required, options?: CheckOptions): Promise<Checked>
  /** Hono middleware. A request passes with the flag, with all of a list, or with what `all` and `any` require. */
  requireFeature(
    required: Required,
    options?: CheckOptions,
  ): MiddlewareHandler<{ Variables: RemintVariables }>
}

type Refused = Omit<GuardDecision, 'allowed' | 'required' | 'freshness'> & { readonly reason: RefusalReason }

type Outcome =
  | { readonly ok: true; readonly identity: GuardIdentity; readonly live?: string }
  | ({ readonly ok: false } & Refused)

/**
 * Makes a guard. Make one and keep it: it holds the gateway's keys.
 *
 * @throws TypeError when an option, or later a required flag, is not what it should be
 */
export function createGuard(options: GuardOptions): Guard {
  const config = readOptions(options)
  const { now = Date.now } = options
  const fetcher: typeof fetch = options.fetch ?? ((...args) => fetch(...args))
  const clock = new GatewayClock()
  const keys = new GatewayKeys(config.jwksUri, fetcher, clock, now)

  async function decide(request: GuardedRequest, { requirement, freshness }: ReadDemand): Promise<Outcome> {
    const bearer = bearerToken(request.headers.get('authorization'))
    if (!bearer.ok) return bearer
    if (bearer.value === undefined) return { ok: false, reason: 'token_missing' }
    const verified = await verifyToken(bearer.value, config, keys, now())
    if (!verified.ok) return verified
    const token = verified.value
    clock.see(token.claims.iat, now())
    const missing = missingFlags(token.features, requirement)
    if (missing.length > 0) return { ok: false, reason: 'feature_missing', missing }
    if (freshness === 'claim') return { ok: true, identity: identityOf(token, token.features, 'claim') }

    const asked = await askGateway(bearer.value, requirement, config, fetcher)
    if (!asked.ok) {
      const live = asked.fault
      const ageSeconds = clock.ageSeconds(token.claims.iat, now())
      return asked.reason === 'no_answer' && ageSeconds < config.graceSeconds
        ? { ok: true, identity: identityOf(token, token.features, 'grace'), live }
        : { ok: false, reason: 'live_unavailable', live }
    }
    const { active, allowed, current_feature_flags: current = token.features } = asked.value
    const live = /^[a-z_]{1,40}$/.test(asked.value.reason) ? asked.value.reason : 'another_reason'
    if (!active) return { ok: false, reason: 'token_inactive', live }
    const features = token.features.filter((feature) => current.includes(feature))
    const gone = missingFlags(features, requirement)
    if (!allowed || gone.length > 0) return { ok: false, reason: 'feature_missing', missing: gone, live }
    return { ok: true, identity: identityOf(token, features, 'live'), live }
  }

  function identityOf(
    { claims }: VerifiedToken,
    features: readonly string[],
    freshness: GuardIdentity['freshness'],
  ): GuardIdentity {
    const ids = { sub: stringClaim(claims, 'sub'), sid: stringClaim(claims, 'sid') }
    return { ...ids, orgId: subjectOf(claims, config.orgClaim).orgId, features, freshness, claims }
  }

  async function check(request: GuardedRequest, demand: ReadDemand): Promise<Checked> {
    const outcome = await decide(request, demand)
    const { requirement: required, freshness } = demand
    if (outcome.ok) {
      const { identity, ok: _, ...rest } = outcome
      const decision = { ...rest, allowed: true, reason: 'allowed', required } as const
      report(config.onDecision, { ...decision, freshness: identity.freshness })
      return { ok: true, identity }
    }
    const { ok: _, ...refused } = outcome
    report(config.onDecision, { ...refused, allowed: false, required, freshness })
    const { reason, missing } = refused
    const isPreflight =
      request.method === 'OPTIONS' && request.headers.get('access-control-request-method') !== null
    return { ok: false, reason, response: refusal(reason, { isPreflight, ...(missing && { missing }) }) }
  }

  return {
    async check(request: GuardedRequest, ...demand: Demand) {
      return check(request, readDemand(demand, config.freshness))
    },
    requireFeature(...demand) {
      const read = readDemand(demand, config.freshness)
      if (read.requirement.all.length + read.requirement.any.length === 0)
        throw new TypeError('requireFeature requires a feature')
      return async function requireFeature(c, next) {
        if (typeof c?.req?.raw?.headers?.get !== 'function')
          throw new TypeError(
            'requireFeature is Hono middleware. For Express, Fastify or Node use createNodeGuard of remint/guard/node.',
          )
        const checked = await check(c.req.raw, read)
        if (!checked.ok) return checked.response
        c.set('remint', checked.identity)
        await next()
      }
    },
  }
}
