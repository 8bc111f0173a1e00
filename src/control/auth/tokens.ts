/**
 * Operators' tokens: OIDC access tokens, Cloudflare Access assertions, and identity tokens of CI systems. Fetches key sets, does no other I/O.
 *
 * Issuer, audience and algorithms come from configuration; the token's header chooses among keys only. The audience is
 * the control plane's own, so that a customer's token for the product, even one whose roles say admin, is refused.
 */

import type { FlattenedJWSInput, JWSHeaderParameters } from 'jose'
import { type CryptoKey, createRemoteJWKSet, customFetch, errors, type JWTPayload, jwtVerify } from 'jose'
import { readJwsHeader } from '../../core/jws.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { isSecureUrl } from '../../core/secure_url.ts'
import { accessTokenFault } from '../../core/token_purpose.ts'
import type { Config, TokenIssuer } from '../config.ts'
import type { Refusal } from '../refusals.ts'
import { rolesAmong } from '../roles.ts'
import type { Actor } from './actor.ts'
import { ciIdentity } from './ci_identity.ts'

const CLOCK_SKEW_SECONDS = 5
/** A provider's clock may be ahead by this much; a later `iat` is a mistake, or in milliseconds. */
const MAX_IAT_AHEAD_SECONDS = 60
const KEYS_TIMEOUT_MS = 5_000
const KEYS_COOL_DOWN_MS = 30_000
const KEYS_MAX_AGE_MS = 600_000
/** How long a failed fetch is not retried, so that strangers' tokens cannot cause a flood of them. */
const FAILURE_COOL_DOWN_MS = 1_000
/** A key set or a discovery document is a few KiB. */
const MAX_DOCUMENT_BYTES = 256 * 1024

/** It is stored and hashed in the audit log, so lone surrogates are refused. */
const SUBJECT = /^[^\p{Cc}\p{Cs}]{1,256}$/u

type KeySet = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>

export class TokenVerifier {
  readonly #config: Config
  readonly #fetcher: typeof fetch
  readonly #keys = new Map<string, KeySet>()

  /** @param clock - epoch milliseconds */
  constructor(config: Config, fetcher: typeof fetch, clock: () => number) {
    this.#config = config
    this.#fetcher = bounded(fetcher, clock)
  }

  /** An access token of the operators' identity provider. @param now - epoch milliseconds */
  async verifyAccessToken(token: string, now: number): Promise<Result<Actor, Refusal>> {
    const { oidc, rolesClaim, teamsClaim } = this.#config
    if (!oidc) return err('token_refused')
    const verified = await this.#verify(token, oidc, now)
    if (!verified.ok) return verified
    const { payload, typ } = verified.value
    // An ID token can have the right audience if the API is registered as a client; it is still not an access token.
    if (accessTokenFault(typ, payload, 'presented') !== undefined) return err('token_refused')
    // A token that is bound to a key proves nothing without the proof.
    if ('cnf' in payload) return err('token_refused')
    return actorOf(payload.sub, payload[rolesClaim], payload[teamsClaim])
  }

  /** `Cf-Access-Jwt-Assertion`. @see https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/ */
  async verifyAccessAssertion(token: string, now: number): Promise<Result<Actor, Refusal>> {
    const { access, rolesClaim, teamsClaim } = this.#config
    if (!access) return err('token_refused')
    const verified = await this.#verify(token, access, now)
    if (!verified.ok) return verified
    const { payload } = verified.value
    // The token of the global session (`org`) is signed by the same keys and opens no application.
    if (payload.type !== 'app') return err('token_refused')
    const email = typeof payload.email === 'string' ? payload.email.toLowerCase() : undefined
    const custom = (payload.custom ?? {}) as Record<string, unknown>
    const assigned = email === undefined ? undefined : access.roles.get(email)
    const roles = [...rolesAmong(custom[rolesClaim]), ...(assigned ?? [])]
    return actorOf(email ?? payload.sub, roles, custom[teamsClaim])
  }

  /** The identity token of a CI system. @returns who started the pipeline: `github:octocat` */
  async verifyCiToken(token: string, now: number): Promise<Result<string, Refusal>> {
    const { ci } = this.#config
    if (!ci) return err('on_behalf_of_refused')
    const verified = await this.#verify(token, ci, now)
    if (!verified.ok) {
      return verified.reason === 'token_refused' ? err('on_behalf_of_refused') : verified
    }
    const identity = ciIdentity(verified.value.payload, ci.provider, ci.projects)
    return identity === undefined ? err('on_behalf_of_refused') : ok(identity)
  }

