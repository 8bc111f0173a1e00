/**
 * What is remote in production, in one process of its own: the identity provider and the KV store. `node backend.ts
 * '{"idp":PORT,"kv":PORT,"key":…}'`; started by run.ts, the same instance for all Workers.
 *
 * The IdP signs each access token when it is asked: a pool would hand out tokens that repeat, and a Worker that caches
 * verified tokens would look faster than it is. KV speaks the protocol of workerd's KV binding from memory, which is
 * cheaper than the local simulator's SQLite: that favours the Worker with the most KV reads, the naive one. Both count.
 */
import { createPrivateKey, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  accessTokenClaims,
  documentFor,
  idTokenClaims,
  type SigningKey,
  signJwt,
  TOKEN_SECONDS,
} from './fixtures.ts'

export interface BackendOptions {
  readonly idpPort: number
  readonly kvPort: number
  readonly upstreamKey: StoredKey
  /** Signs the ID tokens of refresh tokens that ask for one: `rt_{org}_id_…`. */
  readonly idTokenKey: StoredKey
  /** The gateway's public key, for the Worker that uses `hono/jwk`: an URL that answers at once, to its advantage. */
  readonly gatewayPublicJwk: object
}

type StoredKey = Pick<SigningKey, 'kid' | 'privateJwk' | 'publicJwk'>

const withPrivateKey = (key: StoredKey): SigningKey => ({
  ...key,
  privateKey: createPrivateKey({ key: { ...key.privateJwk }, format: 'jwk' }),
})

export interface Counts {
  readonly upstream: number
  readonly kv: number
}

function start(options: BackendOptions): void {
  const issuer = `http://127.0.0.1:${options.idpPort}`
  const key = withPrivateKey(options.upstreamKey)
  const idTokenKey = withPrivateKey(options.idTokenKey)
  const discovery = JSON.stringify({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', 'refresh_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    token_endpoint_auth_methods_supported: ['none'],
    code_challenge_methods_supported: ['S256'],
    scopes_supported: ['openid', 'profile', 'offline_access'],
  })
  const documents: Record<string, string> = {
    '/.well-known/openid-configuration': discovery,
    '/jwks': JSON.stringify({ keys: [options.upstreamKey.publicJwk, options.idTokenKey.publicJwk] }),
    '/gateway-jwks': JSON.stringify({ keys: [options.gatewayPublicJwk] }),
  }
  const counts = { upstream: 0, kv: 0 }

  createServer((request, response) => {
    if (request.url === '/counts') return answer(response, 200, JSON.stringify(counts))
    counts.upstream += 1
    const document = documents[request.url ?? '']
    if (document !== undefined) return answer(response, 200, document)
    read(request, (body) => {
      // The refresh token is `rt_{org}_{random}`, so that the IdP needs no memory of its sessions.
      const org = /(?:^|&)refresh_token=rt_(\d+)_/.exec(body)?.[1]
      if (request.url !== '/token' || org === undefined)
        return answer(response, 400, '{"error":"invalid_grant"}')
      const now = Math.floor(Date.now() / 1000)
      const claims = accessTokenClaims(issuer, Number(org), now)
      const idToken = body.includes(`rt_${org}_id_`)
      const tokens = {
        access_token: signJwt(key, 'at+jwt', claims),
        token_type: 'Bearer',
        expires_in: TOKEN_SECONDS,
        refresh_token: `rt_${org}_${randomBytes(24).toString('base64url')}`,
        scope: 'openid profile offline_access',
        ...(idToken && { id_token: signJwt(idTokenKey, 'JWT', idTokenClaims(issuer, Number(org), now)) }),
      }
      answer(response, 200, JSON.stringify(tokens))
    })
  }).listen(options.idpPort, '127.0.0.1')

  createServer((request, response) => {
    counts.kv += 1
    const url = request.url ?? '/'
    if (request.method === 'POST' && url.startsWith('/bulk/get')) {
      return read(request, (body) => {
        const { keys, type } = JSON.parse(body) as { keys: string[]; type?: string }
        const value = (name: string) => {
          const text = documentFor(name)
          return text !== null && type === 'json' ? JSON.parse(text) : text
        }
        answer(response, 200, JSON.stringify(Object.fromEntries(keys.map((name) => [name, value(name)]))))
      })
    }
    const document = documentFor(decodeURIComponent(url.slice(1).split('?')[0] ?? ''))
    answer(response, document === null ? 404 : 200, document ?? 'Not Found')
  }).listen(options.kvPort, '127.0.0.1')
}

function read(request: IncomingMessage, done: (body: string) => void): void {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (chunk: string) => {
    body += chunk
  })
  request.on('end', () => done(body))
}

function answer(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

start(JSON.parse(process.argv[2] ?? '') as BackendOptions)
