/**
 * Forward-auth: the verdict as a status and headers, for a proxy that checks each request before it lets it through.
 *
 * Proxies treat statuses differently (nginx turns all but 401 and 403 into 500, Envoy allows only 200), so an allowance is
 * exactly 200 and a denial 401 or 403. All `X-Remint-*` headers are always present, if necessary empty: a proxy that copies
 * them overwrites the client's.
 */
import { bearerToken } from '../../core/bearer.ts'
import { problem } from '../http/answers.ts'
import { type RefusalReason, refusalOf } from '../http/refusals.ts'
import { parseGuardUrl } from './guard_url.ts'
import { reachVerdict, type Verdict, type Verification } from './verdict.ts'

/** The response for the proxy, and its reason. */
export interface GuardAnswer {
  readonly response: Response
  readonly reason: RefusalReason | 'allowed'
}

export async function guard(
  request: Request,
  verification: Verification,
  requestId: string,
): Promise<GuardAnswer> {
  const refuse = (reason: RefusalReason) => refuseGuarded(reason, requestId)
  const question = parseGuardUrl(request.url)
  if (!question.ok) return refuse(question.reason)
  const bearer = bearerToken(request.headers.get('authorization'))
  if (!bearer.ok) return refuse(bearer.reason)
  if (bearer.value === undefined) return refuse('token_missing')
  const verdict = await reachVerdict(bearer.value, question.value, verification)
  if (!verdict.allowed) return refuse(verdict.reason as RefusalReason)
  const headers = { 'cache-control': 'no-store', pragma: 'no-cache', ...guardHeaders('allowed', verdict) }
  return { response: new Response(null, { status: 200, headers }), reason: 'allowed' }
}

export function refuseGuarded(reason: RefusalReason, requestId: string): GuardAnswer {
  const { status, text, headers } = refusalOf(reason, 'guard')
  return {
    response: problem(status, reason, text, requestId, { ...guardHeaders(reason), ...headers }),
    reason,
  }
}

function guardHeaders(reason: string, verdict?: Verdict): Record<string, string> {
  const { sub, orgId, sid, meta } = verdict?.identity ?? {}
  return {
    'x-remint-subject': headerValue(sub),
    'x-remint-org': headerValue(orgId),
    'x-remint-session': headerValue(sid),
    'x-remint-features': verdict?.flags.map(headerValue).join(' ') ?? '',
    'x-remint-meta': meta
      ? JSON.stringify({ ...meta, env: headerValue(meta.env), ver: headerValue(meta.ver) })
      : '',
    'x-remint-reason': reason,
  }
}

/** Visible ASCII unchanged; everything else, and `%` itself, as percent-encoded UTF-8. */
const headerValue = (value = ''): string =>
  value.replace(/[^\x21-\x24\x26-\x7e]+/g, (other) => encodeURIComponent(other.toWellFormed()))