  async #verify(
    token: string,
    issuer: TokenIssuer,
    now: number,
  ): Promise<Result<{ payload: JWTPayload; typ: string | undefined }, Refusal>> {
    const header = readJwsHeader(token)
    if (!header.ok) return err('token_refused')
    const keys = await this.#keysOf(issuer)
    if (!keys) return err('identity_unreachable')
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: issuer.issuer,
        audience: issuer.audience,
        algorithms: [...issuer.algorithms],
        requiredClaims: ['exp'],
        clockTolerance: CLOCK_SKEW_SECONDS,
        currentDate: new Date(now),
      })
      // jose compares `iat` with the time only if a maximum age is given.
      const { iat = 0 } = payload
      if (iat < 0 || iat > now / 1000 + MAX_IAT_AHEAD_SECONDS) return err('token_refused')
      return ok({ payload, typ: header.value.typ })
    } catch (error) {
      return err(isOurTrouble(error) ? 'identity_unreachable' : 'token_refused')
    }
  }

  /** The issuer's keys; jose caches them, and fetches at most once per cool-down for an unknown `kid`. */
  async #keysOf({ issuer, jwksUrl }: TokenIssuer): Promise<KeySet | undefined> {
    const kept = this.#keys.get(issuer)
    if (kept) return kept
    const url = jwksUrl ?? (await discover(issuer, this.#fetcher))
    if (url === undefined) return undefined
    const keys: KeySet = createRemoteJWKSet(new URL(url), {
      [customFetch]: this.#fetcher,
      timeoutDuration: KEYS_TIMEOUT_MS,
      cooldownDuration: KEYS_COOL_DOWN_MS,
      cacheMaxAge: KEYS_MAX_AGE_MS,
    })
    this.#keys.set(issuer, keys)
    return keys
  }
}

function actorOf(subject: string | undefined, roles: unknown, teams: unknown): Result<Actor, Refusal> {
  if (typeof subject !== 'string' || !SUBJECT.test(subject)) return err('token_refused')
  const id = `user:${subject}`
  return ok({
    id,
    roles: rolesAmong(roles),
    apiKey: null,
    environments: null,
    people: [id],
    teams: Array.isArray(teams) ? teams.filter((team) => typeof team === 'string') : [],
  })
}

/** "We cannot tell right now" is not "the token is bad". */
function isOurTrouble(error: unknown): boolean {
  if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) return true
  return !(error instanceof errors.JOSEError) || error.code === 'ERR_JOSE_GENERIC'
}

async function discover(issuer: string, fetcher: typeof fetch): Promise<string | undefined> {
  try {
    const response = await fetcher(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
      redirect: 'manual',
      signal: AbortSignal.timeout(KEYS_TIMEOUT_MS),
    })
    if (!response.ok) return undefined
    const document = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown }
    const { jwks_uri } = document
    return document.issuer === issuer && typeof jwks_uri === 'string' && isSecureUrl(jwks_uri)
      ? jwks_uri
      : undefined
  } catch {
    return undefined
  }
}

/** A fetcher with a limit on the size of responses, which does not retry a failed URL for a while. */
function bounded(fetcher: typeof fetch, clock: () => number): typeof fetch {
  const failedAt = new Map<string, number>()

  async function attempt(input: RequestInfo | URL, init: RequestInit | undefined): Promise<Response> {
    const url = input instanceof Request ? input.url : String(input)
    const failed = failedAt.get(url)
    if (failed !== undefined && clock() - failed < FAILURE_COOL_DOWN_MS) throw new Error('failed just now')
    try {
      const response = await fetcher(input, init)
      if (response.ok) failedAt.delete(url)
      else failedAt.set(url, clock())
      return response
    } catch (error) {
      failedAt.set(url, clock())
      throw error
    }
  }

  return async (input, init) => {
    const response = await attempt(input, init)
    const body = response.body
    if (!body) return response
    let size = 0
    const limit = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        size += chunk.byteLength
        if (size > MAX_DOCUMENT_BYTES) controller.error(new Error('too large'))
        else controller.enqueue(chunk)
      },
    })
    return new Response(body.pipeThrough(limit), response)
  }
}
