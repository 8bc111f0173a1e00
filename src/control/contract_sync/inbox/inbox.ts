/**
 * The inbox: stored events are parsed, decided together with others that have arrived, and committed with their effect. The
 * logic inside its Durable Object. Does I/O, through its options.
 *
 * One object applies all events, so that contract sync never races with itself for the head of the audit chain. There is one
 * failure path: a group that cannot be committed is split until one event is left, of which only the restrictions are
 * applied, or which is quarantined.
 */
import { err, ok, type Result } from '../../../core/result.ts'
import { sha256Hex } from '../../canonical.ts'
import type { InboxRow } from '../../db/rows.ts'
import type { Refusal } from '../../refusals.ts'
import { idsOf } from '../contracts/identity.ts'
import { isContractEvent } from '../events.ts'
import type { Parsed, ReceivedEvent, Settled, Source } from '../sources/source.ts'
import { quarantined } from '../verdict.ts'
import { adopt } from './adopt.ts'
import { type CommitOptions, commitGroup } from './commit.ts'
import type { DecidedEvent, ParsedEvent } from './decide.ts'
import { parseEvent } from './parse.ts'
import { closeRejected, requestApprovals } from './request_approval.ts'
import { retriable } from './retriable.ts'
import { eventOf, type Outcome, settle, settledAmong, settledOf, sorted, waitingFor } from './store.ts'

/** Events committed together: a batch of about 300 statements. */
const GROUP = 50
/** Waiting events that join one commit; the others join the next. */
const MAX_FOLLOWERS = 100
/** The length of the queue in memory; further events are left to the cron. */
const MAX_QUEUED = 500
/** Contracts of an earlier version that one run of the cron adopts. */
const ADOPTED = 25
/** Events that one run of the cron retries. */
const RETRIED = 100
/** How long a received event counts as in progress. */
const ON_ITS_WAY_MS = 15_000

export interface InboxOptions extends CommitOptions {
  readonly sources: ReadonlyMap<string, Source>
  /** Denies a session to live verification. */
  readonly deny: (environment: string, sid: string) => Promise<void>
}

interface Queued extends ParsedEvent {
  settle(result: Result<Settled, Refusal>): void
}

export class Inbox {
  readonly #options: InboxOptions
  readonly #queue: Queued[] = []
  #running = false
  /** Whether every contract has a stored snapshot of its source. */
  #adopted = false

  constructor(options: InboxOptions) {
    this.#options = options
  }

