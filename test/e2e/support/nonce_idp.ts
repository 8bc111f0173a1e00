/**
 * An `oidc-provider` that demands DPoP with a nonce of its own (RFC 9449 section 8), behind a gateway whose address is
 * its issuer. Client credentials only, so that nothing else stands between a test and the round trip.
 */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'
import { memoryAdapter } from '../../../dev/idp/adapter.ts'
import { API_AUDIENCE, type Idp } from '../../../dev/idp.ts'
import { listen } from '../../../dev/network.ts'

export const NONCE_CLIENT = { id: 'nonce-client', secret: 'nonce-client-secret' } as const

export interface NonceIdp extends Idp {
  /** The status of every answer of the token endpoint. */
  readonly answers: number[]
}

export async function startNonceIdp(issuer: string): Promise<NonceIdp> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const provider = new Provider(issuer, {
    adapter: memoryAdapter(),
    clients: [
      {
        client_id: NONCE_CLIENT.id,
        client_secret: NONCE_CLIENT.secret,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        dpop_bound_access_tokens: true,
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig' }] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    responseTypes: ['code'],
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => API_AUDIENCE,
        getResourceServerInfo: () => ({ scope: '', accessTokenFormat: 'jwt' }),
      },
    },
  })
  provider.proxy = true
  const answers: number[] = []
  const handle = provider.callback()
  const server = createServer((request, response) => {
    if (request.url === '/token') response.on('finish', () => answers.push(response.statusCode))
    void handle(request, response)
  })
  const port = await listen(server, 0)
  return {
    url: `http://localhost:${port}`,
    issuer,
    provider,
    answers,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
