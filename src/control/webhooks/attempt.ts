/**
 * One attempt to decide a group of events: each on what those before it have made, and what waited for one of them right
 * behind it. Reads through `State`.
 */

import type { InboxRow } from '../db/rows.ts'
import type { Edit } from '../entities/edit.ts'
import type { CommandRegistry, Facts } from '../ledger/command.ts'
import { entityOf } from './about.ts'
import { type Applied, applyEvent } from './effects.ts'
import type { LastApplied } from './give.ts'
import { type Decided, type Incoming, lastApplied, type Told } from './inbox_rows.ts'

/** Events that waited, moved on by one commit; the rest of them come with the next. */
const MAX_FOLLOWERS = 100

const NOTHING: Applied = {
  ...{ state: 'applied', problem: null, detail: null, steps: [], entity: null, org: null, revision: null },
}

/** What is told of an event for which nothing was done. */
export const unapplied = (problem: string, detail: string | null = null): Applied => ({
  ...NOTHING,
  ...{ state: 'quarantined', problem, detail },
})

export interface AttemptOptions {
  readonly facts: Facts
  readonly book: CommandRegistry
  /** What the inbox has already, by `eventName`. */
  readonly known: ReadonlyMap<string, InboxRow>
  /** What waits there for one of the contracts in question. */
  readonly followers: readonly Incoming[]
}

export class Attempt {
  /** Contracts of which more events can be applied than one commit takes. */
  readonly unfinished = new Set<string>()
  readonly #options: AttemptOptions
  readonly #decided: Decided[] = []
  readonly #edits: Edit[] = []
  /** What was applied so far, by entity. */
  readonly #applied = new Map<string, (LastApplied & { readonly type: string })[]>()
  /** The first event of each name. */
  readonly #firsts = new Map<string, Incoming>()
  readonly #repeated: Incoming[] = []
  /** Those that wait, the group's own with what was decided of them. */
  #waiting: { readonly incoming: Incoming; readonly applied: Applied | undefined }[]
  #followed = 0

  constructor(options: AttemptOptions) {
    this.#options = options
    this.#waiting = options.followers.map((incoming) => ({ incoming, applied: undefined }))
  }

  /** Decides an event that has come in. */
  async take(incoming: Incoming): Promise<void> {
    const name = eventName(incoming)
    const row = this.#options.known.get(name)
    const digest = this.#firsts.get(name)?.digest ?? row?.digest
    if (digest !== undefined && digest !== incoming.digest) {
      // Another event under the same name is kept beside the first, for somebody to look at.
      const id = `${incoming.arrival.event.id}~${incoming.digest.slice(0, 12)}`
      this.#settle(incoming, unapplied('event_id_reused'), id)
      return
    }
    if (this.#firsts.has(name) || (row && row.state !== 'waiting' && row.state !== 'quarantined')) {
      this.#repeated.push(incoming)
      return
    }
    this.#firsts.set(name, incoming)
    const applied = await this.#decide(incoming)
    if (applied.state === 'waiting') {
      this.#waiting.push({ incoming, applied })
      return
    }
    this.#settle(incoming, applied)
    if (applied.state === 'applied')
      for (const entity of contractEntities(incoming)) await this.follow(entity)
  }

  /** What waits for the contract moves on, as far as it can now. */
  async follow(entity: string): Promise<void> {
    const own = this.#waiting
      .filter(({ incoming }) => contractEntities(incoming).includes(entity))
      .toSorted((a, b) => revisionOf(a.incoming) - revisionOf(b.incoming))
    for (const one of own) {
      if (this.#followed >= MAX_FOLLOWERS) {
        this.unfinished.add(entity)
        return
      }
      const applied = await this.#decide(one.incoming)
      if (applied.state === 'waiting') continue
      this.#followed++
      this.#waiting = this.#waiting.filter((other) => other !== one)
      this.#settle(one.incoming, applied)
    }
  }

  /** Everything that was decided; what was here before is told as it was then. */
  finish(): readonly Decided[] {
    for (const { incoming, applied } of this.#waiting) if (applied) this.#settle(incoming, applied)
    for (const incoming of this.#repeated) {
      const duplicate = this.#first(incoming) ?? this.#options.known.get(eventName(incoming))
      this.#decided.push({ incoming, id: incoming.arrival.event.id, duplicate, applied: NOTHING })
    }
    return this.#decided
  }

  /** The same event earlier in the same group; told as that one is. */
  #first(incoming: Incoming): Told | undefined {
    const first = this.#decided.find((one) => one.incoming === this.#firsts.get(eventName(incoming)))
    return first && { ...first.applied, seq: null }
  }

  async #decide(incoming: Incoming): Promise<Applied> {
    const { facts, book } = this.#options
    const { source, event, parsed } = incoming.arrival
    if (!parsed.ok) return unapplied(parsed.reason, parsed.detail)
    return applyEvent(parsed.value, {
      ...{ source, event, book },
      facts: { ...facts, state: facts.state.after(this.#edits) },
      meaning: incoming.meaning,
      applied: (entity, types) => this.#latest(entity, types),
    })
  }

  async #latest(entity: string, types?: readonly string[]): Promise<LastApplied | undefined> {
    const own = (this.#applied.get(entity) ?? []).filter(({ type }) => types?.includes(type) ?? true)
    const before = await lastApplied(this.#options.facts.state.db, entity, types)
    return [...own, ...(before ? [before] : [])].toSorted((a, b) => b.revision - a.revision)[0]
  }

  #settle(incoming: Incoming, applied: Applied, id = incoming.arrival.event.id): void {
    const { state, entity, revision, steps } = applied
    if (state === 'applied' && entity !== null && revision !== null) {
      const { type } = incoming.arrival.event
      const last = { revision, meaning: incoming.meaning, type }
      this.#applied.set(entity, [...(this.#applied.get(entity) ?? []), last])
    }
    this.#edits.push(...steps.map(({ edit }) => edit))
    this.#decided.push({ incoming, id, duplicate: undefined, applied })
  }
}

/** Under what an event is known. */
export const eventName = ({ arrival: { source, event } }: Incoming): string => `${source} ${event.id}`

/** The contracts that an event is about, as entities. */
export const contractEntities = ({ arrival: { parsed } }: Incoming): string[] =>
  parsed.ok ? parsed.value.flatMap((event) => ('contract' in event ? [entityOf(event) ?? ''] : [])) : []

const revisionOf = ({ arrival: { parsed } }: Incoming): number =>
  (parsed.ok && parsed.value.map((event) => ('revision' in event ? event.revision : 0))[0]) || 0
