/**
 * Sends an event for each minted token to a queue, beside the response and never before it: a full, slow or broken queue
 * costs events, which are counted, and nothing else.
 *
 * The events of an isolate within `COLLECT_MS` go in one batch, because a send costs a large part of a refresh's CPU time: N
 * events in a batch cost 1/N of it each. The trade-off: if an isolate is evicted, the events of that time are lost and not
 * counted. The request that opens a batch waits and sends in its own `waitUntil`, and the others only add to it,
 * because a promise of one request must not be awaited in another. If the opener was ended, a later request sends.
 */
import type { DroppedEvent, MintedEvent } from '../../core/mint_event.ts'
import { MINT_EVENT_FORMAT } from '../../core/names.ts'
import type { MintLogMessage, MintLogQueue } from '../config.ts'

const COLLECT_MS = 50
/** If a batch is still open after this long, the platform has ended the request that opened it. */
const ORPHANED_MS = 1_000
/** A batch without a result after this long counts as dropped. It may still arrive: the consumer stores a `jti` once. */
const SEND_TIMEOUT_MS = 10_000
/** How many events an isolate holds at a time, collected or being sent, at about a KiB each. */
const MAX_IN_FLIGHT = 500
/** A queue takes 100 messages and 256 KB per batch, and 128 KB per message, overhead included. */
const MAX_BATCH_MESSAGES = 100
const MAX_BATCH_BYTES = 240_000
const MAX_MESSAGE_BYTES = 120_000
/** The longest JSON form of one character: `\u0000`. */
const MAX_BYTES_PER_CHARACTER = 6
/** The names of the members, the numbers, and short enumerated values. */
const FRAME_BYTES = 400

export interface MintLogLimits {
  readonly collectMs: number
  readonly timeoutMs: number
  readonly maxInFlight: number
}

/**
 * For the log line: this event is lost, or earlier ones are and the queue has not received their number yet.
 */
export type MintLogWarning = 'mint_log_dropped' | 'mint_log_untold'

interface Batch {
  /** Epoch milliseconds. */
  readonly openedAt: number
  readonly events: MintedEvent[]
  /** An upper bound of their size as JSON. */
  bytes: number
}

interface Sending {
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** How many mint events it contains. */
  readonly events: number
  /** How many minted tokens are not reported if it fails. */
  readonly count: number
}

export class MintLog {
  readonly #queue: MintLogQueue
  readonly #environment: string
  readonly #clock: () => number
  readonly #limits: MintLogLimits
  /** The open batch. The request that removes it sends it. */
  #open: Batch | undefined
  /** Oldest first. */
  readonly #inFlight = new Set<Sending>()
  /** Events that are collected or being sent. */
  #held = 0
  /** Events that were dropped since the last report to the queue. */
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
   * Adds an event to a batch, and never throws.
   *
   * @param defer - keeps the request alive until the batch is sent
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

  /** Does nothing if another request has sent it. */
  async #sendBatch(batch: Batch): Promise<void> {
    if (this.#open !== batch) return
    this.#open = undefined
    const { length } = batch.events
    const messages = batch.events.map((body): MintLogMessage => ({ body, contentType: 'json' }))
    if (await this.#send(messages, length, length)) await this.#tellDropped()
  }

  /** The queue has just accepted a batch, so it may also accept the number of dropped events. */
  async #tellDropped(): Promise<void> {
    const count = this.#dropped
    if (count === 0) return
    // Reset before it is sent, so that two requests do not report the same.
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
   * @param events - how many of the messages are mint events
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

  /** Once per batch, so that one that fails after it counted as dropped is not counted twice. */
  #settle(sending: Sending, dropped: number): void {
    if (!this.#inFlight.delete(sending)) return
    this.#held -= sending.events
    this.#dropped += dropped
  }

  /**
   * Checked when the next event arrives: a request that the platform has ended has no timer, and its batch must not take up
   * space for ever.
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
