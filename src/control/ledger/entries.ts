/** Steps -> their audit rows: each continues the chain and has its own part of the effective diff. Pure but for WebCrypto. */
import type { FlagEffect } from '../effects/diff.ts'
import { effectsOf } from '../effects/evaluate.ts'
import { type EffectSummary, NO_EFFECT, summarize } from '../effects/summary.ts'
import { filingOf, publicRow } from '../entities/edit.ts'
import { type Head, hashEntry } from './audit_chain.ts'
import type { Entry } from './batch.ts'
import type { Facts, Step } from './command.ts'
import type { Diff } from './diff_cache.ts'

export const summaryOf = (
  effects: readonly FlagEffect[],
  base: number,
): Promise<EffectSummary> | EffectSummary => (effects.length === 0 ? NO_EFFECT : summarize(effects, base))

export interface EntryContext extends Pick<Facts, 'now' | 'environments'> {
  readonly requestId: string
  /** The change request that everything belongs to. */
  readonly change: string | null
}

/** The row that closes a change request has the whole effective diff. */
export async function entriesOf(
  steps: readonly Step[],
  diff: Diff,
  head: Head,
  { now, environments, requestId, change }: EntryContext,
): Promise<Entry[]> {
  const entries: Entry[] = []
  let { seq, hash: prev } = head
  for (const [position, { edit, action, actor, reason, ticket }] of steps.entries()) {
    const effects =
      edit.table === 'change_requests' ? diff.effects : effectsOf(diff, position, edit, environments)
    const row = {
      ...filingOf(edit),
      seq: ++seq,
      at: new Date(now).toISOString(),
      actor: actor.id,
      api_key: actor.apiKey,
      on_behalf_of: actor.onBehalfOf ? (actor.onBehalfOf.person ?? actor.onBehalfOf.identity) : null,
      action,
      reason,
      ticket,
      prev,
      change,
      before: publicRow(edit, 'before'),
      after: publicRow(edit, 'after'),
      effect: await summaryOf(effects, diff.base),
      request_id: requestId,
    }
    prev = await hashEntry(row)
    entries.push({ edit, audit: { ...row, hash: prev } })
  }
  return entries
}
