/**
 * Logs in without a person and without a browser: authorization code and PKCE with `openid-client`, and the log-in page
 * answered by plain HTTP with a cookie jar. The client also verifies the signatures of ID tokens. Used by `npm run demo`
 * and by end-to-end tests.
 */
import * as oidc from 'openid-client'
import { DEMO_SERVICE } from './idp.ts'

const MAX_STEPS = 12

export interface LogIn {
  /** The issuer that the client trusts: the gateway's origin, or the IdP's to go without it. */
  issuer: string
  /** An account's id; see `idp/accounts.ts`. */
  account: string
  redirectUri: string
  client?: { id: string; secret: string }
  scope?: string
  /** The API that the access token is for, where it is not the default one (RFC 8707). */
  resource?: string
}

/** @returns the client, for refreshing, and what the token endpoint answered */
export async function logIn(options: LogIn) {
  const client = options.client ?? DEMO_SERVICE
  const config = await oidc.discovery(
    new URL(options.issuer),
    client.id,
    undefined,
    oidc.ClientSecretBasic(client.secret),
    { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] },
  )
  const resource = options.resource === undefined ? {} : { resource: options.resource }
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
  const expectedState = oidc.randomState()
  const start = oidc.buildAuthorizationUrl(config, {
    redirect_uri: options.redirectUri,
    scope: options.scope ?? 'openid profile email reports:read',
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    ...resource,
  })
  const callback = await answerLoginPage(start, options.account, options.redirectUri)
  const checks = { pkceCodeVerifier, expectedState, idTokenExpected: true }
  const tokens = await oidc.authorizationCodeGrant(config, callback, checks, resource)
  return { config, tokens }
}

/** Follows redirects as a browser does, chooses the account where a page asks for one, and stops at the client. */
async function answerLoginPage(start: URL, account: string, redirectUri: string): Promise<URL> {
  const cookies = new Map<string, string>()
  let request: { url: URL; body?: URLSearchParams } = { url: start }
  for (let step = 0; step < MAX_STEPS; step++) {
    const response = await fetch(request.url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(request.body && { method: 'POST', body: request.body }),
    })
    for (const cookie of response.headers.getSetCookie()) keep(cookies, cookie)
    const location = response.headers.get('location')
    if (location === null) {
      if (!response.ok)
        throw new Error(`${request.url.origin}${request.url.pathname} answered ${response.status}`)
      request = { url: request.url, body: new URLSearchParams({ account }) }
      continue
    }
    const next = new URL(location, request.url)
    if (next.href.startsWith(redirectUri)) return next
    request = { url: next }
  }
  throw new Error(`the log-in did not come back to ${redirectUri} within ${MAX_STEPS} steps`)
}

function keep(cookies: Map<string, string>, cookie: string): void {
  const [pair = ''] = cookie.split(';')
  const [name = '', ...value] = pair.split('=')
  if (value.join('=') === '') cookies.delete(name)
  else cookies.set(name, value.join('='))
}
