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

/** Half of what is left to a request when its answer is out. What comes later than this comes once all the same. */
const SEND_TIMEOUT_MS = 10_000
/** A send that says nothing for so many of its time limits has no request any more that could. */
const ABANDONED_AFTER = 2
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
    this.#forgetAbandoned()
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
   * @param count - what is dropped if it does not arrive in time
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
    const arrived = await inTime(sent, this.#limits.timeoutMs)
    const isMine = this.#inFlight.delete(sending)
    if (!arrived && isMine) this.#dropped += sending.count
    return arrived
  }

  /** A request that the platform has ended does not say how its send went: it must not hold a place for ever. */
  #forgetAbandoned(): void {
    const latest = this.#clock() - ABANDONED_AFTER * this.#limits.timeoutMs
    for (const sending of this.#inFlight) {
      if (sending.startedAt > latest) return
      this.#inFlight.delete(sending)
      this.#dropped += sending.count
    }
  }
}

async function inTime(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), timeoutMs)
  try {
    const arrived = Promise.resolve(work).then(
      () => true,
      () => false,
    )
    return await Promise.race([arrived, late])
  } finally {
    clearTimeout(timer)
  }
}

const isTooLarge = (event: MintedEvent): boolean =>
  event.flags.length > FLAGS_THAT_FIT &&
  new TextEncoder().encode(JSON.stringify(event)).byteLength > MAX_MESSAGE_BYTES
