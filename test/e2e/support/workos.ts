/**
 * An upstream in the shape of WorkOS AuthKit: JSON at one path for every grant, rotation with 30 seconds of replay, keys
 * by client id, and a few other calls of the API with the headers that its SDK reads.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { type HttpServer, readText, sendJson, startServer } from './http.ts'

export const CLIENT_ID = 'client_01E2E'
export const API_KEY = 'sk_test_e2e'
export const ISSUER = `https://api.workos.example/user_management/${CLIENT_ID}`
const REPLAY_MS = 30_000

interface Call {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Record<string, unknown>
}

export interface Workos extends HttpServer {
  readonly calls: readonly Call[]
  /** The bodies of the token answers, as they left. */
  readonly answers: readonly string[]
  /** Takes the place of the next answer. */
  once(handle: (response: ServerResponse) => void): void
}

interface Session {
  readonly id: string
  org: string
}

export async function startWorkos(): Promise<Workos> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  const calls: Call[] = []
  const answers: string[] = []
  const faults: ((response: ServerResponse) => void)[] = []
  const live = new Map<string, Session>()
  const spent = new Map<string, { at: number; answer: string }>()

  const issue = async (session: Session): Promise<string> => {
    const refreshToken = randomBytes(18).toString('base64url')
    live.set(refreshToken, session)
    const now = Math.floor(Date.now() / 1000)
    const accessToken = await new SignJWT({
      iss: ISSUER,
      sub: 'user_ada',
      sid: session.id,
      org_id: session.org,
      role: 'admin',
      roles: ['admin'],
      permissions: ['reports:read'],
      entitlements: ['audit-logs'],
      feature_flags: ['zulu-from-upstream', 'alpha-from-upstream'],
      jti: randomUUID(),
      iat: now,
      exp: now + 300,
    })
      .setProtectedHeader({ alg: 'RS256', kid })
      .sign(privateKey)
    // Spacing and numbers that a parser would change, to see whether one did.
    return `{ "user": ${JSON.stringify(USER)},\n  "organization_id": "${session.org}", "access_token": "${accessToken}",
  "refresh_token": "${refreshToken}", "authentication_method": "Password", "unknown_number": 12345678901234567890.50 }`
  }

  const authenticate = async (response: ServerResponse, body: Record<string, unknown>): Promise<void> => {
    if (body.client_id !== CLIENT_ID || (body.client_secret ?? API_KEY) !== API_KEY) {
      return sendJson(response, 400, { error: 'invalid_client', error_description: 'Invalid client ID.' })
    }
    const answer = await tokens(body)
    if (answer === undefined) return sendJson(response, 400, INVALID_GRANT)
    answers.push(answer)
    sendJson(response, 200, answer, { 'x-request-id': randomUUID() })
  }

  const tokens = async (body: Record<string, unknown>): Promise<string | undefined> => {
    if (body.grant_type === 'authorization_code' && body.code === 'code_ada') {
      return issue({ id: sessionId(), org: 'org_acme' })
    }
    const token = String(body.refresh_token)
    const replay = spent.get(token)
    if (replay && Date.now() - replay.at < REPLAY_MS) return replay.answer
    const session = live.get(token)
    if (body.grant_type !== 'refresh_token' || !session) return undefined
    live.delete(token)
    if (typeof body.organization_id === 'string') session.org = body.organization_id
    const answer = await issue(session)
    spent.set(token, { at: Date.now(), answer })
    return answer
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url: path = '', headers } = request
    // Pages of the origins that are configured may call it, with cookies.
    if (headers.origin) {
      response.setHeader('access-control-allow-origin', headers.origin)
      response.setHeader('access-control-allow-credentials', 'true')
    }
    if (method === 'OPTIONS') return preflight(request, response)
    const text = await readText(request)
    const body = text === '' ? {} : JSON.parse(text)
    calls.push({ method, path, headers, body })
    const fault = faults.shift()
    if (fault) return fault(response)
    const requestId = { 'x-request-id': `req_${calls.length}` }
    const [pathname = '', query = ''] = path.split('?')
    const parameters = new URLSearchParams(query)
    switch (`${method} ${pathname}`) {
      case 'GET /user_management/authorize': {
        const location = new URL(parameters.get('redirect_uri') ?? '')
        location.searchParams.set('code', 'code_ada')
        const state = parameters.get('state')
        if (state !== null) location.searchParams.set('state', state)
        return redirect(response, location.href)
      }
      case 'GET /user_management/sessions/logout':
        for (const [token, { id }] of live) if (id === parameters.get('session_id')) live.delete(token)
        return redirect(response, parameters.get('return_to') ?? '/')
      case 'POST /user_management/authenticate':
        return authenticate(response, body)
      case `GET /sso/jwks/${CLIENT_ID}`:
        return sendJson(response, 200, { keys: [{ ...jwk, kid, alg: 'RS256', use: 'sig' }] })
      case 'GET /user_management/users/user_ada':
        return sendJson(response, 200, USER, requestId)
      case 'POST /organizations':
        return sendJson(
          response,
          201,
          { object: 'organization', id: 'org_new', domains: [], ...body },
          requestId,
        )
      default:
        return sendJson(response, 404, { code: 'entity_not_found', message: 'Not found.' }, requestId)
    }
  }

  const server = await startServer(handle)
  return { ...server, calls, answers, once: (fault) => faults.push(fault) }
}

const redirect = (response: ServerResponse, location: string): void =>
  void response.writeHead(302, { location }).end()

const preflight = ({ headers }: IncomingMessage, response: ServerResponse): void =>
  void response
    .writeHead(204, {
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': headers['access-control-request-headers'] ?? '',
    })
    .end()

/** In the form that WorkOS gives its ids: a prefix and a ULID. */
const sessionId = (): string => `session_01${randomBytes(12).toString('hex').toUpperCase()}`

const INVALID_GRANT = { error: 'invalid_grant', error_description: 'Session has already ended.' }

const USER = {
  object: 'user',
  id: 'user_ada',
  email: 'ada@acme.example',
  email_verified: true,
  first_name: 'Ada',
  last_name: 'Lovelace',
  profile_picture_url: null,
  last_sign_in_at: '2026-11-22T09:00:00.000Z',
  locale: null,
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
  external_id: null,
  metadata: {},
}
