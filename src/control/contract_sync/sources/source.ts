/**
 * What another system says, and how: the interface that every source of webhooks stands behind. Types, bounds and no I/O.
 *
 * A source does two things. `verify` says whether a delivery is what its sender signed, just now; `parse` says what the
 * event means, in our words but with the other system's names, which mappings resolve later (`apply/resolve.ts`). Neither
 * writes anything: inbox, order and effects are the same for all. Sources that can be asked how things are have `list`;
 * sources whose state can be exported have `fromList`.
 */
import type { Result } from '../../../core/result.ts'
import type { InboxRow } from '../../db/rows.ts'
import type { Refusal } from '../../refusals.ts'
import type { CanonicalEvent, ContractEnd } from '../events.ts'

/** `stripe`, `workos`, `paddle`, `standard`; a named endpoint is `standard-{name}`. It is stored with what it says. */
export type SourceName = string

/** How far a delivery's timestamp may be from our clock, either way. */
export const TOLERANCE_SECONDS = 300

/** The longest body of a delivery, as of every request. */
export const MAX_BODY_BYTES = 64 * 1024

export interface Delivery {
  readonly headers: Headers
  /** As it came, byte for byte: the signature is over it. */
  readonly body: Uint8Array
  /** Epoch milliseconds. */
  readonly now: number
}

/**
 * Why a delivery is refused. Nothing of it is kept.
 *
 * - `body_too_large`, `signature_missing`, `signature_malformed`: before anything is computed
 * - `signature_invalid`: forged, altered, or made with a secret that we do not have
 * - `timestamp_stale`, `timestamp_future`: the signature is good, but not of now; only said where it is good
 */
export type VerifyReason =
  | 'body_too_large'
  | 'signature_missing'
  | 'signature_malformed'
  | 'signature_invalid'
  | 'timestamp_stale'
  | 'timestamp_future'

/** What the envelope of a signed body says. Without an id, the event is kept by its digest. */
export interface Envelope {
  /** The sender's own, the same in every attempt to deliver it. */
  readonly id: string | undefined
  /** `undefined`: it has none that can be shown. */
  readonly type: string | undefined
  /** RFC 3339 in UTC, with milliseconds. */
  readonly occurredAt: string
  /** The parsed body; `undefined`: it is no JSON. */
  readonly payload: unknown
  /** Which of several systems behind one endpoint it is from. */
  readonly system?: string
  /** Who was behind it, as the source names people. */
  readonly person?: string
}

/** A kept event: all that `parse` needs is in it. `source` and `id` tell it from every other. */
export interface ReceivedEvent extends Envelope {
  readonly source: SourceName
  readonly id: string
  readonly type: string
  /** SHA-256 of the body's bytes, hex. */
  readonly digest: string
  /** Who had the source asked, where it has not told by itself. */
  readonly askedBy?: string
}

/**
 * Why an event has no meaning here. All are for the quarantine, where an operator sees them.
 *
 * - `unknown_type`: nothing that we know of
 * - `payload_invalid`: not what its type promises
 * - `test_mode`: of a test mode that this source is not allowed to speak for
 * - `refetch_unavailable`: the event does not tell enough, and there is no API key to ask for the rest
 * - `refetch_refused`: the API does not accept our key, or does not know the thing
 * - `refetch_failed`: cannot tell right now; parsed again by the cron
 * - `apply_failed`: understood, but what it asks for beside our rows could not be done; the same
 */
export type ParseReason =
  | 'unknown_type'
  | 'payload_invalid'
  | 'test_mode'
  | 'refetch_unavailable'
  | 'refetch_refused'
  | 'refetch_failed'
  | 'apply_failed'

/** An event's meaning, or why it has none. */
export type Parsed = { readonly ok: true; readonly value: readonly CanonicalEvent[] } | Unreadable

export interface Unreadable {
  readonly ok: false
  readonly reason: ParseReason
  /** Where its payload is not as it should be. */
  readonly detail?: string
  /** What it takes away all the same: that can be read. */
  readonly ends?: ContractEnd
}

export interface Source {
  readonly name: SourceName
  /** Whether an id is the same event whatever else its body says, as where one event has a form for each API version. */
  readonly idIsEnough: boolean
  verify(delivery: Delivery): Promise<Result<Envelope, VerifyReason>>
  /**
   * The event's meaning, which may be several things, in the order in which they are to be applied.
   *
   * @param now - epoch milliseconds at the beginning: what is fetched is true as of then
   */
  parse(event: ReceivedEvent, now: number): Promise<Parsed>
  /** How things are at the source, a page at a time; absent where it cannot be asked. */
  list?(
    cursor: string | undefined,
    now: number,
  ): Promise<Result<Listed, 'refetch_failed' | 'source_without_key'>>
  /** What one entry of an exported list means: as an event would tell it. */
  fromList?(entry: unknown, now: number): Parsed
}

/** A page of what a source says now. */
export interface Listed {
  readonly checked: number
  readonly entries: readonly { readonly about: string; readonly parsed: Parsed }[]
  readonly next: string | undefined
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
  /** Applies a kept event; or says that nobody can right now: the cron does it then. */
  deliver(event: ReceivedEvent, parsed: Parsed): Promise<Result<Settled, Refusal>>
}
