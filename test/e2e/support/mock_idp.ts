/**
 * `oauth2-mock-server` as an identity provider that can go wrong: every answer can be bent or replaced, tokens signed
 * again after a change, and keys rotated while it runs. Access tokens say `typ: JWT`, and ID tokens carry `at_hash`.
 */
import { createHash, type JsonWebKey, sign } from 'node:crypto'
import type { RequestListener, ServerResponse } from 'node:http'
import { base64url } from 'jose'
import { Events, OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server'
import { API_AUDIENCE } from '../../../dev/idp.ts'
import { type HttpServer, startServer } from './http.ts'

type Json = Record<string, unknown>

export interface MockIdp extends HttpServer {
  /** Requests to the token endpoint and to the key set so far. */
  readonly counts: { token: number; jwks: number }
  /** Bends the next token answer before it leaves. */
  bend(change: (body: { access_token: string } & Json) => void): void
  /** Takes the place of the next answer of the token endpoint. */
  once(handle: (response: ServerResponse) => void): void
  /** Takes the place of the key set until it is taken away. */
  jwksFault: ((response: ServerResponse) => void) | undefined
  /** A new key signs, and is the only one that is published. */
  rotate(): Promise<void>
  /** Signs a token again, changed. */
  sign(token: string, payload: Json, header?: Json): string
}

export async function startMockIdp(): Promise<MockIdp> {
  const counts = { token: 0, jwks: 0 }
  const bends: ((body: { access_token: string } & Json) => void)[] = []
  const faults: ((response: ServerResponse) => void)[] = []
  let current: { issuer: OAuth2Issuer; handle: RequestListener }
  const server = await startServer((request, response) => {
    if (request.url === '/jwks') {
      counts.jwks++
      if (idp.jwksFault) return idp.jwksFault(response)
    }
    if (request.url === '/token') {
      counts.token++
      const fault = faults.shift()
      if (fault) return fault(response)
    }
    current.handle(request, response)
  })

  async function rotate(): Promise<void> {
    const issuer = new OAuth2Issuer()
    issuer.url = server.url
    await issuer.keys.generate('RS256')
    const service = new OAuth2Service(issuer)
    service.on(Events.BeforeTokenSigning, ({ payload }) => {
      if ('scope' in payload) Object.assign(payload, ACCESS_TOKEN_CLAIMS)
    })
    service.on(Events.BeforeResponse, (answer) => {
      const body = answer.body as { access_token: string; id_token?: string } & Json
      if (body.id_token) body.id_token = signAgain(body.id_token, { at_hash: leftHash(body.access_token) })
      bends.shift()?.(body)
    })
    current = { issuer, handle: service.requestHandler }
  }

  const signAgain = (token: string, payload: Json, header: Json = {}): string => {
    const [oldHeader = '', oldPayload = ''] = token.split('.')
    const signed = [
      encode({ ...decode(oldHeader), ...header }),
      encode({ ...decode(oldPayload), ...payload }),
    ].join('.')
    const key = current.issuer.keys.toJSON(true)[0] as JsonWebKey
    return `${signed}.${sign('sha256', Buffer.from(signed), { key, format: 'jwk' }).toString('base64url')}`
  }

  await rotate()
  const idp: MockIdp = {
    ...server,
    counts,
    jwksFault: undefined,
    bend: (change) => bends.push(change),
    once: (handle) => faults.push(handle),
    rotate,
    sign: signAgain,
  }
  return idp
}

const ACCESS_TOKEN_CLAIMS = {
  aud: API_AUDIENCE,
  sub: 'user_ada',
  org_id: 'org_acme',
  sid: 'session_1',
  client_id: 'spa',
  jti: 'upstream-jti',
  feature_flags: ['zulu-from-upstream'],
}

const decode = (segment: string): Json => JSON.parse(new TextDecoder().decode(base64url.decode(segment)))
const encode = (value: Json): string => base64url.encode(JSON.stringify(value))

const leftHash = (token: string): string =>
  createHash('sha256').update(token).digest().subarray(0, 16).toString('base64url')

/** A refresh as a single-page application sends it. */
export const refreshRequest = (init: RequestInit = {}): RequestInit => ({
  method: 'POST',
  body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'r1', client_id: 'spa' }),
  ...init,
})
