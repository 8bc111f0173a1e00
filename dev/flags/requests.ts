/** Change requests of the tool, over the API: previewed, requested, and applied. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UsageError } from '../cli.ts'
import type { ControlClient } from '../control_client.ts'
import type { Item } from './difference.ts'

const POLL_MS = 2_000

export interface Counted {
  readonly count: number
  readonly ids: readonly string[]
}

export interface Effect {
  readonly changes: readonly {
    readonly environment: string
    readonly flag: string
    readonly at: string | null
    readonly gained: Subjects
    readonly lost: Subjects
  }[]
}
export interface Subjects {
  readonly organizations: Counted
  readonly users: Counted
}

export interface Change {
  readonly id: string
  readonly state: string
  readonly required: number
  readonly approvals: readonly object[]
  readonly environments: readonly string[]
  readonly effect: Effect
  readonly digest: string
  readonly problem: string | null
}

interface Answer {
  readonly data: Change
  readonly requires_approval: readonly string[]
}

export interface Why {
  readonly reason: string
  readonly ticket?: string | undefined
}

/** What the commands would do, and which environments' policies require approval. */
export const lookAt = (client: ControlClient, items: readonly Item[]): Promise<Answer> =>
  client.write<Answer>('POST', '/changes?dry_run=true', { items, reason: 'A plan' })

/** An open request for exactly the same, so that a second run makes no second one. */
export async function findRequest(client: ControlClient, digest: string): Promise<Change | undefined> {
  for (const state of ['approved', 'in_review']) {
    const open = await client.all<Change>(`/changes?state=${state}`)
    const same = open.find((change) => change.digest === digest)
    if (same) return same
  }
  return undefined
}

export const ask = async (client: ControlClient, items: readonly Item[], why: Why): Promise<Change> =>
  (await client.write<Answer>('POST', '/changes', { items, ...why })).data

export const applyChange = async (client: ControlClient, { id }: Change, why: Why): Promise<Change> =>
  (await client.write<Answer>('POST', `/changes/${id}/apply`, why)).data

/**
 * Waits until somebody has approved or applied it.
 *
 * @throws UsageError if it ended otherwise, or the time is over
 */
export async function decided(client: ControlClient, asked: Change, waitMs: number): Promise<Change> {
  const deadline = Date.now() + waitMs
  for (;;) {
    const change = await client.get<Change>(`/changes/${asked.id}`)
    if (change.state === 'approved' || change.state === 'applied') return change
    if (change.state !== 'in_review') {
      const problem = change.problem === null ? '' : ` (${change.problem})`
      throw new UsageError(`${change.id} is ${change.state}${problem}; it is not applied.`)
    }
    if (Date.now() >= deadline) throw new UsageError(`${change.id} still waits for approval.`)
    await sleep(Math.min(POLL_MS, Math.max(0, deadline - Date.now())))
  }
}
