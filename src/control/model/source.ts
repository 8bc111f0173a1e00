/**
 * What another system tells us, and how: the interface that every source of webhooks stands behind. Types, bounds and
 * no I/O.
 *
 * A source does two things. `verify` says whether a delivery is what its sender signed, just now; `parse` says what the
 * event means, in our words but with the other system's names, which mappings resolve later (`project.ts`). Neither
 * writes anything: inbox, order and effects are the caller's.
 */
import type { Result } from '../../core/result.ts'
import type { InboxRow } from '../db/rows.ts'
import type { Refusal } from '../refusals.ts'
import type { CanonicalEvent } from './events.ts'

export type SourceName = 'stripe' | 'standard' | 'workos'

/** How far a delivery's timestamp may be from our clock, either way. */
export const TOLERANCE_SECONDS = 300

/** The longest body of a delivery, as of every request. */
export const MAX_BODY_BYTES = 64 * 1024

export interface Delivery {
  readonly headers: Headers
  /** As it came, byte for byte: the signature is over it. Decode it strictly (`fatal`), and keep a byte order mark. */
  readonly body: string
  /** Epoch milliseconds. */
  readonly now: number
}

/**
 * Why a delivery is refused. Nothing of it is kept.
 *
 * - `body_too_large`, `signature_missing`, `signature_malformed`: before anything is computed
 * - `signature_invalid`: forged, altered, or made with a secret that we do not have
 * - `timestamp_stale`, `timestamp_future`: rightly signed, but not just now; only said of what is rightly signed
 * - `body_not_json`, `event_invalid`: rightly signed, but not an event that can be kept: without an id or a type
 */
export type VerifyReason =
  | 'body_too_large'
  | 'signature_missing'
  | 'signature_malformed'
  | 'signature_invalid'
  | 'timestamp_stale'
  | 'timestamp_future'
  | 'body_not_json'
  | 'event_invalid'

/** An event whose sender is known. `source` and `id` tell it from every other; all that `parse` needs is in it. */
export interface ReceivedEvent {
  /** The sender's own, the same in every attempt to deliver it. */
  readonly id: string
  readonly type: string
  /** RFC 3339 in UTC, with milliseconds. */
  readonly occurredAt: string
  /** The parsed body. */
  readonly payload: unknown
  /** Who had the source asked, where it has not told by itself. */
  readonly askedBy?: string
}

/**
 * Why an event has no meaning here. All but the last are for the quarantine, where an operator sees them.
 *
 * - `unknown_type`: nothing that we know of
 * - `payload_invalid`: not what its type promises
 * - `refetch_unavailable`: the event does not tell enough, and there is no API key to ask for the rest
 * - `refetch_refused`: the API does not accept our key, or does not know the thing
 * - `refetch_failed`: cannot tell right now; have it delivered, or parse it, again
 * - `apply_failed`: understood, but what it asks for beside our rows could not be done; the same
 */
export type ParseReason =
  | 'unknown_type'
  | 'payload_invalid'
  | 'refetch_unavailable'
  | 'refetch_refused'
  | 'refetch_failed'
  | 'apply_failed'

/** An event's meaning, or why it has none; `detail` says where its payload is not as it should be. */
export type Parsed =
  | { readonly ok: true; readonly value: readonly CanonicalEvent[] }
  | { readonly ok: false; readonly reason: ParseReason; readonly detail?: string }

export interface Source {
  readonly name: SourceName
  verify(delivery: Delivery): Promise<Result<ReceivedEvent, VerifyReason>>
  /**
   * The event's meaning, which may be several things, in the order in which they are to be applied.
   *
   * @param now - epoch milliseconds at the beginning: what is fetched is true as of then
   */
  parse(event: ReceivedEvent, now: number): Promise<Parsed>
}

/** An event on its way into the inbox. */
export interface Arrival {
  readonly source: SourceName
  readonly event: ReceivedEvent
  readonly parsed: Parsed
}

/** What became of an event. */
export interface Settled {
  readonly event_id: string
  readonly state: InboxRow['state']
  readonly problem: string | null
  /** Of what: a name, or where in the payload. */
  readonly detail: string | null
  /** The version that documents have with it; `null`: it changed nothing. */
  readonly version: number | null
  /** Whether it had been dealt with before. */
  readonly duplicate: boolean
}

/** How the inbox is reached, which lives in a Durable Object. */
export interface InboxStub {
  /** Applies the event and keeps it; or says that nobody can right now. */
  deliver(arrival: Arrival): Promise<Result<Settled, Refusal>>
}
