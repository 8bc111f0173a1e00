/** Applies a delta to the latest snapshot of a contract. Pure. */
import { err, ok, type Result } from '../../../core/result.ts'
import type { ContractRow } from '../../db/rows.ts'
import { isRowOf } from '../../entities/contract.ts'
import { type ContractDelta, type ContractSnapshot, type External, nameOf, type Phase } from '../events.ts'
import type { Resolve } from './projection.ts'

/** A contract from its rows: the base of a delta if its source has sent no snapshot yet. */
export function snapshotOfRows(contract: string, rows: readonly ContractRow[]): ContractSnapshot | undefined {
  const own = rows
    .filter(({ id, from, to }) => isRowOf(contract, id) && from !== to)
    .toSorted((a, b) => (a.from < b.from ? -1 : 1))
  const [first] = own
  if (!first) return undefined
  const name = (kind: External['kind'], ours: string): External => ({ kind, candidates: [], ours })
  return {
    type: 'contract.snapshot',
    source: first.source,
    system: null,
    contract,
    customer: null,
    revision: Math.max(...own.map(({ revision }) => revision)),
    org: name('org', first.org),
    phases: own.map(({ status, from, to, grace_until, plan, add }) => ({
      status,
      from,
      to,
      items: [...(plan === null ? [] : [name('plan', plan)]), ...add.map((flag) => name('flag', flag))],
      // A past-due contract keeps its grace period; otherwise the plan's applies if it becomes past due.
      ...(status === 'past_due' && { grace_until }),
    })),
  }
}

/**
 * The snapshot after a delta.
 *
 * - `base_missing`: its base revision is not applied yet; it waits
 * - `base_passed`: a later revision is already applied
 * - `delta_ambiguous`: it changes a plan or a window without naming the phase, or the phase does not exist
 * - `window_invalid`: phases would end before they begin, or overlap
 */
export function applyDelta(
  known: ContractSnapshot | undefined,
  { base_revision, revision, changes }: Pick<ContractDelta, 'base_revision' | 'revision' | 'changes'>,
  resolve: Resolve,
): Result<ContractSnapshot, 'base_missing' | 'base_passed' | 'delta_ambiguous' | 'window_invalid'> {
  if (!known || known.revision < base_revision) return err('base_missing')
  if (known.revision > base_revision) return err('base_passed')
  const { phase } = changes
  const single = ['plan', 'from', 'to'].some((member) => member in changes)
  if (single && phase === undefined && known.phases.length > 1) return err('delta_ambiguous')
  if (phase !== undefined && phase > known.phases.length) return err('delta_ambiguous')
  // Two names that are mapped to the same thing are equal; unknown names are compared as text.
  const identity = (external: External) =>
    resolve(external, external.kind === 'price' ? 'plan' : external.kind) ?? `?${nameOf(external)}`
  const phases = known.phases.map((one, index) =>
    phase === undefined || phase === index + 1 ? changed(one, changes, identity) : one,
  )
  const inOrder = phases.every(({ from, to }, index) => {
    const next = phases[index + 1]
    return (to === null || from < to) && (!next || (to !== null && to <= next.from))
  })
  return inOrder ? ok({ ...known, revision, phases }) : err('window_invalid')
}

function changed(
  phase: Phase,
  { plan, add = [], remove = [], ...rest }: ContractDelta['changes'],
  identity: (external: External) => string,
): Phase {
  const replaced = new Set([...add, ...remove].map(identity))
  const flags = phase.items.filter((item) => item.kind === 'flag' && !replaced.has(identity(item)))
  const plans = plan === undefined ? phase.items.filter((item) => item.kind === 'plan') : plan ? [plan] : []
  const { status = phase.status, from = phase.from, to = phase.to } = rest
  // An agreed grace period continues only while the contract is past due.
  const grace =
    rest.grace_until === undefined && status === phase.status ? phase.grace_until : rest.grace_until
  const items = [...plans, ...flags, ...add]
  return { status, from, to, items, ...(grace !== undefined && { grace_until: grace }) }
}
