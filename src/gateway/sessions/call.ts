/**
 * The messages between the gateway's Worker and its Durable Object. Types only.
 *
 * Everything that the object needs is in the call: it has no configuration of its own that could differ from the Worker's.
 */
import type { Result } from '../../core/result.ts'

/** One refresh, ready for upstream. */
export interface SessionCall {
  readonly url: string
  readonly headers: Headers
  readonly body: string
  /** The key to a stored answer is derived from the refresh token, with the object's name as salt. */
  readonly refreshToken: string
  readonly name: string
  /** How long one request to upstream may take. */
  readonly timeoutMs: number
  /** How long the client waits for the object's answer, however many requests go to upstream. */
  readonly patienceMs: number
  /** How long an answer is replayed; 0: not at all. */
  readonly reuseSeconds: number
  /** Whether upstream returns the same answer when a refresh token is used twice, so that a second request is safe. */
  readonly replays: boolean
}

/** Upstream's complete, unchanged answer. */
export interface RawAnswer {
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  readonly body: Uint8Array<ArrayBuffer>
  /** Epoch milliseconds. */
  readonly receivedAt: number
}

export type NoAnswer = 'upstream_timeout' | 'upstream_unreachable' | 'upstream_answer_too_large'

/** How a request got its answer: it was sent to upstream, waited for another one, or came later. */
export type AnswerOrigin = 'asked' | 'joined' | 'replayed'

/** How a refresh got its answer, seen from the Worker: from the object, or directly and why. */
export type SessionPath = AnswerOrigin | 'unreachable' | 'bypassed'

export interface SessionAnswer {
  readonly answer: RawAnswer
  readonly origin: AnswerOrigin
  /** Whether the answer could not be stored, so it will not outlive the object. */
  readonly unstored: boolean
}

/** The Worker knows one more: the object itself hangs. */
export type NoSessionAnswer = NoAnswer | 'session_timeout'

/** One answer was given again so often that it is not given for a while. */
export interface ReplaysExhausted {
  readonly ok: false
  readonly reason: 'replays_exhausted'
  /** When the answer is kept no longer. */
  readonly retryAfterSeconds: number
}

export type SessionOutcome = Result<SessionAnswer, NoAnswer> | ReplaysExhausted

/** The part of a Durable Object namespace that the gateway uses. */
export interface RefreshSessions {
  getByName(name: string): { exchange(call: SessionCall): Promise<SessionOutcome> }
}
