/**
 * A small identity provider inside the test: real keys, real signatures, and every answer can be bent.
 *
 * It is reached through the `fetch` that the gateway is given, so that a test says exactly what upstream does.
 */
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

export const UPSTREAM = 'https://idp.test'
export const AUDIENCE = 'https://api.test'

export interface Signer {
  readonly key: CryptoKey
  readonly jwk: JWK
  readonly alg: string
}

export async function makeSigner(alg = 'RS256'): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  return { key: privateKey, alg, jwk: { ...jwk, alg, use: 'sig', kid: await calculateJwkThumbprint(jwk) } }
}

type Answer = Response | Promise<Response>

export class Upstream {
  readonly signer: Signer
  /** Every request that reached upstream, in order; the body is read. */
  readonly requests: { url: URL; method: string; headers: Headers; body: string }[] = []
  /** What the token endpoint answers; by default a token answer with the claims of `claims()`. */
  onToken: () => Answer = () => this.tokens()
  onJwks: () => Answer = () => Response.json({ keys: [this.signer.jwk] })
  onMetadata: () => Answer = () => Response.json(this.metadata())
  onOther: (request: Request) => Answer = () => new Response('upstream page')

  constructor(signer: Signer) {
    this.signer = signer
  }

  count(path: string): number {
    return this.requests.filter(({ url }) => url.pathname === path).length
  }

  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const request = new Request(input as string, init as RequestInit)
    const url = new URL(request.url)
    const body = request.body === null ? '' : await request.clone().text()
    this.requests.push({ url, method: request.method, headers: new Headers(request.headers), body })
    return Promise.race([this.#answer(url.pathname, request), aborted(init?.signal ?? undefined)])
  }

  async #answer(path: string, request: Request): Promise<Response> {
    switch (path) {
      case '/token':
      case '/user_management/authenticate':
        return this.onToken()
      case '/jwks':
      case '/sso/jwks/client_1':
        return this.onJwks()
      case '/.well-known/openid-configuration':
      case '/user_management/client_1/.well-known/openid-configuration':
        return this.onMetadata()
      default:
        return this.onOther(request)
    }
  }

  metadata(): Record<string, unknown> {
    return {
      issuer: UPSTREAM,
      authorization_endpoint: `${UPSTREAM}/authorize`,
      token_endpoint: `${UPSTREAM}/token`,
      jwks_uri: `${UPSTREAM}/jwks`,
      end_session_endpoint: `${UPSTREAM}/logout`,
      userinfo_endpoint: `${UPSTREAM}/userinfo`,
      response_types_supported: ['code', 'code id_token', 'id_token', 'token', 'none'],
      response_modes_supported: ['query', 'fragment', 'form_post'],
      id_token_signing_alg_values_supported: ['RS256'],
      signed_metadata: 'x.y.z',
    }
  }

  claims(now = Date.now()): Record<string, unknown> {
    const iat = Math.floor(now / 1000)
    return {
      iss: UPSTREAM,
      aud: AUDIENCE,
      sub: 'user_1',
      org_id: 'org_acme',
      sid: 'session_1',
      iat,
      exp: iat + 3600,
      jti: 'upstream-jti',
      scope: 'openid profile',
      feature_flags: ['stale-flag'],
    }
  }

  sign(
    claims: Record<string, unknown>,
    header: Record<string, unknown> = {},
    signer = this.signer,
  ): Promise<string> {
    return new SignJWT(claims)
      .setProtectedHeader({ alg: signer.alg, kid: signer.jwk.kid as string, typ: 'at+jwt', ...header })
      .sign(signer.key)
  }

  /** A token answer; `members` replace or add to the usual ones. */
  async tokens(claims = this.claims(), members: Record<string, unknown> = {}): Promise<Response> {
    const accessToken = await this.sign(claims)
    return Response.json({
      access_token: accessToken,
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: 'rotated',
      ...members,
    })
  }
}

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
}
