/**
 * The only writer of an environment's documents: the logic inside its Durable Object. Does I/O, through its options.
 *
 * Every write goes through `#put`, one run at a time, so that an older version never overwrites a newer one. Changes that
 * arrive meanwhile are merged into the next run. KV accepts one write per second for a key, failures wait longer each time,
 * and a rebuild lets new changes go first between two groups of writes.
 */
import { LruMap } from '../../core/lru.ts'
import type { DocumentsKV, RebuildProgress } from '../config.ts'
import type { Database } from '../db/client.ts'
import { readBack } from './read_back.ts'
import {
  attemptsOf,
  enrol,
  type Failure,
  keysAfter,
  nextRetry,
  notePublished,
  type Projected,
  pendingKeys,
  projectKeys,
} from './store.ts'

/** KV accepts one write per second for a key. */
export const KEY_INTERVAL_MS = 1_000
/** Documents written in one invocation, out of 1,000 operations; the rest are for D1 and bulk reads. */
const INVOCATION_DOCUMENTS = 900
/** Documents read and written together. */
const RUN_DOCUMENTS = 200
/** A rebuild checks for new changes after this many documents. */
const GROUP_DOCUMENTS = 100
const RETRY_MS = { first: 1_000, longest: 60_000 } as const
/** Documents read back by one repair. */
const READ_BACK_DOCUMENTS = 500
/** The number of keys whose last write is remembered. */
const REMEMBERED_KEYS = 20_000

/** What survives an eviction of the Durable Object. */
export interface PublisherMemory {
  get<T>(name: string): Promise<T | undefined>
  put(name: string, value: unknown): Promise<void>
  /** Calls `wake` at that time, or earlier if an earlier call is scheduled. */
  wakeAt(at: number): Promise<void>
}

export interface PublisherOptions {
  readonly environment: string
  readonly db: Database
  readonly kv: DocumentsKV
  /** Between two writes of a key. */
  readonly keyIntervalMs: number
  readonly clock: () => number
  readonly memory: PublisherMemory
  readonly warn: (event: 'publish_failed' | 'repaired', documents: number) => void
}

/** `newer`: a later version is already written. */
type PutResult = 'written' | 'newer' | 'failed'

interface Rebuild extends RebuildProgress {
  /** The latest version when it started; later ones are published as usual. */
  readonly head: number
  readonly cursor: string
}

export class EnvironmentPublisher {
  readonly #options: PublisherOptions
  readonly #last = new LruMap<string, { version: number; at: number }>(REMEMBERED_KEYS)
  #running: Promise<void> | undefined
  #again = false
  /** How many documents the current invocation may still write. */
  #budget = 0

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Publishes what is pending; returns when that is done, even if another call started it. */
  async publish(): Promise<void> {
    this.#again = true
    await this.#exclusively(() => this.#drain())
  }

