/**
 * The rows of a contract as they follow from what its source has said, by the mappings of now: when an event says it, and
 * again when a mapping is corrected. Does I/O through `Known`.
 *
 * Whose it is follows from what is said, then from the contract as it is: a name that is given and not known here is an
 * error, and no name leaves it where it is. Where a part is not known, the rows change by what is taken away only.
 */

import type { AgreementRow, ContractRow } from '../../db/rows.ts'
import { isUnchanged } from '../../entities/edit.ts'
import { DAY_MS } from '../../entities/fields.ts'
import type { Step } from '../../ledger/command.ts'
import { resolver } from '../apply/resolve.ts'
import { type ContractSnapshot, type External, externalsOf } from '../events.ts'
import type { Known } from '../known.ts'
import { snapshotOfRows } from './delta.ts'
import { type ContractPut, entitlementsStatus, projectContract, rowsOver } from './projection.ts'
import { restrict } from './restrict.ts'

/** The grace period of a contract without a plan. */
const GRACE_DAYS = 7
/**
 * The digest of content that is no word of its source: found by looking, or all that could be read of an event. The same
 * revision may still arrive.
 */
export const UNSAID = 'missing'
const ENDED = ['paused', 'unpaid', 'cancelled', 'expired']

export interface Derivation {
  readonly steps: readonly Step[]
  /** Names that are unknown here; with any of them, the steps only restrict. */
  readonly unresolved: readonly External[]
  readonly org: string | null
  readonly windowInvalid: boolean
}

export interface DeriveOptions {
  readonly known: Known
  /** Epoch milliseconds. */
  readonly now: number
  /** Since when it is past due. */
  readonly dueSince: string | null
  /** The minimum revision of the rows, which count on by themselves. */
  readonly revision: number
  /** Something else prevents what it grants: only its restrictions count. */
  readonly held?: boolean
  readonly step: (before: ContractRow | null, after: ContractRow) => Step
}

export async function derive(
  said: ContractSnapshot,
  id: string,
  options: DeriveOptions,
): Promise<Derivation> {
  const { known } = options
  const rows = await known.contractRows(id)
  const resolve = await resolver(said.source, externalsOf(said), known)
  const target =
    resolve(said.org, 'org') ?? (isNamed(said.org) ? undefined : await standingOrg(said, id, known))
  const org = target ?? rows[0]?.org
  const nobody = target === undefined ? [said.org] : []
  if (org === undefined) {
    return { steps: [], unresolved: nobody, org: null, windowInvalid: false }
  }
  const phases = isEntitlements(id) ? await following(said, id, known) : said.phases
  const projected = projectContract({ ...said, phases }, id, org, resolve)
  const unresolved = [...nobody, ...projected.unresolved]
  if (projected.rows.some(({ from, to }) => to !== null && to < from)) {
    return { steps: [], unresolved, org, windowInvalid: true }
  }
  const whole = unresolved.length === 0 && !options.held
  const puts = whole
    ? [...projected.rows, ...rowsOver(id, projected.rows, rows)]
    : await taken(projected.rows, id, said, rows, known)
  const steps: Step[] = []
  for (const put of puts) {
    const before = rows.find((row) => row.id === put.id) ?? null
    const after = await rowOf(put, before, options)
    if (after) steps.push(...changeOf(before, after, options))
  }
  return { steps, unresolved, org, windowInvalid: false }
}

/** A given name: known here, or an error. */
const isNamed = ({ ours, invalid }: External): boolean => ours !== undefined || invalid !== undefined

/** Only restrictions: what remains of the existing rows, and the end of the others. */
async function taken(
  projected: readonly ContractPut[],
  id: string,
  said: ContractSnapshot,
  rows: readonly ContractRow[],
  known: Known,
): Promise<ContractPut[]> {
  const keys = new Set([...projected, ...rows].flatMap(({ plan }) => (plan === null ? [] : [plan])))
  const plans = new Map<string, readonly string[]>()
  for (const key of keys) plans.set(key, (await known.plan(key))?.flags ?? [])
  const left = restrict(id, rows, projected, (plan) => plans.get(plan) ?? [])
  const ids = new Set(left.map((row) => row.id))
  const [first] = said.phases
  const over = said.phases.every(({ status }) => ENDED.includes(status)) ? first?.status : undefined
  const ended = rows
    .filter((row) => !ids.has(row.id))
    .map(({ updated_at: _, revision: __, ...row }) => ({
      ...row,
      status: ENDED.includes(row.status) ? row.status : (over ?? ('cancelled' as const)),
      grace_until: null,
    }))
  return [...left, ...ended]
}

