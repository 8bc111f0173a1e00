/**
 * One refresh and all requests for it: the first is sent to upstream, those that arrive meanwhile wait for its answer, those
 * within the reuse interval get it again.
 *
 * The answer is stored before anything else is done with it. It is also kept in memory, in case the store fails. A fault of
 * the gateway never withholds upstream's answer: it only costs a later replay.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { within } from '../../core/within.ts'
import type {
  NoAnswer,
  RawAnswer,
  ReplaysExhausted,
  SessionAnswer,
  SessionCall,
  SessionOutcome,
} from './call.ts'
import { goodUntil } from './final.ts'
import { seal, sealingKey, unseal } from './seal.ts'
import { send } from './send.ts'

/** The part of a Durable Object's storage that is used here. */
export interface SessionStore {
  get(key: string): unknown
  put(key: string, value: unknown): Promise<void>
  setAlarm(at: number): Promise<void>
  deleteAll(): Promise<void>
}

interface StoredAnswer {
  /** Epoch milliseconds. */
  readonly until: number
  readonly sealed: Uint8Array
}

interface Kept {
  readonly answer: RawAnswer
  readonly until: number
}

const ANSWER = 'answer'
/** How long a read or a write of the store may take. */
const STORE_WAIT_MS = 1500
/** How often one answer is replayed. A client needs a few; each replay is signed and logged. */
export const MAX_REPLAYS = 20
/** When a failed deletion is retried. */
const DELETE_AGAIN_MS = 60_000

interface Done extends Omit<SessionAnswer, 'origin'> {
  /** Until when the answer is given again, if it is one that was given before. */
  readonly replayedUntil?: number
}

type Running = Promise<Result<Done, NoAnswer>>

export class Session {
  readonly #store: SessionStore
  readonly #fetcher: typeof fetch
  readonly #clock: () => number
  #running: Running | undefined
  /** How often the answer that is kept until then was given again. Nothing of it is stored: an object that is evicted was idle. */
  #replays = { until: 0, count: 0 }
  #kept: Kept | undefined

  constructor(store: SessionStore, fetcher: typeof fetch, clock: () => number) {
    this.#store = store
    this.#fetcher = fetcher
    this.#clock = clock
  }

  async exchange(call: SessionCall): Promise<SessionOutcome> {
    const joined = this.#running !== undefined
    this.#running ??= this.#run(call).finally(() => {
      this.#running = undefined
    })
    // A client that has waited long enough returns later; the request continues without it.
    const result = await within(call.patienceMs, this.#running)
    if (result === undefined) return err('upstream_timeout')
    if (!result.ok) return result
    const { answer, unstored, replayedUntil } = result.value
    if (replayedUntil === undefined) return ok({ answer, unstored, origin: joined ? 'joined' : 'asked' })
    return this.#countReplay(replayedUntil) ?? ok({ answer, unstored, origin: 'replayed' })
  }

  #countReplay(until: number): ReplaysExhausted | undefined {
    if (this.#replays.until !== until) this.#replays = { until, count: 0 }
    this.#replays.count += 1
    if (this.#replays.count <= MAX_REPLAYS) return undefined
    const retryAfterSeconds = Math.max(1, Math.ceil((until - this.#clock()) / 1000))
    return { ok: false, reason: 'replays_exhausted', retryAfterSeconds }
  }

  /** The alarm deletes everything when the interval is over. One that is too early is set again. */
  async forget(): Promise<void> {
    const until = this.#kept?.until ?? (await this.#stored())?.until
    if (until !== undefined && this.#clock() < until) return this.#store.setAlarm(until)
    this.#kept = undefined
    try {
      await this.#store.deleteAll()
    } catch {
      await this.#store.setAlarm(this.#clock() + DELETE_AGAIN_MS)
    }
  }

  async #run(call: SessionCall): Running {
    const reuses = call.reuseSeconds > 0
    const key = reuses ? await sealingKey(call.refreshToken, call.name).catch(() => undefined) : undefined
    const kept = reuses ? await this.#recall(key) : undefined
    if (kept) return ok({ answer: kept.answer, replayedUntil: kept.until, unstored: false })

    const received = (answer: RawAnswer) => {
      const until = reuses ? goodUntil(answer, call.reuseSeconds) : undefined
      this.#kept = until === undefined ? undefined : { answer, until }
    }
    const sent = await send(call, received, this.#fetcher, this.#clock)
    if (!sent.ok) return sent
    const answer = sent.value
    const fresh = this.#kept as Kept | undefined
    if (!fresh) return ok({ answer, unstored: false })
    const stored = key !== undefined && (await this.#keep(answer, fresh.until, key))
    return ok({ answer, unstored: !stored })
  }

  async #recall(key: CryptoKey | undefined): Promise<Kept | undefined> {
    const now = this.#clock()
    if (this.#kept) return now < this.#kept.until ? this.#kept : undefined
    const stored = key && (await this.#stored())
    const answer = stored && now < stored.until ? await unseal(stored.sealed, key) : undefined
    return answer && stored && { answer, until: stored.until }
  }

  async #stored(): Promise<StoredAnswer | undefined> {
    try {
      return (await within(STORE_WAIT_MS, this.#store.get(ANSWER))) as StoredAnswer | undefined
    } catch {
      return undefined
    }
  }

  /** The answer and the alarm that deletes it are written in one transaction: neither exists without the other. */
  async #keep(answer: RawAnswer, until: number, key: CryptoKey): Promise<boolean> {
    try {
      const stored: StoredAnswer = { until, sealed: await seal(answer, key) }
      const put = this.#store.put(ANSWER, stored)
      const alarm = this.#store.setAlarm(until)
      // However late it fails: an answer without an alarm must not stay.
      alarm.catch(() => Promise.allSettled([put]).then(() => this.#store.deleteAll())).catch(() => {})
      // A store that hangs counts as failed.
      return (await within(STORE_WAIT_MS, Promise.all([put, alarm]))) !== undefined
    } catch {
      return false
    }
  }
}
