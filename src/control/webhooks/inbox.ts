/**
 * The inbox: every event once, stored in the same D1 batch as its effect. The logic inside its Durable Object. Does I/O,
 * through what it is handed.
 *
 * One object takes what comes in, so that contract sync never races with itself for the head of the audit chain, and
 * commits what has come in meanwhile together. An event that cannot be applied is kept with the reason; one that waits for
 * another is applied in the same batch as that.
 */
import { and, eq, inArray } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { systemActor } from '../auth/actor.ts'
import type { Database } from '../db/client.ts'
import { inbox } from '../db/schema.ts'
import type { Command, CommandRegistry } from '../ledger/command.ts'
import type { Ledger } from '../ledger/commit.ts'
import type { Arrival, ReceivedEvent, Settled, SourceName } from '../model/source.ts'
import type { Refusal } from '../refusals.ts'
import { contractEntities, unapplied } from './attempt.ts'
import { decideGroup, type Group, type Made, type Waiting } from './decide.ts'
import {
  eventOf,
  type Incoming,
  incomingOf,
  readyContracts,
  recordsOf,
  settledOf,
  waitingFor,
} from './inbox_rows.ts'

/** Events committed together: a batch of some 300 statements. */
const GROUP = 50
/** Events that wait for their turn; whoever comes then is asked to try again. */
const MAX_QUEUED = 500
/** Events tried again by one run of the cron. */
const RETRIED = 20

export interface InboxOptions {
  readonly db: Database
  readonly clock: () => number
  readonly ledger: Ledger
  readonly commands: CommandRegistry
  /** Denies a session to live verification. */
  readonly deny: (environment: string, sid: string) => Promise<void>
  /** The events of a source that wait, parsed again. */
  readonly parse: (source: SourceName, event: ReceivedEvent) => Promise<Arrival['parsed']>
}

interface Queued extends Incoming {
  settle(result: Result<Settled, Refusal>): void
}

export class Inbox {
  readonly #options: InboxOptions
  readonly #queue: Queued[] = []
  #running = false
  /** Whether what an earlier life left behind was looked at. */
  #resumed = false
  /** Contracts that events wait for although they could be applied. */
  readonly #unfinished: string[] = []

  constructor(options: InboxOptions) {
    this.#options = options
  }

  /** Applies the event and keeps it, together with whatever else is waiting; or says that nobody can right now. */
  async deliver(arrival: Arrival): Promise<Result<Settled, Refusal>> {
    if (this.#queue.length >= MAX_QUEUED) return err('busy')
    const denied = await this.#denied(arrival)
    const incoming = await incomingOf(denied ? arrival : { ...arrival, parsed: err('apply_failed') })
    const { promise, resolve } = Promise.withResolvers<Result<Settled, Refusal>>()
    this.#queue.push({ ...incoming, settle: resolve })
    if (!this.#running) void this.#run()
    return promise
  }

  /** Denies sessions that have ended before anything is noted; those of a repeated event again, which does no harm. */
  async #denied({ parsed }: Arrival): Promise<boolean> {
    try {
      for (const event of parsed.ok ? parsed.value : []) {
        if (event.type === 'session.revoked') await this.#options.deny(event.environment, event.sid)
      }
      return true
    } catch {
      return false
    }
  }

  async #run(): Promise<void> {
    this.#running = true
    try {
      if (!this.#resumed) await this.#resume()
      while (this.#queue.length > 0 || this.#unfinished.length > 0) {
        await this.#group(this.#queue.splice(0, GROUP), this.#unfinished.splice(0))
      }
    } finally {
      this.#running = false
    }
  }

  /** What was left to wait for something that is there, when an earlier life of this object ended. */
  async #resume(): Promise<void> {
    try {
      this.#unfinished.push(...(await readyContracts(this.#options.db)))
      this.#resumed = true
    } catch {
      // The next time, or the cron.
    }
  }

