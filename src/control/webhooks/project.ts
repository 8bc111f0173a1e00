/**
 * From what a source says to what a contract's rows should be. Pure: names are resolved by a function that is handed in.
 *
 * A row has one plan and add-ons. A phase becomes one row for each plan that its items resolve to, in the order of the
 * plans' keys, and add-ons stand on the first of them; rows are numbered through all phases, `C-9`, `C-9~2`, `C-9~3`.
 * Evaluation takes all active rows together, so that two plans bought in one subscription add up as their buyer expects.
 * An item that is mapped to nothing stops the whole contract, because half of an agreement is a wrong one; what gives
 * no flags (support hours, seats) is mapped to a plan without any.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { ContractRow } from '../db/rows.ts'
import { isRowOf, rowId } from '../entities/contract.ts'
import type {
  CanonicalEvent,
  ContractDelta,
  ContractSnapshot,
  EntitlementsSnapshot,
  External,
  Phase,
} from '../model/events.ts'
import type { SourceName } from '../model/source.ts'

/** What one of the candidates is mapped to, the first of them first. */
export type Resolve = (
  source: SourceName,
  kind: 'plan' | 'flag' | 'org',
  candidates: readonly string[],
) => string | undefined

/** A row as it is put, with the source's revision. */
export type ContractPut = Omit<ContractRow, 'updated_at' | 'grace_until'> & {
  /** `undefined`: as the plan says. */
  readonly grace_until: string | null | undefined
}

/** What an operator has to map. */
export interface Unresolved {
  readonly ok: false
  readonly reason: 'org_unknown' | 'plan_unknown' | 'flag_unknown' | 'price_unknown'
  readonly external: External
}

type Projection = { readonly ok: true; readonly value: readonly ContractPut[] } | Unresolved

/** Every name of the event that needs a mapping, so that all of them can be looked up at once. */
export function externalsOf(event: CanonicalEvent): readonly External[] {
  switch (event.type) {
    case 'contract.snapshot':
      return [event.org, ...event.phases.flatMap(({ items }) => items)]
    case 'contract.delta': {
      const { plan, add = [], remove = [] } = event.changes
      return [...(plan ? [plan] : []), ...add, ...remove]
    }
    case 'entitlements.snapshot':
      return [event.org, ...event.flags]
    case 'org.upserted':
    case 'org.deleted':
      return [event.org]
    case 'flag.targets':
      return [event.flag, ...(event.targets?.organizations ?? [])]
    case 'flag.deleted':
      return [event.flag]
    case 'org.linked':
    case 'session.revoked':
    case 'ignored':
      return []
  }
}

/**
 * All rows of the contract. Whether plans, flags and organization exist is for the command to say.
 *
 * @param known - the contract's rows as they are; those that it has no more are cancelled, with an empty window
 */
export function projectContract(
  snapshot: ContractSnapshot,
  resolve: Resolve,
  known: readonly ContractRow[] = [],
): Projection {
  const { source, contract, revision } = snapshot
  const org = resolveName(source, snapshot.org, resolve)
  if (org === undefined) return unresolved(snapshot.org)
  const rows: ContractPut[] = []
  for (const phase of snapshot.phases) {
    const things = resolveItems(source, phase.items, resolve)
    if (!things.ok) return things
    const { status, from, to, grace_until } = phase
    const plans = things.plans.length === 0 ? [null] : things.plans
    plans.forEach((plan, index) => {
      const id = rowId(contract, rows.length)
      const add = index === 0 ? things.flags : []
      rows.push({ id, org, plan, status, from, to, add, grace_until, source, revision })
    })
  }
  const ids = new Set(rows.map(({ id }) => id))
  const over = known
    .filter(({ id }) => isRowOf(contract, id) && !ids.has(id))
    .map(({ updated_at: _, ...row }) => ({
      ...row,
      status: 'cancelled' as const,
      to: row.from,
      grace_until: null,
      revision,
    }))
  return ok([...rows, ...over])
}

function resolveItems(
  source: SourceName,
  items: readonly External[],
  resolve: Resolve,
): { readonly ok: true; readonly plans: string[]; readonly flags: string[] } | Unresolved {
  const plans = new Set<string>()
  const flags = new Set<string>()
  for (const item of items) {
    const plan = item.kind === 'flag' ? undefined : resolveAs(source, 'plan', item, resolve)
    const flag =
      item.kind === 'plan' || plan !== undefined ? undefined : resolveAs(source, 'flag', item, resolve)
    if (plan !== undefined) plans.add(plan)
    else if (flag !== undefined) flags.add(flag)
    else return unresolved(item)
  }
  return { ok: true, plans: [...plans].toSorted(), flags: [...flags].toSorted() }
}

/** An organization, a plan or a flag; of a price, a plan. */
export const resolveName = (source: SourceName, name: External, resolve: Resolve): string | undefined =>
  resolveAs(source, name.kind === 'price' ? 'plan' : name.kind, name, resolve)

