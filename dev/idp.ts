/**
 * A real OpenID provider for one machine: the upstream IdP of `npm start`, `npm run demo` and the end-to-end tests.
 *
 * It behaves as a well-run IdP does: refresh tokens rotate, access tokens are RFC 9068 JWTs, PKCE and DPoP are on. It
 * differs where a person at a laptop gains from it: no passwords, consent is given, nothing survives a restart. Keys
 * are generated on every start.
 *
 * @see https://github.com/panva/node-oidc-provider
 */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import { type Configuration, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import { accounts, findAccount, operators } from './idp/accounts.ts'
import { memoryAdapter } from './idp/adapter.ts'
import { type ClientOptions, clientsOf, DEFAULT_REDIRECT_URI, isRegistered, mayCall } from './idp/clients.ts'
import {
  errorPage,
  homePage,
  loggedOutPage,
  loginPage,
  logoutPage,
  notFoundPage,
  PAGE_HEADERS,
} from './idp/pages.ts'
import { trustedIssuers, userinfo } from './idp/userinfo.ts'
import { listen } from './network.ts'

export { DEMO_APP, DEMO_SERVICE } from './idp/clients.ts'

/** The API that access tokens are for: their `aud`, unless the options say otherwise. */
export const API_AUDIENCE = 'http://localhost:8789/api'

/** The control plane's API, as in `wrangler.control.toml`: what operators name as `resource`. */
export const CONTROL_AUDIENCE = 'http://localhost:8788/api'

const REFRESH_TOKEN_SECONDS = 14 * 24 * 3600
const SESSION_SECONDS = 14 * 24 * 3600
const MAX_FORM_BYTES = 4096

export interface IdpOptions extends ClientOptions {
  /** 0 takes any free port. */
  port: number
  /** Default: `http://localhost:{port}`. The gateway's origin makes the IdP sit behind it under one issuer. */
  issuer?: string
  audience?: string
  accessTokenSeconds?: number
  /** The gateway in front of it, whose access tokens the userinfo endpoint takes too. */
  gateway?: string
}

export interface Idp {
  readonly url: string
  readonly issuer: string
  /** The provider itself, for tests that watch it or need more sessions than anybody would log in to. */
  readonly provider: Provider
  close(): Promise<void>
}

/** Starts the IdP on 127.0.0.1. Fails with `EADDRINUSE` when the port is taken. */
export async function startIdp(options: IdpOptions): Promise<Idp> {
  let handler: ReturnType<Provider['callback']>
  const server = createServer((request, response) => void handler(request, response))
  const port = await listen(server, options.port)
  const url = `http://localhost:${port}`
  const issuer = options.issuer ?? url
  const provider = new Provider(issuer, await configuration(options))
  provider.proxy = true
  acceptAnyLoopbackPort(provider)
  provider.use(userinfo(trustedIssuers({ issuer, url }, options.gateway)))
  provider.use(interactions(provider))
  provider.use(home(options))
  handler = provider.callback()
  return {
    url,
    issuer,
    provider,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function configuration(options: IdpOptions): Promise<Configuration> {
  const audience = options.audience ?? API_AUDIENCE
  return {
    adapter: memoryAdapter(),
    clients: clientsOf(options),
    jwks: { keys: await Promise.all(['RS256', 'ES256'].map(signingKey)) },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    responseTypes: ['code'],
    scopes: ['openid', 'profile', 'email', 'offline_access'],
    claims: { openid: ['sub', 'org_id', 'org_name'], profile: ['name'], email: ['email'] },
    conformIdTokenClaims: false,
    clientBasedCORS: (_ctx, origin, client) => mayCall(origin, client.redirectUris),
    findAccount: (_ctx, id) => {
      const account = findAccount(id)
      if (!account) return undefined
      const { name, email, organization } = account
      return {
        accountId: id,
        claims: () => ({ sub: id, name, email, org_id: organization.id, org_name: organization.name }),
      }
    },
    extraTokenClaims: (_ctx, token) => {
      const account = token.kind === 'AccessToken' ? findAccount(token.accountId) : undefined
      if (!account || token.kind !== 'AccessToken') return undefined
      if (token.aud === CONTROL_AUDIENCE) {
        return { remint_roles: account.operatorRole === undefined ? [] : [account.operatorRole] }
      }
      return {
        sid: token.sessionUid,
        org_id: account.organization.id,
        roles: account.roles,
        permissions: account.permissions,
      }
    },
    loadExistingGrant,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    renderError: (ctx, out) => send(ctx, errorPage(out.error, out.error_description)),
    ttl: {
      Session: SESSION_SECONDS,
      Grant: SESSION_SECONDS,
      RefreshToken: REFRESH_TOKEN_SECONDS,
      IdToken: 3600,
      AccessToken: options.accessTokenSeconds ?? 600,
      Interaction: 3600,
      ClientCredentials: options.accessTokenSeconds ?? 600,
    },
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: true },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientAuthMethod !== 'none' },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx) => send(ctx, logoutPage('/session/end/confirm', xsrfOf(ctx))),
        postLogoutSuccessSource: (ctx) => send(ctx, loggedOutPage()),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: resource === CONTROL_AUDIENCE ? 'control' : 'reports:read',
          accessTokenFormat: 'jwt',
          accessTokenTTL: options.accessTokenSeconds ?? 600,
        }),
      },
    },
  }
}

