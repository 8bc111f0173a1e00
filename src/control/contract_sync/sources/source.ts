/**
 * The interface of every source of webhooks. Types and limits, no I/O.
 *
 * A source does two things. `verify` checks that its sender signed a delivery recently; `parse` returns the event's meaning, in
 * the vocabulary here but with the other system's names, which mappings resolve later (`apply/resolve.ts`). Neither writes
 * anything: inbox, order and effects are the same for all. Sources with an API have `list`; sources whose state can be
 * exported have `fromList`.
 */
import type { Result } from '../../../core/result.ts'
import type { InboxRow } from '../../db/rows.ts'
import type { Refusal } from '../../refusals.ts'
import type { CanonicalEvent, ContractEvent } from '../events.ts'

/** `stripe`, `workos`, `paddle`, `standard`; a named endpoint is `standard-{name}`. It is stored with its events. */
export type SourceName = string

/** How far a delivery's timestamp may be from the current time, in either direction. */
export const TOLERANCE_SECONDS = 300

/** The limit for the body of a delivery, as for every request. */
export const MAX_BODY_BYTES = 64 * 1024

export interface Delivery {
  readonly headers: Headers
  /** The received bytes: the signature covers them. */
  readonly body: Uint8Array
  /** Epoch milliseconds. */
  readonly now: number
}

/**
 * Why a delivery is refused. It is not stored.
 *
 * - `body_too_large`, `signature_missing`, `signature_malformed`: before anything is computed
 * - `signature_invalid`: forged, altered, or made with a secret that is not configured
 * - `timestamp_stale`, `timestamp_future`: the signature is valid, but not recent; reported only for valid ones
 */
export type VerifyReason =
  | 'body_too_large'
  | 'signature_missing'
  | 'signature_malformed'
  | 'signature_invalid'
  | 'timestamp_stale'
  | 'timestamp_future'

/** The envelope of a signed body. An event without an id is stored by its digest. */
export interface Envelope {
  /** The sender's own id, the same in every attempt to deliver it. */
  readonly id: string | undefined
  /** `undefined`: it has none that can be displayed. */
  readonly type: string | undefined
  /** RFC 3339 in UTC, with milliseconds. */
  readonly occurredAt: string
  /** The parsed body; `undefined`: it is not JSON. */
  readonly payload: unknown
  /** The system that sent it, of several behind one endpoint. */
  readonly system?: string
  /** The person behind it, as the source names people. */
  readonly person?: string
}

/** A stored event, with everything that `parse` needs. `source` and `id` identify it. */
export interface ReceivedEvent extends Envelope {
  readonly source: SourceName
  readonly id: string
  readonly type: string
  /** SHA-256 of the body's bytes, hex. */
  readonly digest: string
  /** Who requested the query, if the source did not send it. */
  readonly askedBy?: string
}

/**
 * Why an event has no meaning here. All go to quarantine, where an operator sees them.
 *
 * - `unknown_type`: an unknown type
 * - `payload_invalid`: does not match its type
 * - `test_mode`: from a test mode that does not count for this source
 * - `event_id_reused`: another event has its id
 * - `refetch_unavailable`: the event does not contain enough, and there is no API key to fetch the rest
 * - `refetch_refused`: the API does not accept the key, or does not know the object
 * - `refetch_failed`: unknown right now; the cron parses it again
 * - `apply_failed`: parsed, but an effect outside the database failed; the cron retries it
 */
export type ParseReason =
  | 'unknown_type'
  | 'payload_invalid'
  | 'test_mode'
  | 'event_id_reused'
  | 'refetch_unavailable'
  | 'refetch_refused'
  | 'refetch_failed'
  | 'apply_failed'

/** An event's meaning, or why it has none. */
export type Parsed = { readonly ok: true; readonly value: readonly CanonicalEvent[] } | Unreadable

export interface Unreadable {
  readonly ok: false
  readonly reason: ParseReason
  /** The place in its payload. */
  readonly detail?: string
  /** Restrictions that can be read anyway. */
  readonly ends?: ContractEvent
}

export interface Source {
  readonly name: SourceName
  /** Whether the id alone identifies an event, as where one event has a form for each API version. */
  readonly idIsEnough: boolean
  verify(delivery: Delivery): Promise<Result<Envelope, VerifyReason>>
  /**
   * The event's meaning, which can have several parts, in the order of their application.
   *
   * @param now - epoch milliseconds before any fetch: fetched data is at least as new
   */
  parse(event: ReceivedEvent, now: number): Promise<Parsed>
  /** The current state of the source, one page per call; absent if it cannot be queried. */
  list?(
    cursor: string | undefined,
    now: number,
  ): Promise<Result<Listed, 'refetch_failed' | 'source_without_key'>>
  /** The meaning of one entry of an exported list, like that of an event. */
  fromList?(entry: unknown, now: number): Parsed
}

/** A page of a source's current state. */
export interface Listed {
  readonly checked: number
  readonly entries: readonly { readonly about: string; readonly parsed: Parsed }[]
  readonly next: string | undefined
}

/** The outcome of an event. */
export interface Settled {
  readonly event_id: string
  readonly state: InboxRow['state']
  readonly problem: string | null
  /** More about the problem: a name, or the place in the payload. */
  readonly detail: string | null
  /** The version of the documents with its effect; `null`: it changed nothing. */
  readonly version: number | null
  /** Whether it was already settled. */
  readonly duplicate: boolean
}

/** The interface of the inbox, which lives in a Durable Object. */
export interface InboxStub {
  /** Applies a stored event; or reports that this is impossible right now, and the cron does it later. */
  deliver(event: ReceivedEvent, parsed: Parsed): Promise<Result<Settled, Refusal>>
}
