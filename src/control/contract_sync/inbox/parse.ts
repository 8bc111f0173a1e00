/** Parses a stored event by its own source: deliveries, replays and repairs alike. */
import { err, ok } from '../../../core/result.ts'
import type { CanonicalEvent } from '../events.ts'
import { sourceNamed } from '../sources/index.ts'
import type { Parsed, ReceivedEvent, Source } from '../sources/source.ts'

/** The type of events from a reconciliation, which are already parsed. No sender can send one. */
export const RECONCILED = 'remint.reconciled'

/** A sender waits 5 to 15 s; queries of a source may take only a part of that. */
const PARSE_MS = 2_500

/** @param now - epoch milliseconds */
export async function parseEvent(
  event: ReceivedEvent,
  sources: ReadonlyMap<string, Source>,
  now: number,
): Promise<Parsed> {
  if (event.askedBy !== undefined && event.type === RECONCILED) {
    return ok((event.payload as { readonly events: readonly CanonicalEvent[] }).events)
  }
  const source = sourceNamed(sources, event.source)
  if (!source) return err('unknown_type')
  // What nobody thought of is our fault, and no reason to lose or to refuse the event.
  return inTime(source.parse(event, now), PARSE_MS).catch(() => err('apply_failed'))
}

/** What takes too long is not known right now. */
async function inTime(work: Promise<Parsed>, limitMs: number): Promise<Parsed> {
  const { promise: late, resolve } = Promise.withResolvers<Parsed>()
  const timer = setTimeout(() => resolve(err('refetch_failed')), limitMs)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
