/**
 * The API of the demo app: one route behind one flag, as a downstream service would gate it.
 *
 * The token is verified offline with the gateway's published keys; no call is made per request. "Who are you" (401) and
 * "you do not have this" (403) are different answers, and the second names the flag, so that the page can say what to do.
 */
import { Hono } from 'hono'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

/** The flag that `GET /api/reports` requires. */
export const REPORTS_FLAG = 'advanced-analytics'

export interface ReportsOptions {
  /** Whose tokens are accepted: the gateway's origin. */
  issuer: string
  audience: string
}

const REPORTS = [
  { name: 'Net revenue retention', value: '118 %', change: '+4.2' },
  { name: 'Weekly active teams', value: '1,284', change: '+7.9' },
  { name: 'Median time to value', value: '2.6 days', change: '−0.8' },
]

export function reports({ issuer, audience }: ReportsOptions): Hono {
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer))
  return new Hono().get('/', async (c) => {
    const token = /^Bearer ([^\s,]+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    if (token === undefined)
      return problem(401, 'token_missing', 'Send an access token as "Authorization: Bearer …".')
    const claims = await verified(token)
    if (claims instanceof Response) return claims
    const flags: unknown = claims.feature_flags
    if (!Array.isArray(flags) || !flags.includes(REPORTS_FLAG)) {
      return problem(403, 'flag_missing', `Reports need the flag ${REPORTS_FLAG}.`, {
        missing: [REPORTS_FLAG],
      })
    }
    return c.json({ organization: claims.org_id, reports: REPORTS }, 200, { 'cache-control': 'no-store' })
  })

  async function verified(token: string) {
    try {
      return (await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' })).payload
    } catch (error) {
      if (error instanceof errors.JWTExpired)
        return problem(401, 'token_expired', 'The access token has expired. Refresh it.')
      if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError)) {
        return problem(503, 'keys_unreachable', 'The keys of the gateway cannot be read right now.')
      }
      return problem(401, 'token_invalid', 'The access token is not valid for this API.')
    }
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc9457 */
function problem(status: number, code: string, detail: string, members: object = {}): Response {
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
  }
  if (status === 401)
    headers['www-authenticate'] =
      `Bearer error="${code === 'token_missing' ? 'invalid_request' : 'invalid_token'}"`
  return new Response(
    JSON.stringify({ type: 'about:blank', title: TITLES[status], status, code, detail, ...members }),
    {
      status,
      headers,
    },
  )
}

const TITLES: Record<number, string> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  503: 'Service Unavailable',
}
