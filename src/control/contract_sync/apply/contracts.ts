/**
 * What a contract's event changes: it checks the order of the source's revisions, and derives the rows. Does I/O through
 * `Known`.
 *
 * The order is the source's own, per contract: neither people's edits nor deriving again use up its revisions. The same
 * revision with the same content derives the rows again.
 */
import { canonical, sha256Hex } from '../../canonical.ts'
import type { AgreementRow, ContractRow } from '../../db/rows.ts'
import { applyDelta, snapshotOfRows } from '../contracts/delta.ts'
import { derive, isEntitlements } from '../contracts/derive.ts'
import { isReserved, type Place, placeOf } from '../contracts/identity.ts'
import {
  type ContractDelta,
  type ContractEvent,
  type ContractSnapshot,
  type EntitlementsSnapshot,
  type External,
  externalsOf,
  needsOf,
} from '../events.ts'
import type { Known } from '../known.ts'
import { contractStep, whyOf } from '../run_command.ts'
import type { ReceivedEvent } from '../sources/source.ts'
import { applied, quarantined, stopped, superseded, unresolved, type Verdict } from '../verdict.ts'
import { resolver } from './resolve.ts'

export interface ContractContext {
  readonly event: ReceivedEvent
  readonly known: Known
  /** Epoch milliseconds. */
  readonly now: number
  /** Why only its restrictions may be applied. */
  readonly held?: string | undefined
}

export async function applyContract(part: ContractEvent, context: ContractContext): Promise<Verdict> {
  const place = await placeOf(asNumbered(part), context.known)
  const verdict = await decide(part, place, context)
  return { ...verdict, entity: `contract:${place.id}`, revision: part.revision }
}

const asNumbered = (part: ContractEvent) => ({ system: null, ...part })

async function decide(part: ContractEvent, place: Place, context: ContractContext): Promise<Verdict> {
  const { id, agreement } = place
  const rows = await context.known.contractRows(id)
  // Of one that this source has said something about, people may have set another source.
  if (!agreement && rows.some(({ source }) => source !== part.source)) {
    return quarantined('contract_of_another_source')
  }
  if (isReserved(part.source, id)) return quarantined('contract_id_reserved')
  const last =
    agreement?.revision ?? Math.max(Number.NEGATIVE_INFINITY, ...rows.map(({ revision }) => revision))
  if (part.revision < last) return superseded
  const before = agreement ? (agreement.said as ContractSnapshot) : snapshotOfRows(id, rows)
  if (part.type === 'contract.delta') return change(part, before, place, rows, context)
  const said = saidBy(part, before, agreement !== undefined, rows)
  const missing = part.type === 'contract.end' && part.missing === true
  const meaning = missing ? MISSING : await meaningOf(said)
  const repeats = agreement?.revision === part.revision && agreement.meaning !== MISSING && !missing
  if (repeats && meaning !== (await meaningOf(agreement.said)))
    return quarantined('contract_revision_conflict')
  return put(said, meaning, place, rows, { ...context, repeats: last === part.revision && !agreement })
}

/** The digest while no source has sent anything: the same revision may still arrive. */
const MISSING = 'missing'

/** Without the system that it is from, which is not part of its content. */
const meaningOf = (said: unknown): Promise<string> =>
  sha256Hex(canonical({ ...(said as ContractSnapshot), system: null }))

/** The contract's full content with this event, in the source's names. */
function saidBy(
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
      const phases = before.phases.map(({ grace_until: _, ...phase }) => ({ ...phase, status }))
      return { ...before, ...own, phases }
    }
  }
}

async function change(
  delta: ContractDelta,
  before: ContractSnapshot | undefined,
  place: Place,
  rows: readonly ContractRow[],
  context: ContractContext,
): Promise<Verdict> {
  const meaning = await sha256Hex(canonical([delta.base_revision, delta.changes]))
  const { agreement } = place
  if (delta.revision === before?.revision) {
    if (agreement?.meaning !== meaning) return quarantined('contract_revision_conflict')
    return agreement.whole ? superseded : put(before, meaning, place, rows, { ...context, repeats: false })
  }
  const names = [...externalsOf(delta), ...(before ? externalsOf(before) : [])]
  const changed = applyDelta(before, delta, await resolver(delta.source, names, context.known))
  if (changed.ok) {
    const { source, contract } = delta
    return put({ ...changed.value, source, contract }, meaning, place, rows, { ...context, repeats: false })
  }
  if (changed.reason === 'base_missing') return stopped('waiting', changed.reason)
  // A later revision contains it already, unless it was lost on the way.
  return quarantined(changed.reason === 'base_passed' ? 'contract_revision_conflict' : changed.reason)
}

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

async function put(
  said: ContractSnapshot,
  meaning: string,
  { id, agreement }: Place,
  rows: readonly ContractRow[],
  { event, known, now, held, repeats }: ContractContext & { readonly repeats: boolean },
): Promise<Verdict> {
  const why = whyOf(event)
  const step = (before: ContractRow | null, after: ContractRow) =>
    contractStep({ table: 'contracts', before, after }, id, why)
  const dueSince = dueSinceOf(said, agreement, event)
  const derived = await derive(said, id, {
    known,
    now,
    dueSince,
    revision: said.revision,
    held: held !== undefined,
    step,
  })
  if (derived.windowInvalid) return quarantined('window_invalid')
  // For rows without a stored source text, the same revision must have the same content.
  if (repeats && derived.steps.length > 0) return quarantined('contract_revision_conflict')
  const [first, ...others] = derived.unresolved
  const row: AgreementRow = {
    contract: id,
    source: said.source,
    system: said.system ?? agreement?.system ?? null,
    external_id: said.contract,
    customer: said.customer,
    revision: said.revision,
    meaning,
    said,
    names: [...new Set(externalsOf(said).flatMap(needsOf))],
    whole: first === undefined && held === undefined,
    due_since: dueSince,
    event_source: event.source,
    event_id: event.id,
    derived_at: new Date(now).toISOString(),
  }
  const follows = await followUp(row, known.after(derived.steps, [row]), now, event)
  const verdict = first ? unresolved([first, ...others]) : held === undefined ? applied() : quarantined(held)
  return {
    ...verdict,
    steps: [...derived.steps, ...follows],
    said: [row],
    org: derived.org ?? rows[0]?.org ?? null,
  }
}

/** From the first event that says so, until one says that it is paid. */
function dueSinceOf(
  { phases }: ContractSnapshot,
  agreement: AgreementRow | undefined,
  { occurredAt }: ReceivedEvent,
): string | null {
  const before = agreement?.due_since ?? null
  if (phases.some(({ status }) => status === 'past_due')) return before ?? occurredAt
  return phases.some(({ status }) => status === 'active' || status === 'trialing') ? null : before
}

/** Entitlements of a customer follow that customer's subscriptions. */
async function followUp(
  { contract, source, customer }: AgreementRow,
  known: Known,
  now: number,
  event: ReceivedEvent,
) {
  if (source !== 'stripe' || customer === null || isEntitlements(contract)) return []
  const id = `stripe-entitlements:${customer}`
  const agreement = await known.agreement(id)
  const [row] = await known.contractRows(id)
  if (!row) return []
  const said = agreement ? (agreement.said as ContractSnapshot) : snapshotOfRows(id, [row])
  if (!said) return []
  const why = whyOf(event)
  const { steps } = await derive({ ...said, source, customer }, id, {
    known,
    now,
    dueSince: agreement?.due_since ?? null,
    revision: row.revision,
    step: (before, after) => contractStep({ table: 'contracts', before, after }, id, why),
  })
  return steps
}
