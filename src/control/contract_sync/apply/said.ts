/**
 * A contract's full content with an event, in the source's names: what the event says, on what was said before. Pure.
 */
import type { ContractRow } from '../../db/rows.ts'
import type {
  ContractDelta,
  ContractEvent,
  ContractSnapshot,
  EntitlementsSnapshot,
  External,
  Phase,
  PhasePart,
} from '../events.ts'

/** The contract's full content with this event, in the source's names. */
export function saidBy(
  part: Exclude<ContractEvent, ContractDelta>,
  before: ContractSnapshot | undefined,
  wasSaid: boolean,
  rows: readonly ContractRow[],
): ContractSnapshot {
  switch (part.type) {
    case 'contract.snapshot':
      return { ...part, org: stillNamed(part.org, wasSaid ? before?.org : undefined) }
    case 'entitlements.snapshot':
      return entitlements(part, rows, stillNamed(part.org, wasSaid ? before?.org : undefined))
    case 'contract.end': {
      const { source, system, contract, revision, status } = part
      const own = { type: 'contract.snapshot' as const, source, system, contract, revision }
      // A late event must not create a contract that is not known yet.
      if (!before) return { ...own, org: { kind: 'org', candidates: [] }, customer: null, phases: [] }
      return { ...before, ...own, phases: over(before, status) }
    }
    case 'contract.part': {
      const { source, system, contract, revision, phases } = part
      const known = before as ContractSnapshot
      const left =
        phases.length === 0 ? over(known, 'cancelled') : phases.map((phase) => restricted(phase, known))
      return { ...known, source, system, contract, revision, phases: left }
    }
  }
}

const over = ({ phases }: ContractSnapshot, status: Phase['status']): Phase[] =>
  phases.map(({ grace_until: _, ...phase }) => ({ ...phase, status }))

/** The phase as far as it can be read; what cannot be read is as it was. */
function restricted(
  { status = 'active', from, to = null, plan, add }: PhasePart,
  before: ContractSnapshot,
): Phase {
  const had = before.phases.flatMap(({ items }) => items)
  const plans = plan === undefined ? had.filter(({ kind }) => kind !== 'flag') : plan === null ? [] : [plan]
  const items = [...plans, ...(add ?? had.filter(({ kind }) => kind === 'flag'))]
  return { status, from: from ?? before.phases[0]?.from ?? EPOCH, to, items }
}

const EPOCH = '1970-01-01T00:00:00.000Z'

const entitlements = (
  { source, contract, revision, org: _, customer, from, flags }: EntitlementsSnapshot,
  rows: readonly ContractRow[],
  org: External,
): ContractSnapshot => ({
  type: 'contract.snapshot',
  source,
  system: null,
  contract,
  revision,
  org,
  customer,
  phases: [{ status: 'active', from: rows[0]?.from ?? from, to: null, items: flags }],
})

/** The organization stays as it was said last until something else is said. */
function stillNamed(now: External, before: External | undefined): External {
  const names = (org: External) => org.ours !== undefined || org.invalid !== undefined
  return !names(now) && before?.ours !== undefined ? before : now
}
