/**
 * Tells a queue what was minted, beside the answer and never before it: a full, slow or broken queue costs events, which
 * are counted, and nothing else.
 *
 * What an isolate mints within `COLLECT_MS` goes in one batch, as a send costs a large part of a refresh's CPU time: N
 * events in a batch cost 1/N of it each. The trade-off: an isolate that is evicted takes what it has collected in that time
 * with it, uncounted. The request that opens a batch waits and sends in its own `waitUntil`, and the others only add to it,
 * because a promise of one request must not be awaited in another. If the opener was ended, a later request sends.
 */
import type { DroppedEvent, MintedEvent } from '../../core/mint_event.ts'
import { MINT_EVENT_FORMAT } from '../../core/names.ts'
import type { MintLogMessage, MintLogQueue } from '../config.ts'

const COLLECT_MS = 50
/** The opener of a batch that is still collected after so long was ended by the platform. */
const ORPHANED_MS = 1_000
/** A batch that has said nothing for so long counts as dropped. It may yet arrive: the consumer takes a `jti` once. */
const SEND_TIMEOUT_MS = 10_000
/** Events that an isolate has collected or under way at a time, at a KiB or so each. */
const MAX_IN_FLIGHT = 500
/** A queue takes 100 messages and 256 KB a batch, and 128 KB a message, its own part of each included. */
const MAX_BATCH_MESSAGES = 100
const MAX_BATCH_BYTES = 240_000
const MAX_MESSAGE_BYTES = 120_000
/** What JSON makes of one character of a string at most: `\u0000`. */
const MAX_BYTES_PER_CHARACTER = 6
/** The members' names, the numbers, and what comes from a short list. */
const FRAME_BYTES = 400

export interface MintLogLimits {
  readonly collectMs: number
  readonly timeoutMs: number
  readonly maxInFlight: number
}

/**
 * What a log line says of it: this event is lost, or earlier ones are, of which the queue has not heard yet.
 */
export type MintLogWarning = 'mint_log_dropped' | 'mint_log_untold'

interface Batch {
  /** Epoch milliseconds. */
  readonly openedAt: number
  readonly events: MintedEvent[]
  /** At least what they take as JSON. */
  bytes: number
}

interface Sending {
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** How many minted events are under way with it. */
  readonly events: number
  /** How many minted tokens are untold if it fails. */
  readonly count: number
}

export class MintLog {
  readonly #queue: MintLogQueue
  readonly #environment: string
  readonly #clock: () => number
  readonly #limits: MintLogLimits
  /** The batch that is being collected. Who takes it away sends it. */
  #open: Batch | undefined
  /** Oldest first. */
  readonly #inFlight = new Set<Sending>()
  /** Events that are collected or under way. */
  #held = 0
  /** Events that were dropped since the queue was last told. */
  #dropped = 0

  constructor(
    queue: MintLogQueue,
    environment: string,
    clock: () => number,
    limits: Partial<MintLogLimits> = {},
  ) {
    this.#queue = queue
    this.#environment = environment
    this.#clock = clock
    this.#limits = {
      collectMs: COLLECT_MS,
      timeoutMs: SEND_TIMEOUT_MS,
      maxInFlight: MAX_IN_FLIGHT,
      ...limits,
    }
  }

  /**
   * Takes an event in, to be sent with others, and never throws.
   *
   * @param defer - keeps the request alive for what is still to be done
   */
  record(event: MintedEvent, defer: (work: Promise<void>) => void): MintLogWarning | undefined {
    this.#giveUpLate()
    const untold = this.#dropped > 0
    const bytes = bytesAtMost(event)
    if (this.#held >= this.#limits.maxInFlight || bytes > MAX_MESSAGE_BYTES) {
      this.#dropped += 1
      return 'mint_log_dropped'
    }
    this.#held += 1
    if (this.#open && this.#open.bytes + bytes > MAX_BATCH_BYTES) defer(this.#sendBatch(this.#open))
    const now = this.#clock()
    const isOpener = this.#open === undefined
    this.#open ??= { openedAt: now, events: [], bytes: 0 }
    const batch = this.#open
    batch.events.push(event)
    batch.bytes += bytes
    const isFull = batch.events.length >= MAX_BATCH_MESSAGES
    if (isFull || now - batch.openedAt >= ORPHANED_MS) defer(this.#sendBatch(batch))
    else if (isOpener) defer(this.#collect(batch))
    return untold ? 'mint_log_untold' : undefined
  }

  async #collect(batch: Batch): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#limits.collectMs))
    await this.#sendBatch(batch)
  }

  /** Unless another request has sent it. */
  async #sendBatch(batch: Batch): Promise<void> {
    if (this.#open !== batch) return
    this.#open = undefined
    const { length } = batch.events
    const messages = batch.events.map((body): MintLogMessage => ({ body, contentType: 'json' }))
    if (await this.#send(messages, length, length)) await this.#tellDropped()
  }

  /** The queue has just taken a batch, so that it may also take the number of those that it did not. */
  async #tellDropped(): Promise<void> {
    const count = this.#dropped
    if (count === 0) return
    // Taken away before it is told, so that two requests do not tell the same.
    this.#dropped = 0
    const body: DroppedEvent = {
      type: 'token.dropped',
      format: MINT_EVENT_FORMAT,
      env: this.#environment,
      count,
      at: this.#clock(),
    }
    await this.#send([{ body, contentType: 'json' }], 0, count)
  }

  /**
   * @param events - how many of the messages are minted events
   * @param count - how many are dropped if they do not arrive
   * @returns whether they did
   */
  async #send(messages: readonly MintLogMessage[], events: number, count: number): Promise<boolean> {
    const sending: Sending = { startedAt: this.#clock(), events, count }
    this.#inFlight.add(sending)
    try {
      await this.#queue.sendBatch(messages)
      this.#settle(sending, 0)
      return true
    } catch {
      this.#settle(sending, count)
      return false
    }
  }

  /** Once for each, so that a batch that fails after it was given up is dropped once. */
  #settle(sending: Sending, dropped: number): void {
    if (!this.#inFlight.delete(sending)) return
    this.#held -= sending.events
    this.#dropped += dropped
  }

  /**
   * By the clock, when the next event comes: a request that the platform has ended has no timer, though its batch must
   * not hold places for ever.
   */
  #giveUpLate(): void {
    const latest = this.#clock() - this.#limits.timeoutMs
    for (const sending of this.#inFlight) {
      if (sending.startedAt > latest) return
      this.#settle(sending, sending.count)
    }
  }
}

/** Without writing it: flags are slugs, which JSON leaves as they are, and the other strings are short. */
function bytesAtMost(event: MintedEvent): number {
  const { env, jti, upstream_jti, org, sub, sid, client, ver, request_id } = event
  let characters = 0
  for (const text of [env, jti, upstream_jti, org, sub, sid, client, ver, request_id])
    characters += text?.length ?? 0
  let flags = 0
  for (const flag of event.flags) flags += flag.length + 3
  return FRAME_BYTES + characters * MAX_BYTES_PER_CHARACTER + flags
}
