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
  readonly jwk: JWK & { kid: string }
  readonly alg: string
}

export async function makeSigner(alg = 'ES256'): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  return { key: privateKey, alg, jwk: { ...jwk, alg, use: 'sig', kid: await calculateJwkThumbprint(jwk) } }
}

type Answer = Response | Promise<Response>

export interface SeenRequest {
  readonly url: URL
  readonly method: string
  readonly headers: Headers
  readonly body: string
  readonly redirect: string
}

export class Upstream {
  readonly signer: Signer
  /** Epoch milliseconds. */
  readonly clock: () => number
  /** Every request that reached upstream, in order; the body is read. */
  readonly requests: SeenRequest[] = []
  /** What the token endpoint answers; by default a token answer with the claims of `claims()`. */
  onToken: (request: Request) => Answer = () => this.tokens()
  onJwks: () => Answer = () => Response.json({ keys: [this.signer.jwk] })
  onMetadata: () => Answer = () => Response.json(this.metadata())
  onOther: (request: Request) => Answer = () => new Response('upstream page')

  /** In place of all of these, for a request whose body must not be read before it is answered. */
  onRaw: ((request: Request) => Answer) | undefined

  constructor(signer: Signer, clock: () => number) {
    this.signer = signer
    this.clock = clock
  }

  count(path: string): number {
    return this.requests.filter(({ url }) => url.pathname === path).length
  }

  /** The last request to a path. */
  seen(path: string): SeenRequest {
    const found = this.requests.findLast(({ url }) => url.pathname === path)
    if (!found) throw new Error(`upstream was not asked for ${path}`)
    return found
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input as string, init as RequestInit)
    const url = new URL(request.url)
    if (this.onRaw && url.pathname === '/upload') return this.onRaw(request)
    const body = request.body === null ? '' : new TextDecoder().decode(await request.clone().arrayBuffer())
    this.requests.push({
      url,
      method: request.method,
      headers: new Headers(request.headers),
      body,
      redirect: request.redirect,
    })
    const signal = init?.signal ?? undefined
    return abortable(await Promise.race([this.#answer(url.pathname, request), aborted(signal)]), signal)
  }

  async #answer(path: string, request: Request): Promise<Response> {
    if (request.method === 'OPTIONS') return this.onOther(request)
    switch (path) {
      case '/token':
      case '/user_management/authenticate':
        return this.onToken(request)
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

  metadata(members: Record<string, unknown> = {}): Record<string, unknown> {
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
      ...members,
    }
  }

  claims(members: Record<string, unknown> = {}): Record<string, unknown> {
    const iat = Math.floor(this.clock() / 1000)
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
      ...members,
    }
  }

  /** @param header - added to the usual one; `undefined` takes a parameter out */
  sign(
    claims: Record<string, unknown>,
    header: Record<string, unknown> = {},
    signer = this.signer,
  ): Promise<string> {
    return new SignJWT(claims)
      .setProtectedHeader({ alg: signer.alg, kid: signer.jwk.kid, typ: 'at+jwt', ...header })
      .sign(signer.key)
  }

  /** An ID token with the usual claims. */
  idToken(members: Record<string, unknown> = {}): Promise<string> {
    const { iss, sub, iat, exp } = this.claims()
    return this.sign({ iss, sub, iat, exp, aud: 'app', nonce: 'n1', ...members }, { typ: 'JWT' })
  }

  /** A token answer; `members` replace or add to the usual ones. */
  async tokens(claims = this.claims(), members: Record<string, unknown> = {}): Promise<Response> {
    return this.answer(await this.sign(claims), members)
  }

  answer(accessToken: string, members: Record<string, unknown> = {}): Response {
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

/** As with the real `fetch`, the signal also ends a body that is on its way. */
function abortable(response: Response, signal: AbortSignal | undefined): Response {
  if (!response.body || !signal) return response
  const reader = response.body.getReader()
  const ended = aborted(signal)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await Promise.race([reader.read(), ended])
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
  return new Response(body, response)
}
