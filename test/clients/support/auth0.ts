/**
 * A provider in the shape of Auth0, on `oauth2-mock-server`: an issuer that ends with a slash, RS256, two audiences, the paths
 * that its SDKs call without asking the discovery document, and CORS that allows what a page asks for. Access tokens have an
 * id, as with its RFC 9068 profile: without one those of the same second would be one and the same.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { Events, OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server'
import { listen } from '../../../dev/network.ts'

export const AUDIENCE = 'https://api.example.com'

export async function startAuth0(): Promise<{ url: string; close(): Promise<void> }> {
  const issuer = new OAuth2Issuer()
  await issuer.keys.generate('RS256')
  const service = new OAuth2Service(issuer, {
    token: '/oauth/token',
    jwks: '/.well-known/jwks.json',
    revoke: '/oauth/revoke',
    endSession: '/oidc/logout',
  })
  service.on(Events.BeforeTokenSigning, ({ payload }) => {
    // The access token has a scope, the ID token a client as its audience.
    Object.assign(payload, { sub: 'auth0|ada', org_id: 'org_acme' })
    if ('scope' in payload) {
      Object.assign(payload, {
        ...{
          aud: [AUDIENCE, `${issuer.url}userinfo`],
          azp: 'auth0-spa',
          jti: randomUUID(),
          scope: 'openid profile offline_access',
        },
      })
    }
  })
  const handle = service.requestHandler
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    if (request.method === 'OPTIONS') {
      const headers = request.headers['access-control-request-headers'] ?? ''
      return response
        .writeHead(204, {
          'access-control-allow-origin': request.headers.origin ?? '*',
          'access-control-allow-headers': headers,
          'access-control-allow-methods': 'GET, POST',
        })
        .end()
    }
    if (url.pathname === '/v2/logout') {
      return response.writeHead(302, { location: url.searchParams.get('returnTo') ?? '/' }).end()
    }
    return handle(request, response)
  })
  const port = await listen(server, 0)
  const url = `http://localhost:${port}`
  issuer.url = `${url}/`
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
