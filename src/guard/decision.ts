/**
 * What a guard reports of each decision, for logs and metrics. Pure but for the call.
 *
 * It holds names and no values: no token, no claim's content, nobody's id.
 */
import type { Freshness, Requirement } from '../core/requirement.ts'
import type { RefusalReason } from './refusal.ts'

export interface GuardDecision {
  readonly allowed: boolean
  readonly reason: 'allowed' | RefusalReason
  /** With `claim_refused` and its like: the name of the claim that is missing or wrong. */
  readonly claim?: string
  /** With `feature_missing`: what would have to be granted. */
  readonly missing?: readonly string[]
  readonly required: Requirement
  /** How fresh the answer had to be; `grace` where the gateway gave none and the token was young enough. */
  readonly freshness: Freshness | 'grace'
  /**
   * What came of asking the gateway: its own reason (`allowed`, `session_revoked`, …), or why there was no answer to use:
   * `timeout`, `network`, `status_503`, `not_an_answer`, or `threw_TypeError` for a bug in the `fetch` that was passed.
   */
  readonly live?: string
}

/** What the hook throws is the hook's: it neither changes a decision nor ends the process. */
export function report(
  onDecision: ((decision: GuardDecision) => unknown) | undefined,
  decision: GuardDecision,
): void {
  if (!onDecision) return
  try {
    Promise.resolve(onDecision(decision)).catch(() => {})
  } catch {}
}
