/**
 * The gateway's current decision about a token, over a service binding or HTTP, within a time limit.
 *
 * "No answer" is a result of its own: the caller decides by its stated policy, never by accident. A response that is not from
 * the gateway (a 404 of another server, a page) is another result, and so is a bug on this side: neither gets better in a
 * minute, and neither allows grace.
 */
import type { Requirement } from '../core/requirement.ts'
import { within } from '../core/within.ts'
import { isNetworkFailure, nameOf } from './network_failure.ts'
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

export type LiveResult<T = LiveAnswer> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: LiveReason; readonly fault: string }

const fail = (reason: LiveReason, fault: string): LiveResult<never> => ({ ok: false, reason, fault })

export async function askGateway(
  token: string,
  { all, any }: Requirement,
  { verifier, timeoutMs }: GuardConfig,
  fetcher: typeof fetch,
): Promise<LiveResult> {
  // An empty list requires nothing here, and is refused there as a mistake.
  const requirement = { ...(all.length > 0 && { all }), ...(any.length > 0 && { any }) }
  const asked =
    verifier instanceof URL
      ? await post(verifier, { token, features: requirement, freshness: 'live' }, timeoutMs, fetcher)
      : await call(verifier, token, { ...requirement, freshness: 'live' }, timeoutMs)
  if (!asked.ok) return asked
  const answer = asked.value
  if (!isAnswer(answer)) return fail('answer_refused', 'not_an_answer')
  // A gateway that does not know the state has not answered.
  return answer.reason === 'state_unknown' ? fail('no_answer', 'state_unknown') : { ok: true, value: answer }
}

async function call(
  verifier: VerifierBinding,
  ...[token, question, timeoutMs]: [...Parameters<VerifierBinding['verify']>, number]
): Promise<LiveResult<unknown>> {
  try {
    const work = Promise.resolve(verifier.verify(token, question))
    const answered = await within(
      timeoutMs,
      work.then((answer) => ({ answer })),
    )
    return answered ? { ok: true, value: answered.answer } : fail('no_answer', 'timeout')
  } catch (cause) {
    // A TypeError: the other side does not know this method, or these arguments.
    return nameOf(cause) === 'TypeError' ? fail('answer_refused', 'threw_TypeError') : failureOf(cause)
  }
}

async function post(
  url: URL,
  question: object,
  timeoutMs: number,
  fetcher: typeof fetch,
): Promise<LiveResult<unknown>> {
  const init: RequestInit = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(question),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  }
  let answered: { status: number; text: string } | undefined
  try {
    // A fetch that was passed may ignore the signal.
    answered = await within(timeoutMs, read(fetcher(url.href, init)))
  } catch (cause) {
    return failureOf(cause)
  }
  if (!answered) return fail('no_answer', 'timeout')
  const { status, text } = answered
  if (status === 429 || status >= 500) return fail('no_answer', `status_${status}`)
  if (status !== 200) return fail('answer_refused', `status_${status}`)
  try {
    return { ok: true, value: JSON.parse(text) }
  } catch {
    return fail('answer_refused', 'not_an_answer')
  }
}

async function read(fetching: Promise<Response>): Promise<{ status: number; text: string }> {
  const response = await fetching
  return { status: response.status, text: await response.text() }
}

function failureOf(cause: unknown): LiveResult<never> {
  const name = nameOf(cause)
  if (!isNetworkFailure(cause)) return fail('answer_refused', `threw_${name}`)
  return fail('no_answer', name === 'TimeoutError' ? 'timeout' : 'network')
}

function isAnswer(value: unknown): value is LiveAnswer {
  const { active, allowed, reason, current_feature_flags: flags } = (value ?? {}) as Record<string, unknown>
  if (typeof active !== 'boolean' || typeof allowed !== 'boolean' || typeof reason !== 'string') return false
  return flags === undefined || (Array.isArray(flags) && flags.every((flag) => typeof flag === 'string'))
}
