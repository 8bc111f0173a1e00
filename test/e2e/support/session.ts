/**
 * A session opened with `openid-client` and a cookie jar: discovery, authorization code, PKCE, `state`, `nonce`, and
 * signatures checked on top of what the client checks by itself (the `iss` of the authorization response included).
 */
import { createHash } from 'node:crypto'
import * as oidc from 'openid-client'
import { UserAgent } from './user_agent.ts'

export const REDIRECT_URI = 'http://localhost:8789/callback'
export const HOME_URI = 'http://localhost:8789/'

/** How every client here is configured: plain HTTP on loopback, and no signature taken on trust. */
export const EXECUTE = [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks]

export type Tokens = Awaited<ReturnType<typeof oidc.authorizationCodeGrant>>

export interface Session {
  readonly config: oidc.Configuration
  readonly agent: UserAgent
  /** The authorization response, as it reached the client. */
  readonly callback: URL
  readonly nonce: string
  tokens: Tokens
}

export interface LogInOptions {
  readonly account?: string
  readonly scope?: string
  readonly agent?: UserAgent
  readonly DPoP?: oidc.DPoPHandle
}

export async function logIn(config: oidc.Configuration, options: LogInOptions = {}): Promise<Session> {
  const { account, scope = 'openid profile reports:read', agent = new UserAgent(), DPoP } = options
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
  const expectedState = oidc.randomState()
  const nonce = oidc.randomNonce()
  const start = oidc.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    scope,
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce,
  })
  const { url: callback } = await agent.browse(start, REDIRECT_URI, account)
  const checks = { pkceCodeVerifier, expectedState, expectedNonce: nonce, idTokenExpected: true }
  const tokens = await oidc.authorizationCodeGrant(config, callback, checks, {}, DPoP && { DPoP })
  return { config, agent, callback, nonce, tokens }
}

/** Refreshes and gives the refresh token that was spent. */
export async function refresh(session: Session, DPoP?: oidc.DPoPHandle): Promise<string> {
  const spent = session.tokens.refresh_token
  if (spent === undefined) throw new Error('the session has no refresh token')
  session.tokens = await oidc.refreshTokenGrant(session.config, spent, {}, DPoP && { DPoP })
  return spent
}

/** The `at_hash` that belongs to an access token (OpenID Connect Core section 3.1.3.6), for ES256 and RS256. */
export const accessTokenHash = (token: string): string =>
  createHash('sha256').update(token).digest().subarray(0, 16).toString('base64url')
