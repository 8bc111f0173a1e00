/** The operators' identity provider as the control plane sees it: discovery, keys, and tokens of any kind. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Role } from '../../../src/control/roles.ts'

export const ISSUER = 'https://operators.test'
export const AUDIENCE = 'https://control.test/api'
export const TEAM = 'https://team.test'
export const TEAM_AUDIENCE = 'access-audience'
export const CI_ISSUER = 'https://token.actions.githubusercontent.com'
export const CI_AUDIENCE = 'https://control.test'

export interface TokenOptions {
  readonly roles?: unknown
  readonly sub?: string
  readonly claims?: Record<string, unknown>
  readonly header?: Record<string, unknown>
  readonly issuer?: string
  readonly audience?: string
  /** Epoch seconds. */
  readonly exp?: number
}

async function makeKeys() {
  const [ec, rsa, stranger] = await Promise.all([
    generateKeyPair('ES256', { extractable: true }),
    generateKeyPair('RS256', { extractable: true }),
    generateKeyPair('ES256'),
  ])
  const published = [
    { ...(await exportJWK(ec.publicKey)), kid: 'es', alg: 'ES256', use: 'sig' },
    { ...(await exportJWK(rsa.publicKey)), kid: 'rs', alg: 'RS256', use: 'sig' },
  ]
  return { ec, rsa, stranger, published }
}

/** The same for all tests: an RSA key takes longer to make than most tests. */
let made: Awaited<ReturnType<typeof makeKeys>> | undefined

export async function makeOperators() {
  made ??= await makeKeys()
  const { ec, rsa, stranger, published: keys } = made
  const state = { reachable: true, fetches: 0 }

  async function fetcher(input: RequestInfo | URL): Promise<Response> {
    state.fetches++
    if (!state.reachable) throw new TypeError('unreachable')
    const url = new URL(input instanceof Request ? input.url : input)
    switch (url.href) {
      case `${ISSUER}/.well-known/openid-configuration`:
        return Response.json({ issuer: ISSUER, jwks_uri: `${ISSUER}/keys` })
      case `${CI_ISSUER}/.well-known/openid-configuration`:
        return Response.json({ issuer: CI_ISSUER, jwks_uri: `${CI_ISSUER}/keys` })
      case `${ISSUER}/keys`:
      case `${CI_ISSUER}/keys`:
      case `${TEAM}/cdn-cgi/access/certs`:
        return Response.json({ keys })
      default:
        return new Response(null, { status: 404 })
    }
  }

  const sign = (options: TokenOptions, alg: string, kid: string, key: CryptoKey, now: number) =>
    new SignJWT({
      sub: options.sub ?? 'olivia',
      iat: Math.floor(now / 1000),
      ...(options.roles !== undefined && { remint_roles: options.roles }),
      ...options.claims,
    })
      .setProtectedHeader({ alg, kid, typ: 'at+jwt', ...options.header })
      .setIssuer(options.issuer ?? ISSUER)
      .setAudience(options.audience ?? AUDIENCE)
      .setExpirationTime(options.exp ?? Math.floor(now / 1000) + 600)
      .sign(key)

  return {
    state,
    fetcher: fetcher as typeof fetch,
    token: (options: TokenOptions, now: number) => sign(options, 'ES256', 'es', ec.privateKey, now),
    forged: (options: TokenOptions, now: number) => sign(options, 'ES256', 'es', stranger.privateKey, now),
    assertion: (email: string, now: number, claims: Record<string, unknown> = {}) =>
      sign(
        {
          claims: { type: 'app', email, ...claims },
          issuer: TEAM,
          audience: TEAM_AUDIENCE,
          header: { typ: 'JWT' },
        },
        'RS256',
        'rs',
        rsa.privateKey,
        now,
      ),
    /** The identity token of a pipeline, as GitHub Actions makes it. */
    ciToken: (options: TokenOptions, now: number) =>
      sign(
        {
          issuer: CI_ISSUER,
          audience: CI_AUDIENCE,
          header: { typ: 'JWT' },
          ...options,
          claims: { repository: 'acme/flags', actor: 'octocat', ...options.claims },
        },
        'RS256',
        'rs',
        rsa.privateKey,
        now,
      ),
    roleToken: (role: Role, now: number) =>
      sign({ roles: [role], sub: role }, 'ES256', 'es', ec.privateKey, now),
  }
}

export type Operators = Awaited<ReturnType<typeof makeOperators>>
