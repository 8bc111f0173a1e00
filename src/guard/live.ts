/**
 * What the gateway says about a token now, over a service binding or HTTP, within a time limit.
 *
 * No answer is a result of its own: the caller decides by its stated policy, never by accident. An answer that is none of
 * the gateway's (a 404 of another server, a page) is another: it will not be better in a minute, and earns no grace.
 */
import type { Requirement } from '../core/requirement.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { GuardConfig, VerifierBinding } from './options.ts'

export interface LiveAnswer {
  readonly active: boolean
  readonly allowed: boolean
  readonly reason: string
  /** What is on now, where that differs from the token. */
  readonly current_feature_flags?: readonly string[]
}

/** `no_answer`: the network, a time-out, 429, 5xx, or a gateway that cannot read its own state. */
export type LiveReason = 'no_answer' | 'answer_refused'

export async function askGateway(
  token: string,
  { all, any }: Requirement,
  { verifier, timeoutMs }: GuardConfig,
  fetcher: typeof fetch,
): Promise<Result<LiveAnswer, LiveReason>> {
  // An empty list asks for nothing here, and is refused there as a mistake.
  const requirement = { ...(all.length > 0 && { all }), ...(any.length > 0 && { any }) }
  const asked =
    verifier instanceof URL
      ? await post(verifier, { token, features: requirement, freshness: 'live' }, timeoutMs, fetcher)
      : await call(verifier, token, { ...requirement, freshness: 'live' }, timeoutMs)
  if (!asked.ok) return asked
  const answer = asked.value
  if (!isAnswer(answer)) return err('answer_refused')
  // A gateway that cannot tell has not answered the question.
  return answer.reason === 'state_unknown' ? err('no_answer') : ok(answer)
}

async function call(
  verifier: VerifierBinding,
  ...[token, question, timeoutMs]: [...Parameters<VerifierBinding['verify']>, number]
): Promise<Result<unknown, LiveReason>> {
  try {
    return ok(await within(timeoutMs, verifier.verify(token, question)))
  } catch (cause) {
    // The other side does not know this method, or this question.
    return err(cause instanceof TypeError ? 'answer_refused' : 'no_answer')
  }
}

async function post(
  url: URL,
  body: object,
  timeoutMs: number,
  fetcher: typeof fetch,
): Promise<Result<unknown, LiveReason>> {
  let response: Response
  let text: string
  try {
    response = await send(url, body, timeoutMs, fetcher)
    text = await response.text()
  } catch {
    return err('no_answer')
  }
  const { status } = response
  if (status === 429 || status >= 500) return err('no_answer')
  if (status !== 200) return err('answer_refused')
  try {
    return ok(JSON.parse(text))
  } catch {
    return err('answer_refused')
  }
}

async function send(url: URL, body: object, timeoutMs: number, fetcher: typeof fetch): Promise<Response> {
  return fetcher(url.href, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  })
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
