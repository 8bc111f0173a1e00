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
import { derive, followUp, isEntitlements, UNSAID } from '../contracts/derive.ts'
import { isReserved, type Place, placeOf } from '../contracts/identity.ts'
import type { Resolve } from '../contracts/projection.ts'
import {
  type ContractDelta,
  type ContractEvent,
  type ContractSnapshot,
  externalsOf,
  needsOf,
} from '../events.ts'
import type { Known } from '../known.ts'
import { contractStep, whyOf } from '../run_command.ts'
import type { ReceivedEvent } from '../sources/source.ts'
import { applied, quarantined, stopped, superseded, unresolved, type Verdict } from '../verdict.ts'
import { resolver } from './resolve.ts'
import { saidBy } from './said.ts'

export interface ContractContext {
  readonly event: ReceivedEvent
  readonly known: Known
  /** Epoch milliseconds. */
  readonly now: number
  /** Why only its restrictions may be applied. */
  readonly held?: string | undefined
  /** Whether it is no word of its source: a corrected event may have the same revision. */
  readonly unread?: boolean | undefined
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
  if (part.type === 'contract.part' && !before) return quarantined(context.held ?? 'payload_invalid')
  const said = saidBy(part, before, agreement !== undefined, rows)
  const missing = part.type === 'contract.end' && part.missing === true
  const meaning = await meaningOf(said)
  const repeats = agreement?.revision === part.revision && agreement.meaning !== UNSAID && !missing
  if (repeats && meaning !== (await meaningOf(agreement.said)))
    return quarantined('contract_revision_conflict')
  return put(said, missing || context.unread ? UNSAID : meaning, place, rows, {
    ...context,
    repeats: last === part.revision && !agreement,
  })
}

/** Without the system that it is from, which is not part of its content. */
const meaningOf = (said: unknown): Promise<string> =>
  sha256Hex(canonical({ ...(said as ContractSnapshot), system: null }))

async function change(
  delta: ContractDelta,
  before: ContractSnapshot | undefined,
  place: Place,
  rows: readonly ContractRow[],
  context: ContractContext,
): Promise<Verdict> {
  const meaning = await sha256Hex(canonical([delta.base_revision, delta.changes]))
  const { agreement } = place
  const corrects = agreement?.meaning === UNSAID && agreement.revision === delta.revision
  if (delta.revision === before?.revision && !corrects) {
    if (agreement?.meaning !== meaning) return quarantined('contract_revision_conflict')
    return agreement.whole ? superseded : put(before, meaning, place, rows, { ...context, repeats: false })
  }
  const names = [...externalsOf(delta), ...(before ? externalsOf(before) : [])]
  const resolve = await resolver(delta.source, names, context.known)
  // Its changes are absolute, so that the corrected event changes what could be read of it.
  const base = corrects && before ? { ...before, revision: delta.base_revision } : before
  const changed = applyDelta(base, delta, resolve)
  const { source, contract } = delta
  if (changed.ok) {
    const said = { ...changed.value, source, contract }
    return put(said, context.unread ? UNSAID : meaning, place, rows, { ...context, repeats: false })
  }
  if (changed.reason === 'base_missing') return ahead(delta, before, resolve, place, rows, context)
  // A later revision contains it already, unless it was lost on the way.
  return quarantined(changed.reason === 'base_passed' ? 'contract_revision_conflict' : changed.reason)
}

/** Its base may be lost for ever: what it takes away is taken from what is known, and the rest waits. */
async function ahead(
  delta: ContractDelta,
  before: ContractSnapshot | undefined,
  resolve: Resolve,
  place: Place,
  rows: readonly ContractRow[],
  context: ContractContext,
): Promise<Verdict> {
  const waiting = stopped('waiting', 'base_missing')
  const { add: _, ...changes } = delta.changes
  // Which phase is meant, nobody knows without the base.
  if (!before || changes.phase !== undefined) return waiting
  const own = { changes, base_revision: before.revision, revision: before.revision }
  const changed = applyDelta(before, own, resolve)
  if (!changed.ok) return waiting
  const held = { ...context, held: 'base_missing', repeats: false }
  const left = await put(changed.value, UNSAID, place, rows, held)
  return left.steps.length === 0
    ? waiting
    : { ...left, ...waiting, steps: left.steps, said: left.said, org: left.org }
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
  const follows = await followUp(row, known.after(derived.steps, [row]), now, step)
  const open = first && unresolved([first, ...others])
  // A customer's entitlements go where its subscriptions are.
  const followed = isEntitlements(id) && said.customer !== null ? [`customer:${said.customer}`] : []
  const verdict = open
    ? { ...open, needs: [...open.needs, ...followed] }
    : held === undefined
      ? applied()
      : quarantined(held)
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
