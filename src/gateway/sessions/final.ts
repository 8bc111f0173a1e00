/**
 * Which of upstream's answers are given again, and until when. Pure.
 *
 * Only what upstream has decided is: tokens, or that this refresh token is no longer valid (400 by RFC 6749 section 5.2, 403
 * by Auth0). Everything else may be another answer the next time: too many requests, a fault, a DPoP nonce to be used, a
 * client that did not authenticate, a page or an error that calls itself 200.
 */
import { decodeJwt } from 'jose'
import type { RawAnswer } from './call.ts'

const decoder = new TextDecoder()

/** Until when an answer is given again, in epoch milliseconds: no longer than its access token lives. */
export function goodUntil(answer: RawAnswer, reuseSeconds: number): number | undefined {
  const { status, receivedAt } = answer
  const body = bodyOf(answer)
  const end = receivedAt + reuseSeconds * 1000
  if (status >= 200 && status < 300) {
    return isText(body.access_token) || isText(body.refresh_token)
      ? Math.min(end, ...endsOf(body, receivedAt))
      : undefined
  }
  return status < 500 && status !== 429 && body.error === 'invalid_grant' ? end : undefined
}

/** What upstream says of the access token's end: beside it, and, if it is a JWT, in it. */
function endsOf({ expires_in: lifetime, access_token: token }: Record<string, unknown>, receivedAt: number) {
  const ends: number[] = []
  if (typeof lifetime === 'number' && lifetime > 0) ends.push(receivedAt + lifetime * 1000)
  try {
    const { exp } = decodeJwt(token as string)
    if (typeof exp === 'number') ends.push(exp * 1000)
  } catch {
    // Opaque: only upstream knows.
  }
  return ends
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

function bodyOf({ body }: RawAnswer): Record<string, unknown> {
  try {
    return JSON.parse(decoder.decode(body)) ?? {}
  } catch {
    return {}
  }
}
