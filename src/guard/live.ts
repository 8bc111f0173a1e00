/**
 * What the gateway says about a token now, over a service binding or HTTP, within a time limit.
 *
 * No answer is a result of its own: the caller decides by its stated policy, never by accident.
 */
import type { Requirement } from '../core/requirement.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { GuardConfig } from './options.ts'

export interface LiveAnswer {
  readonly active: boolean
  readonly allowed: boolean
  readonly reason: string
  /** What is on now, where that differs from the token. */
  readonly current_feature_flags?: readonly string[]
}

export async function askGateway(
  token: string,
  { all, any }: Requirement,
  { verifier, timeoutMs }: GuardConfig,
  fetcher: typeof fetch,
): Promise<Result<LiveAnswer, 'no_answer'>> {
  try {
    const answer =
      verifier instanceof URL
        ? await post(verifier, { token, features: { all, any }, freshness: 'live' }, timeoutMs, fetcher)
        : await within(timeoutMs, verifier.verify(token, { all, any, freshness: 'live' }))
    // A gateway that cannot tell has not answered the question.
    return isAnswer(answer) && answer.reason !== 'state_unknown' ? ok(answer) : err('no_answer')
  } catch {
    return err('no_answer')
  }
}

async function post(url: URL, body: object, timeoutMs: number, fetcher: typeof fetch): Promise<unknown> {
  const response = await fetcher(url.href, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  })
  return response.status === 200 ? response.json() : undefined
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let stopTimer = () => {}
  const timeout = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new Error('timeout')), timeoutMs)
    stopTimer = () => clearTimeout(timer)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    stopTimer()
  }
}

function isAnswer(value: unknown): value is LiveAnswer {
  const { active, allowed, reason } = (value ?? {}) as Record<string, unknown>
  return typeof active === 'boolean' && typeof allowed === 'boolean' && typeof reason === 'string'
}