  /** Starts to write every document again; continues by itself, from where it stopped. */
  async rebuild(): Promise<void> {
    const { db, environment, clock, memory } = this.#options
    await this.#exclusively(async () => {
      const started_at = this.#instant()
      const { total, head } = await enrol(db, environment, started_at)
      await memory.put('rebuild', {
        cursor: '',
        head,
        total,
        written: 0,
        started_at,
        finished_at: null,
      })
      await memory.wakeAt(clock())
    })
  }

  async progress(): Promise<RebuildProgress | null> {
    const rebuild = await this.#options.memory.get<Rebuild>('rebuild')
    if (!rebuild) return null
    const { cursor: _, head: __, ...progress } = rebuild
    return progress
  }

  /** Does what is due: retries, deferred writes, the next chunk of a rebuild. */
  async wake(): Promise<void> {
    this.#again = true
    await this.#exclusively(async () => {
      await this.#drain()
      await this.#rebuildChunk()
    })
  }

  /**
   * Reads the next documents back, and rewrites those that are wrong or missing in KV. Also wakes an unfinished rebuild,
   * because the platform gives up an alarm that has failed several times.
   */
  async repair(): Promise<void> {
    const { clock, memory } = this.#options
    this.#again = true
    await this.#exclusively(async () => {
      await this.#drain()
      if (await this.#unfinished()) await memory.wakeAt(clock())
      await this.#readBack()
    })
  }

  /** One at a time: a call during another one waits, and then checks again. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    while (this.#running) await this.#running
    this.#budget = INVOCATION_DOCUMENTS
    this.#running = work()
    try {
      await this.#running
    } finally {
      this.#running = undefined
    }
  }

  /** A running rebuild publishes what changed before it started. */
  async #drain(): Promise<void> {
    const { db, environment, clock, memory, keyIntervalMs } = this.#options
    const since = (await this.#unfinished())?.head ?? 0
    let deferredUntil: number | undefined
    while (this.#again && this.#budget > 0) {
      this.#again = false
      const limit = Math.min(RUN_DOCUMENTS, this.#budget)
      const keys = await pendingKeys(db, environment, this.#instant(), since, limit)
      const due = keys.filter((key) => {
        const free = (this.#last.get(key)?.at ?? Number.NEGATIVE_INFINITY) + keyIntervalMs
        if (free <= clock()) return true
        deferredUntil = Math.min(deferredUntil ?? free, free)
        return false
      })
      if (due.length === 0) continue
      await this.#write(await projectKeys(db, environment, due))
      if (keys.length === limit) this.#again = true
    }
    if (this.#again) deferredUntil = clock()
    const retry = await nextRetry(db, environment, since)
    const next = [deferredUntil, retry === null ? undefined : Date.parse(retry)].filter(
      (at) => at !== undefined,
    )
    if (next.length > 0) await memory.wakeAt(Math.max(Math.min(...next), clock()))
  }

  /** Writes documents and records the outcome. */
  async #write(projected: readonly Projected[]): Promise<void> {
    await this.#note(projected, await this.#putAll(projected))
  }

  #putAll(projected: readonly Projected[]): Promise<readonly PutResult[]> {
    this.#budget -= projected.length
    return Promise.all(projected.map((document) => this.#put(document)))
  }

  async #note(projected: readonly Projected[], results: readonly PutResult[]): Promise<void> {
    const { db, warn } = this.#options
    const written = projected.filter((_, index) => results[index] !== 'failed')
    const lost = projected.filter((_, index) => results[index] === 'failed')
    await notePublished(db, written, await this.#failures(lost), this.#instant())
    if (lost.length > 0) warn('publish_failed', lost.length)
  }

  /** The only place that writes to KV. */
  async #put({ key, version, text }: Projected): Promise<PutResult> {
    const last = this.#last.get(key)
    if (last && last.version > version) return 'newer'
    this.#last.set(key, { version, at: this.#options.clock() })
    try {
      await this.#options.kv.put(key, text)
      return 'written'
    } catch {
      return 'failed'
    }
  }

  async #failures(lost: readonly Projected[]): Promise<Failure[]> {
    if (lost.length === 0) return []
    const { db, clock } = this.#options
    const attempts = await attemptsOf(
      db,
      lost.map(({ key }) => key),
    )
    return lost.map(({ key }) => {
      const pause = Math.min(RETRY_MS.first * 2 ** (attempts.get(key) ?? 0), RETRY_MS.longest)
      return { key, error: 'kv_failed', retry_at: new Date(clock() + pause).toISOString() }
    })
  }

  async #unfinished(): Promise<Rebuild | undefined> {
    const rebuild = await this.#options.memory.get<Rebuild>('rebuild')
    return rebuild?.finished_at === null ? rebuild : undefined
  }

  async #rebuildChunk(): Promise<void> {
    const { db, environment, memory, clock } = this.#options
    const rebuild = await this.#unfinished()
    if (!rebuild) return
    const size = this.#budget - GROUP_DOCUMENTS
    const keys = size > 0 ? await keysAfter(db, environment, rebuild.cursor, size) : []
    const projected = await projectKeys(db, environment, keys)
    // The outcome of one group is recorded while the next one is written.
    let noted = Promise.resolve()
    for (let start = 0; start < projected.length; start += GROUP_DOCUMENTS) {
      const group = projected.slice(start, start + GROUP_DOCUMENTS)
      const [results] = await Promise.all([this.#putAll(group), noted])
      noted = this.#note(group, results)
      if (this.#again) {
        await noted
        await this.#drain()
      }
    }
    await noted
    const finished = size > 0 && keys.length < size
    await memory.put('rebuild', {
      ...rebuild,
      cursor: keys.at(-1) ?? rebuild.cursor,
      written: rebuild.written + projected.length,
      finished_at: finished ? this.#instant() : null,
    })
    await memory.wakeAt(clock())
  }

  async #readBack(): Promise<void> {
    const { db, kv, environment, memory, clock, warn } = this.#options
    // All of them may have to be written again, and the catalog.
    const size = Math.min(READ_BACK_DOCUMENTS, this.#budget - 1)
    if (size <= 0) return
    const cursor = (await memory.get<string>('read_back')) ?? ''
    const keys = await keysAfter(db, environment, cursor, size)
    await memory.put('read_back', keys.length < size ? '' : (keys.at(-1) ?? ''))
    const catalog = `catalog:${environment}`
    const wanted = keys.includes(catalog) ? keys : [catalog, ...keys]
    const wrong = await readBack({ db, kv, environment, now: clock() }, wanted)
    if (wrong.length === 0) return
    await this.#write(wrong)
    warn('repaired', wrong.length)
  }

  #instant(): string {
    return new Date(this.#options.clock()).toISOString()
  }
}