/** A contract that moves to another organization ends at the first, so that both have it on record. */
function changeOf(before: ContractRow | null, after: ContractRow, { step }: DeriveOptions): Step[] {
  if (before === null || before.org === after.org) return [step(before, after)]
  const { updated_at } = after
  const left = { ...before, status: 'cancelled' as const, updated_at, revision: before.revision + 1 }
  return [step(before, left), step(left, { ...after, revision: Math.max(after.revision, left.revision + 1) })]
}

/** The changed row; `undefined` if nothing differs. */
async function rowOf(
  put: ContractPut,
  before: ContractRow | null,
  { known, now, dueSince, revision }: DeriveOptions,
): Promise<ContractRow | undefined> {
  const row: ContractRow = {
    ...put,
    add: [...put.add].toSorted(),
    grace_until:
      put.grace_until === undefined ? await graceUntil(put, before, dueSince, known, now) : put.grace_until,
    updated_at: new Date(now).toISOString(),
    revision,
  }
  if (before === null) return row
  const same = isUnchanged({ table: 'contracts', before, after: { ...row, revision: before.revision } })
  if (same && revision <= before.revision) return undefined
  // The row counts its own changes, no matter who made them; the source's revision is the agreement's.
  return { ...row, revision: Math.max(revision, before.revision + (same ? 0 : 1)) }
}

/** The grace period starts when the contract becomes past due, and continues while it stays so. */
async function graceUntil(
  put: ContractPut,
  before: ContractRow | null,
  dueSince: string | null,
  known: Known,
  now: number,
): Promise<string | null> {
  if (put.status !== 'past_due') return null
  if (before?.status === 'past_due' && before.grace_until !== null) return before.grace_until
  const plan = put.plan === null ? undefined : await known.plan(put.plan)
  const since = dueSince === null ? now : Math.min(Date.parse(dueSince), now)
  return new Date(since + (plan?.grace_days ?? GRACE_DAYS) * DAY_MS).toISOString()
}

/** The organization if none is named: entitlements follow the customer's subscriptions; others stay. */
async function standingOrg(said: ContractSnapshot, id: string, known: Known): Promise<string | undefined> {
  const [row] = await known.contractRows(id)
  if (!isEntitlements(id)) return row?.org
  const orgs = new Set((await subscriptionsOf(said, id, known)).map(({ org }) => org))
  return orgs.size === 1 ? [...orgs][0] : row?.org
}

const ENTITLEMENTS = /^stripe-entitlements:/
export const isEntitlements = (id: string): boolean => ENTITLEMENTS.test(id)

async function following(said: ContractSnapshot, id: string, known: Known) {
  const [row] = await known.contractRows(id)
  const own = await subscriptionsOf(said, id, known)
  const status = entitlementsStatus(
    (own.length > 0 ? own : await unsaidOf(row?.org, said, known)).map((one) => one.status),
  )
  return said.phases.map((phase) => ({ ...phase, status }))
}

/** The rows of the customer's subscriptions. */
async function subscriptionsOf(
  { source, customer }: ContractSnapshot,
  id: string,
  known: Known,
): Promise<ContractRow[]> {
  if (customer === null) return []
  const own = (await known.ofCustomer(source, customer)).filter(({ contract }) => contract !== id)
  return (await Promise.all(own.map(({ contract }) => known.contractRows(contract)))).flat()
}

/** Rows of the organization without a known origin. */
async function unsaidOf(
  org: string | undefined,
  { source }: ContractSnapshot,
  known: Known,
): Promise<ContractRow[]> {
  if (org === undefined) return []
  const rows = (await known.contractsOf(org)).filter(
    (row) => row.source === source && !isEntitlements(row.id),
  )
  const said = await Promise.all(rows.map(({ id }) => known.agreement(id.replace(/~\d+$/, ''))))
  return rows.filter((_, index) => said[index] === undefined)
}

/** Entitlements of a customer follow that customer's subscriptions: what else changes with one of these. */
export async function followUp(
  { contract, source, customer }: Pick<AgreementRow, 'contract' | 'source' | 'customer'>,
  known: Known,
  now: number,
  step: DeriveOptions['step'],
): Promise<readonly Step[]> {
  if (source !== 'stripe' || customer === null || isEntitlements(contract)) return []
  const id = `stripe-entitlements:${customer}`
  const agreement = await known.agreement(id)
  const [row] = await known.contractRows(id)
  if (!row) return []
  const said = agreement ? (agreement.said as ContractSnapshot) : snapshotOfRows(id, [row])
  if (!said) return []
  const dueSince = agreement?.due_since ?? null
  const options = { known, now, dueSince, revision: row.revision, step }
  return (await derive({ ...said, source, customer }, id, options)).steps
}
