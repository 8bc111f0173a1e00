/**
 * Tells a queue what was minted, beside the answer and never before it: a full, slow or broken queue costs an event,
 * which is counted, and nothing else.
 *
 * One send a mint, in the `waitUntil` of its own request. A batch of several would be cheaper, but a promise of one
 * request must not be awaited in another, and what an isolate collects is gone with it.
 */
import {
  type DroppedEvent,
  MINT_EVENT_FORMAT,
  type MintEvent,
  type MintedEvent,
} from '../../core/mint_event.ts'
import type { MintLogQueue } from '../config.ts'

/** A send that has said nothing for so long counts as dropped. It may yet arrive: the consumer takes a `jti` once. */
const SEND_TIMEOUT_MS = 10_000
/** Sends that an isolate has under way at a time, at a KiB or so each. */
const MAX_IN_FLIGHT = 500
/** A queue takes 128 KB a message, its own part of it included. */
const MAX_MESSAGE_BYTES = 120_000
/** A flag's key has 63 characters at most, and the rest of an event is less than 20 KiB, so that so many always fit. */
const FLAGS_THAT_FIT = 1_000

export interface MintLogLimits {
  readonly timeoutMs: number
  readonly maxInFlight: number
}

/**
 * What a log line says of it: this event is lost, or earlier ones are, of which the queue has not heard yet.
 */
export type MintLogWarning = 'mint_log_dropped' | 'mint_log_untold'

interface Sending {
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** How many minted tokens are untold if this fails. */
  readonly count: number
}

export class MintLog {
  readonly #queue: MintLogQueue
  readonly #environment: string
  readonly #clock: () => number
  readonly #limits: MintLogLimits
  /** Oldest first. */
  readonly #inFlight = new Set<Sending>()
  /** Events that were dropped since the queue was last told. */
  #dropped = 0

  constructor(
    queue: MintLogQueue,
    environment: string,
    clock: () => number,
    limits: MintLogLimits = { timeoutMs: SEND_TIMEOUT_MS, maxInFlight: MAX_IN_FLIGHT },
  ) {
    this.#queue = queue
    this.#environment = environment
    this.#clock = clock
    this.#limits = limits
  }

  /**
   * Starts to send an event, and never throws.
   *
   * @param defer - keeps the request alive for what is still to be done
   */
  record(event: MintedEvent, defer: (work: Promise<void>) => void): MintLogWarning | undefined {
    this.#giveUpLate()
    const untold = this.#dropped > 0
    const isFull = this.#inFlight.size >= this.#limits.maxInFlight
    const arrives = isFull || isTooLarge(event) ? undefined : this.#send(event, 1)
    if (!arrives) {
      this.#dropped += 1
      return 'mint_log_dropped'
    }
    defer(this.#finish(arrives))
    return untold ? 'mint_log_untold' : undefined
  }

  async #finish(arrives: Promise<boolean>): Promise<void> {
    if (await arrives) await this.#tellDropped()
  }

  /** The queue has just taken an event, so that it may also take the number of those that it did not. */
  async #tellDropped(): Promise<void> {
    const count = this.#dropped
    if (count === 0) return
    // Taken away before it is told, so that two requests do not tell the same.
    this.#dropped = 0
    const event: DroppedEvent = {
      type: 'token.dropped',
      format: MINT_EVENT_FORMAT,
      env: this.#environment,
      count,
      at: this.#clock(),
    }
    const arrives = this.#send(event, count)
    if (arrives) await arrives
    else this.#dropped += count
  }

  /**
   * @param count - how many are dropped if it does not arrive
   * @returns whether it did; nothing where the queue threw at once
   */
  #send(event: MintEvent, count: number): Promise<boolean> | undefined {
    let sent: Promise<unknown>
    try {
      sent = this.#queue.send(event, { contentType: 'json' })
    } catch {
      return undefined
    }
    const sending: Sending = { startedAt: this.#clock(), count }
    this.#inFlight.add(sending)
    return this.#settle(sending, sent)
  }

  async #settle(sending: Sending, sent: Promise<unknown>): Promise<boolean> {
    try {
      await sent
      this.#inFlight.delete(sending)
      return true
    } catch {
      if (this.#inFlight.delete(sending)) this.#dropped += sending.count
      return false
    }
  }

  /**
   * By the clock, when the next event comes: a timer for every send would cost more than the rest of this, and a request
   * that the platform has ended has none, though its send must not hold a place for ever.
   */
  #giveUpLate(): void {
    const latest = this.#clock() - this.#limits.timeoutMs
    for (const sending of this.#inFlight) {
      if (sending.startedAt > latest) return
      this.#inFlight.delete(sending)
      this.#dropped += sending.count
    }
  }
}

const isTooLarge = (event: MintedEvent): boolean =>
  event.flags.length > FLAGS_THAT_FIT &&
  new TextEncoder().encode(JSON.stringify(event)).byteLength > MAX_MESSAGE_BYTES
