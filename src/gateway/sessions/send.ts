/**
 * Sends the refresh to upstream, from inside the object, and returns its answer whole, byte for byte.
 *
 * An upstream that replays may be asked a second time when it did not answer, or its answer broke off. Any other is waited for longer than the
 * client is: it may have spent the refresh token, and its late answer is the only way to the next one.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { readBytes } from '../http/body.ts'
import type { NoAnswer, RawAnswer, SessionCall } from './call.ts'

/** A token answer with the user's profile in it is some 10 KiB. */
const MAX_ANSWER_BYTES = 1024 * 1024
/** How long an answer that nobody may be waiting for any more is still wanted. */
const LATE_ANSWER_MS = 60_000

/** @param received - is handed the answer in the moment in which it is whole, before anything is waited for */
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
  // Not `AbortSignal.timeout`: its timer would keep the object in memory long after the answer has come.
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
