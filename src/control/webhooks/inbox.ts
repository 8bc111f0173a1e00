/**
 * The inbox: every event once, stored in the same D1 batch as its effect. The logic inside its Durable Object. Does I/O,
 * through what it is handed.
 *
 * One object takes what comes in, so that contract sync never races with itself for the head of the audit chain, and
 * commits what has come in meanwhile together. An event that cannot be applied is kept with the reason; one that waits for
 * another is looked at again when that is applied.
 */
import { and, eq, inArray, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { type Command, type CommandBook, systemActor } from '../changes/command.ts'
import { submit } from '../changes/submit.ts'
import type { Database } from '../db/client.ts'
import { inbox } from '../db/schema.ts'
import { documentsOf } from '../model/edit.ts'
import type { Arrival, ReceivedEvent, Settled, SourceName } from '../model/source.ts'
import type { Refusal } from '../refusals.ts'
import { decideGroup, NOTHING } from './decide.ts'
import { entityOf } from './effects.ts'
import { type Decided, digestOf, eventOf, type Incoming, recordsOf, settledOf } from './inbox_rows.ts'

/** Events committed together: a batch of some 300 statements. */
const GROUP = 50
/** Events that wait for their turn; whoever comes then is asked to try again. */
const MAX_QUEUED = 500
/** Events tried again by one run of the cron. */
const RETRIED = 20
/** Events that waited for another, looked at after it. */
const MAX_FOLLOWERS = 200

export interface InboxOptions {
  readonly db: Database
  readonly clock: () => number
  readonly environments: readonly string[]
  readonly commands: CommandBook
  /** Denies a session to live verification. */
  readonly deny: (environment: string, sid: string) => Promise<void>
  /** Tells the publishers that there is something to publish. */
  readonly wake: (environments: readonly string[]) => void
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

  constructor(options: InboxOptions) {
    this.#options = options
  }

  /** Applies the event and keeps it, together with whatever else is waiting; or says that nobody can right now. */
  async deliver(arrival: Arrival): Promise<Result<Settled, Refusal>> {
    if (this.#queue.length >= MAX_QUEUED) return err('busy')
    const digest = await digestOf(arrival.event.payload)
    const { promise, resolve } = Promise.withResolvers<Result<Settled, Refusal>>()
    this.#queue.push({ arrival, digest, settle: resolve })
    if (!this.#running) void this.#run()
    return promise
  }

  async #run(): Promise<void> {
    this.#running = true
    try {
      while (this.#queue.length > 0) await this.#group(this.#queue.splice(0, GROUP))
    } finally {
      this.#running = false
    }
  }

  /** Tries again what could not be understood for the moment only. */
  async retry(): Promise<void> {
    const { db, parse } = this.#options
    const rows = await db
      .select()
      .from(inbox)
      .where(and(eq(inbox.state, 'quarantined'), eq(inbox.problem, 'refetch_failed')))
      .orderBy(inbox.received_at)
      .limit(RETRIED)
    for (const row of rows) {
      const source = row.source as SourceName
      const event = eventOf(row)
      await this.deliver({ source, event, parsed: await parse(source, event) })
    }
  }

  async #group(group: readonly Queued[]): Promise<void> {
    try {
      const settled = await this.#commit(group)
      if (settled.ok) {
        group.forEach((queued, index) => {
          queued.settle(ok(settled.value[index] as Settled))
        })
        await this.#follow(group)
      } else if (group.length > 1) {
        // One of them stands in the way of the others.
        for (const queued of group) await this.#group([queued])
      } else if (settled.reason === 'flags_exclusive') {
        group[0]?.settle(await this.#set(group[0], settled.reason))
      } else group[0]?.settle(settled)
    } catch {
      // The sender tries again; what was committed is recognized then.
      for (const { settle } of group) settle(err('inbox_failed'))
    }
  }

  /** Commits a group, or says why it cannot be. */
  async #commit(group: readonly Queued[]): Promise<Result<readonly Settled[], Refusal>> {
    const { db, clock, environments, commands, wake } = this.#options
    await this.#denySessions(group)
    let decided: readonly Decided[] = []
    const command: Command = {
      ...{ action: 'inbox.apply', reason: 'As other systems say', ticket: null, input: {} },
      clearance: 'contract',
      decide: async (facts) => {
        const made = await decideGroup(group, facts, commands)
        if (!made.ok) return made
        decided = made.value
        const steps = decided.flatMap(({ applied }) => applied.steps)
        const last = steps.at(-1)
        if (!last) return err('change_empty')
        return ok({ first: steps.slice(0, -1), edit: last.edit, own: last, evaluation: made.evaluation })
      },
    }
    const submitted = await submit({
      ...{ db, clock, environments, command, actor: systemActor('system:inbox') },
      requestId: crypto.randomUUID(),
      alongside: (seq) => recordsOf(db, decided, seq, this.#now()),
    })
    if (!submitted.ok && submitted.reason !== 'change_empty') return submitted
    if (!submitted.ok) {
      const [first, ...others] = recordsOf(db, decided, null, this.#now())
      if (first) await db.batch([first, ...others])
      return ok(settledOf(decided, null))
    }
    const { outcome } = submitted.value as Extract<typeof submitted.value, { outcome: unknown }>
    const touched = outcome.edits.flatMap((edit) => documentsOf(edit, environments))
    wake([...new Set(touched.map(({ environment }) => environment))])
    return ok(settledOf(decided, outcome.seq))
  }

  /** What waits for a contract that has just changed comes again. */
  async #follow(group: readonly Queued[]): Promise<void> {
    const { db, parse } = this.#options
    const contracts = group.flatMap(({ arrival: { parsed } }) =>
      parsed.ok ? parsed.value.flatMap((event) => ('contract' in event ? [entityOf(event) ?? ''] : [])) : [],
    )
    if (contracts.length === 0) return
    const waiting = await db
      .select()
      .from(inbox)
      .where(
        and(
          eq(inbox.state, 'waiting'),
          inArray(
            inbox.entity,
            sql`(SELECT value FROM json_each(${JSON.stringify([...new Set(contracts)])}))`,
          ),
        ),
      )
      .orderBy(inbox.revision)
      .limit(MAX_FOLLOWERS)
    const before = new Map(waiting.map((row) => [row.event_id, row.attempts]))
    for (const row of waiting) {
      const source = row.source as SourceName
      const event = eventOf(row)
      const queued = {
        arrival: { source, event, parsed: await parse(source, event) },
        digest: row.digest,
        settle() {},
      }
      const settled = await this.#commit([queued])
      // What still waits is not looked at again before something else has changed.
      if (settled.ok && settled.value[0]?.state === 'applied') before.delete(row.event_id)
    }
    const moved = waiting.length > before.size
    if (moved) await this.#follow(group)
  }

  async #denySessions(group: readonly Queued[]): Promise<void> {
    for (const { arrival } of group) {
      if (!arrival.parsed.ok) continue
      for (const event of arrival.parsed.value) {
        if (event.type === 'session.revoked') await this.#options.deny(event.environment, event.sid)
      }
    }
  }

  /** Keeps an event that nothing was done for. */
  async #set(queued: Queued, problem: string): Promise<Result<Settled, Refusal>> {
    const applied = { ...NOTHING, state: 'quarantined' as const, problem }
    const decided = [{ incoming: queued, id: queued.arrival.event.id, duplicate: undefined, applied }]
    const { db } = this.#options
    const [record] = recordsOf(db, decided, null, this.#now())
    if (record) await db.batch([record])
    return ok(settledOf(decided, null)[0] as Settled)
  }

  #now(): string {
    return new Date(this.#options.clock()).toISOString()
  }
}
