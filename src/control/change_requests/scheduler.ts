/**
 * Applies scheduled requests when they are due, and checks whether open requests are stale.
 * The logic inside its Durable Object and the cron. Does I/O, through what it is given.
 */
import { and, asc, eq, gt, inArray, lte, min } from 'drizzle-orm'
import { systemActor } from '../auth/actor.ts'
import type { Database } from '../db/client.ts'
import { change_requests } from '../db/schema.ts'
import type { CommandRegistry } from '../ledger/command.ts'
import { type Ledger, readHead } from '../ledger/commit.ts'
import { applyChangeCommand, recheckChangeCommand } from './commands.ts'
import { LIVE_STATES } from './lifecycle.ts'

/** How many requests one invocation applies or checks. */
const BATCH = 20
/** The pause after a failure, such as too many changes at once. */
const RETRY_MS = 5_000
/** SQL statements after which no further request is begun: D1 takes 1,000 an invocation, and one request up to 700. */
const WORK_STATEMENTS = 250

const SCHEDULER = systemActor('system:scheduler')

export interface SchedulerOptions {
  readonly db: Database
  /** SQL statements sent so far by this invocation. */
  readonly statements: () => number
  readonly clock: () => number
  readonly ledger: Ledger
  readonly commands: CommandRegistry
  readonly warn: (event: 'apply_failed') => void
}

/** The position of a check of all requests: the id to continue after, and the audit row at which it started. */
export interface Rechecked {
  readonly from: string
  readonly head: number
}

export class Scheduler {
  readonly #options: SchedulerOptions

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  /** Applies what is due. @returns when to check again, epoch milliseconds; `undefined`: nothing is scheduled */
  async run(): Promise<number | undefined> {
    const { db, clock, ledger, commands, warn } = this.#options
    const due = await db
      .select({ id: change_requests.id })
      .from(change_requests)
      .where(and(eq(change_requests.state, 'scheduled'), lte(change_requests.apply_at, iso(clock()))))
      .orderBy(asc(change_requests.apply_at))
      .limit(BATCH)
    let failed = false
    for (const { id } of due) {
      if (this.#isSpent()) return clock()
      const why = { reason: 'Applied at its time, as approved', ticket: null }
      // A request that fails because too much else changes at once stays scheduled and is retried.
      const applied = await ledger.commit(applyChangeCommand(id, why, commands), SCHEDULER).then(
        ({ ok }) => ok,
        () => false,
      )
      if (!applied) {
        failed = true
        warn('apply_failed')
      }
    }
    if (failed) return clock() + RETRY_MS
    const [next] = await db
      .select({ at: min(change_requests.apply_at) })
      .from(change_requests)
      .where(eq(change_requests.state, 'scheduled'))
    return next?.at ? Math.max(Date.parse(next.at), clock()) : undefined
  }

  /**
   * Checks the requests that can still be approved or applied, one part per call, and makes stale ones stale.
   *
   * @param seen - what the last call returned
   */
  async recheck(seen: Rechecked | undefined): Promise<Rechecked> {
    const { db, ledger, commands, warn } = this.#options
    const seq = await readHead(db)
    const { from, head } = seen ?? { from: '', head: -1 }
    // Nothing has changed since all of them were checked.
    if (from === '' && head === seq) return { from, head }
    const rows = await db
      .select({ id: change_requests.id })
      .from(change_requests)
      .where(and(inArray(change_requests.state, [...LIVE_STATES]), gt(change_requests.id, from)))
      .orderBy(asc(change_requests.id))
      .limit(BATCH)
    const begun = from === '' ? seq : head
    let last = from
    for (const { id } of rows) {
      if (this.#isSpent()) return last === from ? { from, head } : { from: last, head: begun }
      await ledger.commit(recheckChangeCommand(id, commands), SCHEDULER).catch(() => warn('apply_failed'))
      last = id
    }
    return { from: rows.length < BATCH ? '' : last, head: begun }
  }

  #isSpent(): boolean {
    return this.#options.statements() >= WORK_STATEMENTS
  }
}

const iso = (at: number): string => new Date(at).toISOString()