  /** Tries again what could not be understood for the moment only, and what waits for something that is there. */
  async retry(): Promise<void> {
    const { db, parse } = this.#options
    this.#resumed = false
    if (!this.#running) await this.#run()
    const rows = await db
      .select()
      .from(inbox)
      .where(and(eq(inbox.state, 'quarantined'), inArray(inbox.problem, ['refetch_failed', 'apply_failed'])))
      .orderBy(inbox.attempts, inbox.received_at)
      .limit(RETRIED)
    for (const row of rows) {
      const source = row.source as SourceName
      const event = eventOf(row)
      await this.deliver({ source, event, parsed: await parse(source, event) })
    }
  }

  async #group(group: readonly Queued[], contracts: readonly string[] = []): Promise<void> {
    try {
      const settled = await this.#commit({ incoming: group, contracts })
      if (settled.ok) {
        for (const queued of group) queued.settle(ok(settled.value.get(queued) as Settled))
      } else if (settled.reason === 'flags_exclusive' && group.length + contracts.length > 1) {
        // One of them stands in the way of the others.
        for (const contract of contracts) await this.#group([], [contract])
        for (const queued of group) await this.#group([queued])
      } else if (settled.reason === 'flags_exclusive') {
        await this.#alone(group[0], contracts, settled.reason)
      } else for (const { settle } of group) settle(settled)
    } catch {
      await this.#failed(group, contracts)
    }
  }

  /** One event that cannot be applied at all must not take the others along, nor be lost. */
  async #failed(group: readonly Queued[], contracts: readonly string[]): Promise<void> {
    if (group.length + contracts.length > 1) {
      for (const contract of contracts) await this.#group([], [contract])
      for (const queued of group) await this.#group([queued])
      return
    }
    for (const queued of group) {
      // The sender tries again, and so does the cron; what was committed is recognized then.
      queued.settle(await this.#keep(queued, 'apply_failed'))
    }
  }

  /** Commits a group, or says why it cannot be. @param follow - whether what waited for it comes along */
  async #commit(group: Group, follow = true): Promise<Result<ReadonlyMap<Incoming, Settled>, Refusal>> {
    const { db, ledger, commands } = this.#options
    let made: Pick<Made, 'value' | 'unfinished'> = { value: [], unfinished: [] }
    const command: Command<null> = {
      action: 'inbox.apply',
      reason: 'As other systems say',
      ticket: null,
      clearance: 'contract',
      decide: async (facts) => {
        const waiting: Waiting = async (entities) => (follow ? this.#waiting(entities) : [])
        const decided = await decideGroup(group, facts, commands, waiting)
        if (!decided.ok) return decided
        made = decided
        const steps = decided.value.flatMap(({ applied }) => applied.steps)
        return ok({ first: steps, edit: null, evaluation: decided.evaluation })
      },
    }
    const committed = await ledger.commit(command, systemActor('system:inbox'), {
      alongside: (seq) => recordsOf(db, made.value, seq, this.#now()),
    })
    if (!committed.ok) return committed
    this.#unfinished.push(...made.unfinished)
    return ok(settledOf(made.value, 'outcome' in committed.value ? committed.value.outcome.seq : null))
  }

  async #waiting(entities: readonly string[]): Promise<readonly Incoming[]> {
    if (entities.length === 0) return []
    const { db, parse } = this.#options
    const waiting = await waitingFor(db, entities)
    return Promise.all(
      waiting.map(async (row) => {
        const source = row.source as SourceName
        const event = eventOf(row)
        return incomingOf({ source, event, parsed: await parse(source, event) })
      }),
    )
  }

  /** What stands in the way is the event itself, or one that waited for it: then they are taken one by one. */
  async #alone(event: Queued | undefined, contracts: readonly string[], problem: string): Promise<void> {
    if (event) {
      const settled = await this.#commit({ incoming: [event] }, false)
      if (!settled.ok) return event.settle(await this.#keep(event, problem))
      event.settle(ok(settled.value.get(event) as Settled))
    }
    const entities = event ? contractEntities(event) : contracts
    for (const incoming of await this.#waiting(entities)) {
      const settled = await this.#commit({ incoming: [incoming] }, false)
      if (!settled.ok && settled.reason === 'flags_exclusive') await this.#keep(incoming, problem)
    }
  }

  /** Keeps an event for which nothing was done. */
  async #keep(incoming: Incoming, problem: string): Promise<Result<Settled, Refusal>> {
    const applied = unapplied(problem)
    const decided = [{ incoming, id: incoming.arrival.event.id, duplicate: undefined, applied }]
    const { db } = this.#options
    try {
      const [record] = recordsOf(db, decided, null, this.#now())
      if (record) await db.batch([record])
      return ok(settledOf(decided, null).get(incoming) as Settled)
    } catch {
      return err('inbox_failed')
    }
  }

  #now(): string {
    return new Date(this.#options.clock()).toISOString()
  }
}