  /**
   * Applies a stored event, together with others that are waiting; or reports that this is impossible right now.
   *
   * @param told - what it means, where that is known already
   */
  async deliver(event: ReceivedEvent, told?: Parsed): Promise<Result<Settled, Refusal>> {
    if (this.#queue.length >= MAX_QUEUED) return err('busy')
    const [settled] = this.#enqueue([await this.#parse(event, told)])
    return settled ?? err('busy')
  }

  #enqueue(events: readonly ParsedEvent[]): Promise<Result<Settled, Refusal>>[] {
    const settled = events.map((event) => {
      const { promise, resolve } = Promise.withResolvers<Result<Settled, Refusal>>()
      this.#queue.push({ ...event, settle: resolve })
      return promise
    })
    if (!this.#running) void this.#run()
    return settled
  }

  /** Continues with events that were left behind, could not be parsed for a moment, or wait for something that exists by now. */
  async retry(): Promise<void> {
    const { db, clock, sources } = this.#options
    const before = new Date(clock() - ON_ITS_WAY_MS).toISOString()
    await closeRejected(db, new Date(clock()).toISOString())
    if (!this.#adopted) this.#adopted = (await adopt(db, sources, clock(), ADOPTED)) < ADOPTED
    const parsed: ParsedEvent[] = []
    for (const row of await retriable(db, before, RETRIED)) parsed.push(await this.#parse(eventOf(row)))
    // Together, because one by one they would need more queries than an invocation has.
    await Promise.all(this.#enqueue(parsed))
  }

  async #parse(event: ReceivedEvent, told?: Parsed): Promise<ParsedEvent> {
    const parsed = await this.#understood(event, told)
    return { event, parsed, meaning: parsed.ok ? await sha256Hex(sorted(parsed.value)) : null }
  }

  /** Ended sessions are denied before anything is stored; for a repeated event again, which is harmless. */
  async #understood(event: ReceivedEvent, told?: Parsed): Promise<Parsed> {
    const { sources, clock, deny } = this.#options
    try {
      const parsed = told ?? (await parseEvent(event, sources, clock()))
      for (const part of parsed.ok ? parsed.value : []) {
        if (part.type === 'session.revoked') await deny(part.environment, part.sid)
      }
      return parsed
    } catch {
      return err('apply_failed')
    }
  }

  async #run(): Promise<void> {
    this.#running = true
    try {
      while (this.#queue.length > 0) {
        const group = this.#queue.splice(0, GROUP)
        const followers = await this.#followers(group).catch(() => [])
        await this.#commitOrSplit([...group, ...followers])
        // More may be waiting than join at once.
        if (followers.length === MAX_FOLLOWERS)
          this.#queue.unshift(...(await this.#followers(group).catch(() => [])))
      }
    } finally {
      this.#running = false
    }
  }

  /** Events that wait for one of the contracts in these events. */
  async #followers(group: readonly ParsedEvent[]): Promise<Queued[]> {
    const parts = group.flatMap(({ parsed }) => (parsed.ok ? parsed.value.filter(isContractEvent) : []))
    if (parts.length === 0) return []
    const ids = await Promise.all(parts.map((part) => idsOf({ system: null, ...part })))
    const entities = [...new Set(ids.flat())].map((id) => `contract:${id}`)
    const waiting = await waitingFor(this.#options.db, entities, MAX_FOLLOWERS)
    const own = new Set(group.map(({ event }) => nameOf(event)))
    return Promise.all(
      waiting
        .map(eventOf)
        .filter((event) => !own.has(nameOf(event)))
        .map(async (event) => ({ ...(await this.#parse(event)), settle: () => {} })),
    )
  }

  async #commitOrSplit(group: readonly Queued[]): Promise<void> {
    const failure = await this.#commit(group)
    if (failure === undefined) return
    const [only, ...others] = group
    if (failure === 'busy') {
      // Nothing is wrong with them; the cron continues.
      for (const { settle } of group) settle(err('busy'))
    } else if (others.length > 0) {
      const middle = Math.ceil(group.length / 2)
      await this.#commitOrSplit(group.slice(0, middle))
      await this.#commitOrSplit(group.slice(middle))
    } else if (only && only.held === undefined && failure === 'flags_exclusive') {
      await this.#commitOrSplit([{ ...only, held: failure }])
    } else if (only) {
      only.settle(await this.#quarantine(only, failure))
    }
  }

  /** @returns why it cannot be committed: a code */
  async #commit(group: readonly Queued[]): Promise<string | undefined> {
    const { db } = this.#options
    try {
      const before = await settledAmong(
        db,
        group.map(({ event }) => event),
      )
      const firsts = new Map<string, Queued>()
      for (const one of group)
        if (!before.has(nameOf(one.event)) && !firsts.has(nameOf(one.event)))
          firsts.set(nameOf(one.event), one)
      const committed = await commitGroup([...firsts.values()], this.#options)
      if (!committed.ok) return committed.reason
      const outcomes = new Map(committed.value.map((outcome) => [nameOf(outcome.event), outcome]))
      for (const outcome of committed.value) await requestApprovals(outcome, this.#options)
      for (const one of group) one.settle(ok(this.#settled(one, firsts, outcomes, before)))
      return undefined
    } catch {
      return 'apply_failed'
    }
  }

  #settled(
    one: Queued,
    firsts: ReadonlyMap<string, Queued>,
    outcomes: ReadonlyMap<string, Outcome>,
    before: ReadonlyMap<string, InboxRow>,
  ): Settled {
    const name = nameOf(one.event)
    const outcome = outcomes.get(name)
    if (!outcome) return settledOf(before.get(name) as InboxRow, true)
    const { verdict, event, seq } = outcome
    return settledOf({ ...verdict, event_id: event.id, seq }, firsts.get(name) !== one)
  }

  /** Stores the outcome of an event without an effect. */
  async #quarantine(one: DecidedEvent | ParsedEvent, problem: string): Promise<Result<Settled, Refusal>> {
    const { db, clock } = this.#options
    const outcome = { event: one.event, meaning: one.meaning, verdict: quarantined(problem), seq: null }
    try {
      const [first, ...others] = settle(db, [outcome], new Date(clock()).toISOString())
      if (first) await db.batch([first, ...others])
      return ok(settledOf({ ...outcome.verdict, event_id: one.event.id, seq: null }, false))
    } catch {
      return err('inbox_failed')
    }
  }
}

/** The key of an event. */
const nameOf = ({ source, id }: ReceivedEvent): string => `${source} ${id}`