function resolveAs(
  source: SourceName,
  kind: 'plan' | 'flag' | 'org',
  { candidates, ours }: External,
  resolve: Resolve,
): string | undefined {
  return (candidates.length === 0 ? undefined : resolve(source, kind, candidates)) ?? ours
}

const unresolved = (external: External): Unresolved => ({
  ok: false,
  reason: `${external.kind}_unknown`,
  external,
})

/**
 * The row of a customer's entitlements: add-ons without a plan.
 *
 * @param subscriptions - the rows of the organization that the same source's subscriptions made
 * @param known - the row as it is
 */
export function projectEntitlements(
  snapshot: EntitlementsSnapshot,
  resolve: Resolve,
  subscriptions: readonly Pick<ContractRow, 'status'>[] = [],
  known?: Pick<ContractRow, 'from'>,
): Projection {
  const { source, contract, revision, flags, from } = snapshot
  const status = entitlementsStatus(subscriptions.map((row) => row.status))
  const items = flags.map((flag) => ({ ...flag, kind: 'flag' as const }))
  const phase: Phase = { status, from: known?.from ?? from, to: null, items }
  return projectContract(
    { type: 'contract.snapshot', source, contract, revision, org: snapshot.org, phases: [phase] },
    resolve,
  )
}

/** The most that a status can stand for first. */
const PRECEDENCE = ['active', 'trialing', 'past_due', 'paused', 'unpaid', 'cancelled', 'expired'] as const

/**
 * The status of an entitlements row, given those of the subscriptions it comes from: the best of them.
 *
 * Stripe grants entitlements by subscriptions, but says nothing when a trial ends in `paused`. A row of its own would then
 * grant for ever, as rows add up. So it has no status of its own: it is to be put anew, with its revision plus one, when
 * a subscription of its customer changes status. Where there are no subscriptions, nothing is known that says no.
 */
export const entitlementsStatus = (statuses: readonly ContractRow['status'][]): ContractRow['status'] =>
  PRECEDENCE.find((status) => statuses.includes(status)) ?? 'active'

/** A contract of one plan a phase, as its rows have it, in our names: what a delta is applied to. */
export function snapshotOfRows(contract: string, rows: readonly ContractRow[]): ContractSnapshot | undefined {
  const own = rows
    .filter(({ id, from, to }) => isRowOf(contract, id) && from !== to)
    .toSorted((a, b) => (a.from < b.from ? -1 : 1))
  const [first] = own
  if (!first) return undefined
  const name = (kind: External['kind'], ours: string): External => ({ kind, candidates: [], ours })
  return {
    type: 'contract.snapshot',
    source: 'standard',
    contract,
    revision: Math.max(...own.map(({ revision }) => revision)),
    org: name('org', first.org),
    phases: own.map(({ status, from, to, grace_until, plan, add }) => ({
      ...{ status, from, to },
      items: [...(plan === null ? [] : [name('plan', plan)]), ...add.map((flag) => name('flag', flag))],
      // Of a contract that is due, the grace that it has; otherwise as the plan says, should it fall due.
      ...(status === 'past_due' && { grace_until }),
    })),
  }
}

/**
 * The snapshot that a delta makes of the known one.
 *
 * - `base_missing`: what it is based on is not applied yet; it waits
 * - `base_passed`: a later revision is applied already
 * - `delta_ambiguous`: it changes a plan or a window without saying of which phase, or of one that there is not
 * - `window_invalid`: phases would end before they begin, or overlap
 */
export function applyDelta(
  known: ContractSnapshot | undefined,
  { base_revision, revision, changes }: ContractDelta,
  resolve: Resolve,
): Result<ContractSnapshot, 'base_missing' | 'base_passed' | 'delta_ambiguous' | 'window_invalid'> {
  if (!known || known.revision < base_revision) return err('base_missing')
  if (known.revision > base_revision) return err('base_passed')
  const { phase } = changes
  const single = ['plan', 'from', 'to'].some((member) => member in changes)
  if (single && phase === undefined && known.phases.length > 1) return err('delta_ambiguous')
  if (phase !== undefined && phase > known.phases.length) return err('delta_ambiguous')
  const nameOf = (external: External) => resolveName(known.source, external, resolve)
  const phases = known.phases.map((one, index) =>
    phase === undefined || phase === index + 1 ? changed(one, changes, nameOf) : one,
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
  nameOf: (external: External) => string | undefined,
): Phase {
  const replaced = new Set([...add, ...remove].map(nameOf))
  const flags = phase.items.filter((item) => item.kind === 'flag' && !replaced.has(nameOf(item)))
  const plans = plan === undefined ? phase.items.filter((item) => item.kind === 'plan') : plan ? [plan] : []
  const { status = phase.status, from = phase.from, to = phase.to } = rest
  // A grace that was agreed goes on only as long as the contract is due.
  const grace =
    rest.grace_until === undefined && status === phase.status ? phase.grace_until : rest.grace_until
  const items = [...plans, ...flags, ...add]
  return { status, from, to, items, ...(grace !== undefined && { grace_until: grace }) }
}
