/**
 * The inbox: what was kept is understood, decided with whatever else has come in, and committed with its effect. The logic
 * inside its Durable Object. Does I/O, through what it is handed.
 *
 * One object applies what comes in, so that contract sync never races with itself for the head of the audit chain. There
 * is one way to fail: a group that cannot be committed is split until one event is left, which then takes away what it
 * takes away, or is quarantined.
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

/** Events committed together: a batch of some 300 statements. */
const GROUP = 50
/** Events that waited, and come along with one commit; the rest of them come with the next. */
const MAX_FOLLOWERS = 100
/** Events that wait for their turn; what comes then is left to the cron. */
const MAX_QUEUED = 500
/** Contracts of an earlier version looked at by one run of the cron. */
const ADOPTED = 25
/** Events tried again by one run of the cron. */
const RETRIED = 100
/** What was received is on its way for so long. */
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
  /** Whether it is kept of every contract what its source said. */
  #adopted = false

  constructor(options: InboxOptions) {
    this.#options = options
  }

  /**
   * Applies a kept event, together with whatever else is waiting; or says that nobody can right now.
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

  /** Goes on with what was left behind, could not be understood for a moment, or waits for what is there by now. */
  async retry(): Promise<void> {
    const { db, clock, sources } = this.#options
    const before = new Date(clock() - ON_ITS_WAY_MS).toISOString()
    await closeRejected(db, new Date(clock()).toISOString())
    if (!this.#adopted) this.#adopted = (await adopt(db, sources, clock(), ADOPTED)) < ADOPTED
    const parsed: ParsedEvent[] = []
    for (const row of await retriable(db, before, RETRIED)) parsed.push(await this.#parse(eventOf(row)))
    // Together, as one by one they would be more queries than an invocation has.
    await Promise.all(this.#enqueue(parsed))
  }

  async #parse(event: ReceivedEvent, told?: Parsed): Promise<ParsedEvent> {
    const parsed = await this.#understood(event, told)
    return { event, parsed, meaning: parsed.ok ? await sha256Hex(sorted(parsed.value)) : null }
  }

  /** Sessions that have ended are denied before anything is noted; those of a repeated event again, which does no harm. */
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
        // More may wait than come along at once.
        if (followers.length === MAX_FOLLOWERS)
          this.#queue.unshift(...(await this.#followers(group).catch(() => [])))
      }
    } finally {
      this.#running = false
    }
  }

  /** What waits for one of the contracts that these events are about. */
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
      // Nothing is wrong with them: the cron goes on.
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

  /** Keeps an event for which nothing was done. */
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

/** Under what an event is known. */
const nameOf = ({ source, id }: ReceivedEvent): string => `${source} ${id}`
