/** The decision about an event or a part of one. Types and constants only. */

import type { AgreementRow, InboxRow } from '../db/rows.ts'
import type { ChangeItem } from '../db/schema.ts'
import type { Step } from '../ledger/command.ts'
import { type External, nameOf, needsOf } from './events.ts'

export interface Verdict {
  readonly state: Exclude<InboxRow['state'], 'received' | 'dismissed'>
  /** Why it is not applied: a code. */
  readonly problem: string | null
  /** More about the problem: a name, or the place in the payload. */
  readonly detail: string | null
  /** The names that it waits for. */
  readonly needs: readonly string[]
  /** Its changes; for a quarantined one, only restrictions. */
  readonly steps: readonly Step[]
  /** The new snapshots of contracts. */
  readonly said: readonly AgreementRow[]
  /** Commands that require approval: they become change requests. */
  readonly requests: readonly ChangeItem[]
  /** Its subject, by the name here: it orders events about the same subject. */
  readonly entity: string | null
  readonly org: string | null
  readonly revision: number | null
}

const NOTHING = { problem: null, detail: null, needs: [], steps: [], said: [], requests: [] }
const NOWHERE = { entity: null, org: null, revision: null }

export const applied = (steps: readonly Step[] = []): Verdict => ({
  state: 'applied',
  ...NOTHING,
  ...NOWHERE,
  steps,
})

export const stopped = (state: Verdict['state'], problem: string, detail: string | null = null): Verdict => ({
  ...NOTHING,
  ...NOWHERE,
  state,
  problem,
  detail,
})
export const quarantined = (problem: string, detail: string | null = null): Verdict =>
  stopped('quarantined', problem, detail)
export const superseded = stopped('superseded', 'later_revision_applied')
/** The same revision has different content: which is true is never guessed. */
export const conflict = quarantined('revision_conflict')

/** A person clicked, and the policy of the environment requires approval. */
export const awaitingApproval = (request: ChangeItem): Verdict => ({
  ...quarantined('approval_required'),
  requests: [request],
})

/** Names that are not known here: it continues by itself once they are. */
export const unresolved = (names: readonly [External, ...External[]]): Verdict => ({
  ...quarantined(`${names[0].kind}_unknown`, nameOf(names[0])),
  needs: names.flatMap(needsOf),
})

/** The event's problem is that of its worst part. */
const WORST: Verdict['state'][] = ['quarantined', 'waiting', 'applied', 'superseded', 'ignored']

/** Combines the parts of an event, which are independent of each other. */
export function together(parts: readonly Verdict[]): Verdict {
  const worst = parts.toSorted((a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state))[0] ?? applied()
  const about = parts.find(({ entity }) => entity !== null) ?? worst
  return {
    ...worst,
    entity: about.entity,
    revision: about.revision,
    org: parts.map(({ org }) => org).find((org) => org !== null) ?? null,
    needs: parts.flatMap(({ needs }) => needs),
    steps: parts.flatMap(({ steps }) => steps),
    said: parts.flatMap(({ said }) => said),
    requests: parts.flatMap(({ requests }) => requests),
  }
}
