/**
 * What a guard reports about each decision, for logs and metrics. Pure but for the call.
 *
 * It holds names and no values: no token, no claim's content, no id.
 */
import type { Freshness, Requirement } from '../core/requirement.ts'
import type { RefusalReason } from './refusal.ts'

export interface GuardDecision {
  readonly allowed: boolean
  readonly reason: 'allowed' | RefusalReason
  /** With `claim_refused` and its like: the name of the claim that is missing or wrong. */
  readonly claim?: string
  /** With `feature_missing`: the missing flags. */
  readonly missing?: readonly string[]
  readonly required: Requirement
  /** The required freshness; `grace` if the gateway did not answer and the token was young enough. */
  readonly freshness: Freshness | 'grace'
  /**
   * The result of a live check: the gateway's own reason (`allowed`, `session_revoked`, …), or why there was no usable answer:
   * `timeout`, `network`, `status_503`, `not_an_answer`, or `threw_TypeError` for a bug in the `fetch` that was passed.
   */
  readonly live?: string
}

/** An error of the hook neither changes a decision nor ends the process. */
export function report(
  onDecision: ((decision: GuardDecision) => unknown) | undefined,
  decision: GuardDecision,
): void {
  if (!onDecision) return
  try {
    Promise.resolve(onDecision(decision)).catch(() => {})
  } catch {}
}
