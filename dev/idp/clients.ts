/**
 * The clients of the local IdP, and which addresses they may return to and call from. Pure.
 *
 * An address of this machine may have any port (RFC 8252 section 7.3), for every client: tools take a free one.
 */
import type { ClientMetadata } from 'oidc-provider'

/** The public client of the demo app: authorization code and PKCE, no secret. */
export const DEMO_APP = 'demo-app'

/** The confidential client of scripts and tests. Its secret opens nothing but this IdP on this machine. */
export const DEMO_SERVICE = { id: 'demo-service', secret: 'demo-service-secret-for-local-use-only' } as const

/** The clients of `--redirect-uri`: an app in a browser or on a device, and one with a server that can keep a secret. */
export const OWN_APP = 'my-app'
export const OWN_SERVER = { id: 'my-server', secret: 'my-server-secret-for-local-use-only' } as const

export const DEFAULT_REDIRECT_URI = 'http://localhost:8789/callback'
const DEFAULT_HOME_URI = 'http://localhost:8789/'

const LOOPBACK_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]']

export interface ClientOptions {
  /** Where the demo clients may return to, besides the defaults; their origins may call the token endpoint. */
  redirectUris?: readonly string[]
  postLogoutRedirectUris?: readonly string[]
  clients?: readonly ClientMetadata[]
}

export function clientsOf(options: ClientOptions): ClientMetadata[] {
  const common: Omit<ClientMetadata, 'client_id'> = {
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: unique([DEFAULT_REDIRECT_URI, ...(options.redirectUris ?? [])]),
    post_logout_redirect_uris: unique([DEFAULT_HOME_URI, ...(options.postLogoutRedirectUris ?? [])]),
  }
  return [
    { ...common, client_id: DEMO_APP, client_name: 'the Remint demo', token_endpoint_auth_method: 'none' },
    {
      ...common,
      client_id: DEMO_SERVICE.id,
      client_name: 'Demo service',
      client_secret: DEMO_SERVICE.secret,
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    },
    ...(options.clients ?? []),
  ]
}

/** The clients of an app of the developer's own. After a log-out they may return to any of these addresses or its root. */
export function ownClients(redirectUris: readonly string[]): ClientMetadata[] {
  const common: Omit<ClientMetadata, 'client_id'> = {
    client_name: 'your app',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: unique(redirectUris),
    post_logout_redirect_uris: unique(redirectUris.flatMap((uri) => [uri, `${new URL(uri).origin}/`])),
  }
  return [
    { ...common, client_id: OWN_APP, token_endpoint_auth_method: 'none' },
    { ...common, client_id: OWN_SERVER.id, client_secret: OWN_SERVER.secret },
  ]
}

/** Whether an address is one of those that were registered, spelled in any way that means the same. */
export const isRegistered = (uri: string, registered: readonly string[] = []): boolean =>
  registered.some((known) => comparable(known) === comparable(uri))

/** Whether pages of an origin may read what a client is answered. */
export const mayCall = (origin: string, redirectUris: readonly string[] = []): boolean =>
  redirectUris.some((uri) => comparable(new URL(uri).origin) === comparable(origin))

/** An address without what may differ: the port, where it is one of this machine. Never that of something unreadable. */
function comparable(uri: string): string | symbol {
  const url = URL.parse(uri)
  if (url === null) return Symbol(uri)
  if (url.protocol === 'http:' && LOOPBACK_HOSTS.includes(url.hostname)) url.port = ''
  return url.href
}

const unique = (uris: readonly string[]): string[] => [...new Set(uris)]
