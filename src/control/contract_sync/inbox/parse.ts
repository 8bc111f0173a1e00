/** What an event that was kept means, by its own source: a delivery, a replay and a repair alike. */
import { err, ok } from '../../../core/result.ts'
import type { CanonicalEvent } from '../events.ts'
import { sourceNamed } from '../sources/index.ts'
import type { Parsed, ReceivedEvent, Source } from '../sources/source.ts'

/** The type of what a reconciliation found: in our words already. No sender can send one. */
export const RECONCILED = 'remint.reconciled'

/** @param now - epoch milliseconds */
export async function parseEvent(
  event: ReceivedEvent,
  sources: ReadonlyMap<string, Source>,
  now: number,
): Promise<Parsed> {
  if (event.askedBy !== undefined && event.type === RECONCILED) {
    return ok((event.payload as { readonly events: readonly CanonicalEvent[] }).events)
  }
  return (await sourceNamed(sources, event.source)?.parse(event, now)) ?? err('unknown_type')
}
