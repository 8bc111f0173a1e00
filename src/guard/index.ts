/**
 * `remint/guard`: a service's side of the bargain. Verifies the gateway's access tokens offline, checks the flags that a
 * route requires, and asks the gateway where a route needs to know what is true now.
 *
 * For plain `Request`s (Workers, Node, service workers) and as Hono middleware; Hono itself is only needed for its types.
 */
import type { MiddlewareHandler } from 'hono'
import { bearerToken } from '../core/bearer.ts'
import { documentId, stringClaim } from '../core/claims.ts'
import { type Freshness, missingFlags, NOTHING, type Requirement } from '../core/requirement.ts'
import { GatewayKeys } from './keys.ts'
import { askGateway } from './live.ts'
import {
  type GuardConfig,
  type GuardOptions,
  type Required,
  readFreshness,
  readOptions,
  readRequirement,
} from './options.ts'
import { type RefusalReason, refusal } from './refusal.ts'
import { type VerifiedToken, verifyToken } from './verify.ts'

export type { Freshness, Requirement } from '../core/requirement.ts'
export type { GuardOptions, Required, VerifierBinding } from './options.ts'
export type { RefusalReason } from './refusal.ts'

/** Who may pass. */
export interface GuardIdentity {
  readonly sub: string | undefined
  readonly orgId: string | undefined
  readonly sid: string | undefined
  /** The flags that count: those of the token, and with `live` only those that are on now too. */
  readonly features: readonly string[]
  /** How fresh the answer is. `grace`: the gateway gave none, and the token is young enough. */
  readonly freshness: Freshness | 'grace'
  readonly claims: Readonly<Record<string, unknown>>
}

export type Checked =
  | { readonly ok: true; readonly identity: GuardIdentity }
  | { readonly ok: false; readonly reason: RefusalReason; readonly response: Response }

/** Over the guard's own. */
export interface CheckOptions {
  readonly freshness?: Freshness
}

/** What `requireFeature` sets in Hono's context: `c.var.remint`. */
export interface RemintVariables {
  remint: GuardIdentity
}

export interface Guard {
  /**
   * Checks a request. Without a requirement, or with an empty list, it asks for a good token only; one that is passed and
   * undefined throws.
   *
   * @returns who it is, or the answer to give: 401, 403, or 503 where this cannot be told right now
   */
  check(request: Request): Promise<Checked>
  check(request: Request, required: Required, options?: CheckOptions): Promise<Checked>
  /** Hono middleware that lets a request pass which has the flag, or all of several, or what the lists say. */
  requireFeature(
    required: Required,
    options?: CheckOptions,
  ): MiddlewareHandler<{ Variables: RemintVariables }>
}

/**
 * Makes a guard. Make one and keep it: it holds the gateway's keys.
 *
 * @throws TypeError when an option, or later a required flag, is not what it should be
 */
export function createGuard(options: GuardOptions): Guard {
  const config = readOptions(options)
  const { now = Date.now } = options
  const fetcher: typeof fetch = options.fetch ?? ((...args) => fetch(...args))
  const keys = new GatewayKeys(config.jwksUri, fetcher, now)

  async function pass(request: Request, requirement: Requirement, freshness: Freshness): Promise<Checked> {
    const bearer = bearerToken(request.headers.get('authorization'))
    if (!bearer.ok) return refuse(bearer.reason)
    if (bearer.value === undefined) return refuse('token_missing')
    const verified = await verifyToken(bearer.value, config, keys, now())
    if (!verified.ok) return refuse(verified.reason)
    const { features } = verified.value
    const missing = missingFlags(features, requirement)
    if (missing.length > 0) return refuse('feature_missing', missing)
    if (freshness === 'claim') return allow(verified.value, features, 'claim', config)

    const answer = await askGateway(bearer.value, requirement, config, fetcher)
    if (!answer.ok) {
      if (answer.reason === 'answer_refused') return refuse('live_unavailable')
      const ageSeconds = now() / 1000 - verified.value.claims.iat
      if (ageSeconds >= config.graceSeconds) return refuse('live_unavailable')
      return allow(verified.value, features, 'grace', config)
    }
    const { active, allowed, current_feature_flags: current = features } = answer.value
    if (!active) return refuse('token_inactive')
    if (!allowed) return refuse('feature_missing', missingFlags(current, requirement))
    return allow(
      verified.value,
      features.filter((feature) => current.includes(feature)),
      'live',
      config,
    )
  }

  const freshnessOf = ({ freshness }: CheckOptions): Freshness =>
    freshness === undefined ? config.freshness : readFreshness(freshness)

  return {
    // Told apart by their number: a requirement that turns out undefined is a mistake, one that is left out is none.
    async check(request: Request, ...rest: [Required?, CheckOptions?]) {
      const [required, options = {}] = rest
      const requirement = rest.length === 0 ? NOTHING : readRequirement(required)
      return pass(request, requirement, freshnessOf(options))
    },
    requireFeature(required, options = {}) {
      const requirement = readRequirement(required)
      if (requirement.all.length + requirement.any.length === 0)
        throw new TypeError('requireFeature requires a feature')
      const freshness = freshnessOf(options)
      return async function requireFeature(c, next) {
        const checked = await pass(c.req.raw, requirement, freshness)
        if (!checked.ok) return checked.response
        c.set('remint', checked.identity)
        await next()
      }
    },
  }
}

const refuse = (reason: RefusalReason, missing?: readonly string[]): Checked => ({
  ok: false,
  reason,
  response: refusal(reason, missing),
})

const allow = (
  { claims }: VerifiedToken,
  features: readonly string[],
  freshness: GuardIdentity['freshness'],
  { orgClaim }: GuardConfig,
): Checked => ({
  ok: true,
  identity: {
    sub: stringClaim(claims, 'sub'),
    orgId: documentId(claims[orgClaim]),
    sid: stringClaim(claims, 'sid'),
    features,
    freshness,
    claims,
  },
})
