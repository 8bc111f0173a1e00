/**
 * What is scheduled, applied when its time has come; and what waits for approval, looked at whether it is still what was
 * asked for. The logic inside its Durable Object and the cron. Does I/O, through what it is handed.
 */
import { and, asc, eq, gt, inArray, lte, min } from 'drizzle-orm'
import { systemActor } from '../auth/actor.ts'
import type { Database } from '../db/client.ts'
import { change_requests } from '../db/schema.ts'
import { documentsOf, type Edit } from '../entities/edit.ts'
import type { CommandBook } from '../ledger/command.ts'
import { readHead, submit } from '../ledger/commit.ts'
import { applyChangeCommand, recheckChangeCommand } from './commands.ts'
import { LIVE_STATES } from './lifecycle.ts'

/** Requests applied, or looked at, in one invocation. */
const BATCH = 20
/** After a failure, such as too many changes at once. */
const RETRY_MS = 5_000

const SCHEDULER = systemActor('system:scheduler')

export interface SchedulerOptions {
  readonly db: Database
  readonly clock: () => number
  readonly environments: readonly string[]
  readonly commands: CommandBook
  /** Tells the publishers that there is something to publish. */
  readonly wake: (environments: readonly string[]) => void
  readonly warn: (event: 'apply_failed') => void
}

/** How far a look at all requests has come: after which id to go on, and as of which audit row it began. */
export interface Rechecked {
  readonly from: string
  readonly head: number
}

export class Scheduler {
  readonly #options: SchedulerOptions

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  /** Applies what is due. @returns when to look again, epoch milliseconds; `undefined`: nothing is scheduled */
  async run(): Promise<number | undefined> {
    const { db, clock, commands, warn } = this.#options
    const due = await db
      .select({ id: change_requests.id })
      .from(change_requests)
      .where(and(eq(change_requests.state, 'scheduled'), lte(change_requests.apply_at, iso(clock()))))
      .orderBy(asc(change_requests.apply_at))
      .limit(BATCH)
    let failed = false
    for (const { id } of due) {
      const why = { reason: 'Applied at its time, as approved', ticket: null }
      // What is refused because too much else changes at once stays scheduled and is tried again.
      const applied = await this.#give(applyChangeCommand(id, why, commands)).then(
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
   * Looks at requests that can still be agreed to or applied, one part after the other, whether they are what was asked
   * for.
   *
   * @param seen - what the last call returned
   */
  async recheck(seen: Rechecked | undefined): Promise<Rechecked> {
    const { db, commands, warn } = this.#options
    const { seq } = await readHead(db)
    const { from, head } = seen ?? { from: '', head: -1 }
    // Since the last look at all of them nothing has changed.
    if (from === '' && head === seq) return { from, head }
    const rows = await db
      .select({ id: change_requests.id })
      .from(change_requests)
      .where(and(inArray(change_requests.state, [...LIVE_STATES]), gt(change_requests.id, from)))
      .orderBy(asc(change_requests.id))
      .limit(BATCH)
    for (const { id } of rows) {
      await this.#give(recheckChangeCommand(id, commands)).catch(() => warn('apply_failed'))
    }
    const next = rows.length < BATCH ? '' : (rows.at(-1)?.id ?? '')
    return { from: next, head: from === '' ? seq : head }
  }

  async #give(command: ReturnType<typeof applyChangeCommand>) {
    const { db, clock, environments, wake } = this.#options
    const submitted = await submit({
      ...{ db, clock, environments, command, actor: SCHEDULER },
      requestId: crypto.randomUUID(),
    })
    if (submitted.ok && 'outcome' in submitted.value)
      wake(touchedBy(submitted.value.outcome.edits, environments))
    return submitted
  }
}

const touchedBy = (edits: readonly Edit[], all: readonly string[]): string[] => [
  ...new Set(edits.flatMap((edit) => documentsOf(edit, all)).map(({ environment }) => environment)),
]

const iso = (at: number): string => new Date(at).toISOString()
