/**
 * Sends the refresh to upstream, from inside the object, and returns its complete answer, byte for byte.
 *
 * An upstream that replays gets a second request if it did not answer, or its answer broke off. For any other, the object
 * waits longer than the client: the refresh token may be spent, and the late answer is the only way to the next one.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { readBytes } from '../http/body.ts'
import type { NoAnswer, RawAnswer, SessionCall } from './call.ts'

/** A token response with the user's profile is about 10 KiB. */
const MAX_ANSWER_BYTES = 1024 * 1024
/** How long to wait for an answer when no client may be waiting any more. */
const LATE_ANSWER_MS = 60_000

/** @param received - called with the answer as soon as it is complete, before anything is awaited */
export async function send(
  call: SessionCall,
  received: (answer: RawAnswer) => void,
  fetcher: typeof fetch,
  clock: () => number,
): Promise<Result<RawAnswer, NoAnswer>> {
  if (!call.replays) return sendOnce(call, LATE_ANSWER_MS, received, fetcher, clock)
  const first = await sendOnce(call, call.timeoutMs, received, fetcher, clock)
  return first.ok || first.reason === 'upstream_answer_too_large'
    ? first
    : sendOnce(call, call.timeoutMs, received, fetcher, clock)
}

async function sendOnce(
  { url, headers, body }: SessionCall,
  timeoutMs: number,
  received: (answer: RawAnswer) => void,
  fetcher: typeof fetch,
  clock: () => number,
): Promise<Result<RawAnswer, NoAnswer>> {
  // Not `AbortSignal.timeout`: its timer would keep the object in memory long after the answer has arrived.
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new DOMException('', 'TimeoutError')), timeoutMs)
  try {
    const response = await fetcher(url, {
      method: 'POST',
      headers,
      body,
      redirect: 'manual',
      signal: limit.signal,
    })
    const bytes = await readBytes(response, MAX_ANSWER_BYTES)
    if (!bytes.ok) return err('upstream_answer_too_large')
    const { status, statusText, headers: responseHeaders } = response
    const answer = { status, statusText, headers: responseHeaders, body: bytes.value, receivedAt: clock() }
    received(answer)
    return ok(answer)
  } catch (cause) {
    return err(
      cause instanceof Error && cause.name === 'TimeoutError' ? 'upstream_timeout' : 'upstream_unreachable',
    )
  } finally {
    clearTimeout(timer)
  }
}