async function signingKey(alg: string) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(privateKey)), alg, use: 'sig' }
}

/** In the way that oidc-provider documents for redirect URIs of another kind; for native apps it asks for consent as well. */
function acceptAnyLoopbackPort({ Client }: Provider): void {
  Client.prototype.redirectUriAllowed = function (uri) {
    return isRegistered(uri, this.redirectUris)
  }
  Client.prototype.postLogoutRedirectUriAllowed = function (uri) {
    return isRegistered(uri, this.postLogoutRedirectUris)
  }
}

/** Everything that a client asks for is granted, so that there is no consent page. */
async function loadExistingGrant({ oidc }: KoaContextWithOIDC) {
  const { client, session, params, provider, resourceServers } = oidc
  if (!client || !session?.accountId) return undefined
  const existing = session.grantIdFor(client.clientId)
  const grant =
    (existing && (await provider.Grant.find(existing))) ||
    new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope(String(params?.scope ?? 'openid'))
  for (const [resource, { scope }] of Object.entries(resourceServers ?? {})) {
    grant.addResourceScope(resource, scope)
  }
  await grant.save()
  return grant
}

/** The log-in page. Its addresses are relative, so that it works through the gateway's origin too. */
function interactions(provider: Provider) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    if (!ctx.path.startsWith('/interaction/')) return next()
    try {
      await chooseAccount(provider, ctx)
    } catch (error) {
      if (!(error instanceof errors.OIDCProviderError)) throw error
      ctx.status = error.statusCode
      send(ctx, errorPage(error.error, error.error_description))
    }
  }
}

function home({ redirectUris = [] }: IdpOptions) {
  const app = new URL(redirectUris[0] ?? DEFAULT_REDIRECT_URI).origin
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    if (ctx.path !== '/' || ctx.method !== 'GET') return orNotFound(ctx, next)
    send(ctx, homePage(app, ctx.get('x-forwarded-host') !== ''))
  }
}

/** A page where the provider has nothing; programs get the bare status. */
async function orNotFound(ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> {
  await next()
  if (ctx.status !== 404 || ctx.body || ctx.accepts('json', 'html') !== 'html') return
  send(ctx, notFoundPage())
  ctx.status = 404
}

async function chooseAccount(provider: Provider, ctx: KoaContextWithOIDC): Promise<void> {
  const { params } = await provider.interactionDetails(ctx.req, ctx.res)
  if (ctx.method !== 'POST') {
    const client = await provider.Client.find(String(params.client_id))
    const people = [params.resource].flat().includes(CONTROL_AUDIENCE) ? operators : accounts
    return send(ctx, loginPage(client?.clientName ?? String(params.client_id), people))
  }
  const account = findAccount((await readForm(ctx)).get('account') ?? undefined)
  if (!account) throw new errors.InvalidRequest('there is no such account')
  ctx.status = 303
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { login: { accountId: account.id } }))
}

function send(ctx: KoaContextWithOIDC, body: string): void {
  ctx.set(PAGE_HEADERS)
  ctx.body = body
}

/** oidc-provider keeps the log-out form's token in the session. */
const xsrfOf = (ctx: KoaContextWithOIDC): string =>
  String((ctx.oidc.session as { state?: { secret?: string } } | undefined)?.state?.secret)

async function readForm(ctx: KoaContextWithOIDC): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of ctx.req) {
    text += chunk
    if (text.length > MAX_FORM_BYTES) ctx.throw(413)
  }
  return new URLSearchParams(text)
}
