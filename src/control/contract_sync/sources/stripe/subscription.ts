/**
 * A Stripe subscription as a contract: its schema, and its phases. Pure.
 *
 * Read loosely, because members change with API versions: periods were on the subscription until 2025-03-31 and are on its
 * items since. `pause_collection` is not a status: the subscription stays active, and its owner has chosen not to collect. A
 * trial grants until Stripe reports its end.
 */
import * as z from 'zod'
import type { ContractRow } from '../../../db/rows.ts'
import { externalId } from '../../../entities/fields.ts'
import type { ContractSnapshot, External, Phase } from '../../events.ts'
import { candidates, epochSeconds, instantOf, isGiven, named } from '../names.ts'
import { isTerminal } from './order.ts'

/** A reference, expanded or not. */
export const idOf = z
  .union([externalId, z.object({ id: externalId })])
  .transform((value) => (typeof value === 'string' ? value : value.id))

const metadata = z.record(z.string(), z.string()).nullish()

/** The expanded form. A deleted customer has only its id. */
export const customerSchema = z.object({ id: externalId, metadata })
export type Customer = z.infer<typeof customerSchema>

const price = z.union([
  externalId.transform((id) => ({ id, lookup_key: null, product: null })),
  z.object({ id: externalId, lookup_key: z.string().nullish(), product: idOf.nullish() }),
])

const scheduleSchema = z.object({
  status: z.string(),
  end_behavior: z.string(),
  current_phase: z.object({ start_date: epochSeconds, end_date: epochSeconds }).nullish(),
  phases: z.array(
    z.object({
      start_date: epochSeconds,
      end_date: epochSeconds,
      trial_end: epochSeconds.nullish(),
      items: z.array(z.object({ price, quantity: z.number().nullish() })),
    }),
  ),
})

export const subscriptionSchema = z.object({
  id: externalId,
  object: z.literal('subscription'),
  status: z.string(),
  customer: z.union([externalId, customerSchema]),
  customer_account: externalId.nullish(),
  start_date: epochSeconds,
  cancel_at: epochSeconds.nullish(),
  cancel_at_period_end: z.boolean().nullish(),
  ended_at: epochSeconds.nullish(),
  current_period_end: epochSeconds.nullish(),
  items: z.object({
    data: z.array(
      z.object({ price, quantity: z.number().nullish(), current_period_end: epochSeconds.nullish() }),
    ),
    has_more: z.boolean().default(false),
  }),
  metadata,
  schedule: z.union([z.string(), scheduleSchema]).nullish(),
})

export type Subscription = z.infer<typeof subscriptionSchema>
type Price = z.infer<typeof price>

const STATUS: Readonly<Record<string, ContractRow['status']>> = {
  // The first invoice is not paid yet.
  incomplete: 'unpaid',
  incomplete_expired: 'expired',
  trialing: 'trialing',
  active: 'active',
  past_due: 'past_due',
  paused: 'paused',
  unpaid: 'unpaid',
  canceled: 'cancelled',
}

/**
 * @param org - the organization from the sender, if the subscription itself does not name one
 * @returns `undefined` for an unknown status: whether it grants is never guessed
 */
export function snapshotOf(
  subscription: Subscription,
  revision: number,
  org?: string,
): ContractSnapshot | undefined {
  const status = STATUS[subscription.status]
  if (status === undefined) return undefined
  return {
    type: 'contract.snapshot',
    source: 'stripe',
    system: null,
    contract: subscription.id,
    revision,
    org: orgOf(subscription, org),
    customer: customerOf(subscription),
    phases: phasesOf(subscription, status).map(({ prices, from, to, status }) => ({
      status,
      from: instantOf(from),
      to: to === null ? null : instantOf(to),
      items: prices.map(priceName),
    })),
  }
}

/** The minimum to know that a subscription has ended, if it is otherwise unreadable. */
export const overSchema = z.object({
  id: externalId,
  status: z.enum(['canceled', 'incomplete_expired', 'paused', 'unpaid']),
})

export const endedStatus = (status: z.infer<typeof overSchema>['status']) =>
  (({ canceled: 'cancelled', incomplete_expired: 'expired', paused: 'paused', unpaid: 'unpaid' }) as const)[
    status
  ]

/** A deleted subscription has ended, whatever status the event shows. */
export const deleted = (object: unknown): unknown =>
  typeof object === 'object' && object !== null && 'status' in object && !isTerminal(String(object.status))
    ? { ...object, status: 'canceled' }
    : object

export const customerOf = ({ customer }: Pick<Subscription, 'customer'>): string =>
  typeof customer === 'string' ? customer : customer.id

/**
 * A subscription that names its organization belongs to it, because one customer may pay for several; only a mapping of the
 * subscription or of that name overrides this. Without a name, its customer's mapping decides.
 */
function orgOf(subscription: Subscription, hint?: string): External {
  const { id, customer, customer_account, metadata } = subscription
  const own = metadata?.org_id
  if (isGiven(own)) return named('org', own, id)
  return orgOfCustomer(typeof customer === 'string' ? { id: customer } : customer, hint, id, customer_account)
}

/** @param others - further names that may be mapped, besides the customer's */
export function orgOfCustomer(
  { id, metadata }: Customer,
  hint?: string,
  subscription?: string,
  account?: string | null,
): External {
  const known = candidates(subscription, id, account)
  const name = [metadata?.org_id, hint].find(isGiven)
  if (name === undefined) return { kind: 'org', candidates: known }
  const org = named('org', name)
  return { ...org, candidates: [...known, ...org.candidates] }
}

/** By its id first: a lookup key moves on to the next price, and who bought the old one keeps it. */
const priceName = ({ id, lookup_key, product }: Price): External => ({
  kind: 'price',
  candidates: candidates(id, lookup_key, product),
})

interface Stretch {
  readonly status: Phase['status']
  readonly prices: readonly Price[]
  /** Epoch seconds. */
  readonly from: number
  readonly to: number | null
}

/** A quantity of zero means that nothing is bought. Metered prices have no quantity. */
const bought = (items: readonly { price: Price; quantity?: number | null | undefined }[]): Price[] =>
  items.flatMap(({ price, quantity }) => (quantity === 0 ? [] : [price]))

function phasesOf(subscription: Subscription, status: Phase['status']): Stretch[] {
  const from = subscription.start_date
  const prices = bought(subscription.items.data)
  if (status === 'cancelled' || status === 'expired') {
    const ended = subscription.ended_at ?? null
    return [{ status, prices, from, to: ended === null ? null : Math.max(ended, from) }]
  }
  const [last = null, later] = scheduled(subscription, prices, status)
  const end = endOf(subscription)
  return joined([{ status, prices, from, to: last }, ...later])
    .filter((stretch, index) => index === 0 || end === null || stretch.from < end)
    .map((stretch) => ({ ...stretch, to: earliest(stretch.to, end) }))
}

/** When it will be cancelled. With several periods, not before the last paid one ends. */
function endOf({ cancel_at, cancel_at_period_end, current_period_end, items }: Subscription): number | null {
  if (typeof cancel_at === 'number') return cancel_at
  if (!cancel_at_period_end) return null
  const ends = [current_period_end, ...items.data.map((item) => item.current_period_end)]
  return ends.reduce<number | null>((max, end) => (end && end > (max ?? 0) ? end : max), null)
}

/** The end of the current phase, if there is one, and the phases to come. */
function scheduled(
  { schedule }: Subscription,
  current: readonly Price[],
  status: Phase['status'],
): [number | null, Stretch[]] {
  if (!schedule || typeof schedule === 'string' || schedule.status !== 'active') return [null, []]
  const phase = schedule.current_phase
  if (!phase) return [null, []]
  const later = schedule.phases
    .filter(({ start_date }) => start_date >= phase.end_date)
    .toSorted((a, b) => a.start_date - b.start_date)
  const cancels = schedule.end_behavior === 'cancel'
  const stretches = later.map(({ start_date, end_date, trial_end, items }, index) => ({
    status: status === 'trialing' && !((trial_end ?? 0) > start_date) ? ('active' as const) : status,
    // A phase has only the ids of its prices unless they are expanded; the current ones are complete.
    prices: bought(items).map((price) => current.find(({ id }) => id === price.id) ?? price),
    from: start_date,
    to: index < later.length - 1 || cancels ? end_date : null,
  }))
  return [later.length > 0 || cancels ? phase.end_date : null, stretches]
}

/** Phases that differ only in irrelevant members (a discount, a quantity) are one. */
function joined(stretches: readonly Stretch[]): Stretch[] {
  const key = ({ status, prices }: Stretch) => [status, ...prices.map(({ id }) => id).toSorted()].join(' ')
  const result: Stretch[] = []
  for (const next of stretches) {
    const previous = result.at(-1)
    const same = previous?.to === next.from && key(previous) === key(next)
    if (previous && same) result[result.length - 1] = { ...previous, to: next.to }
    else result.push(next)
  }
  return result
}

const earliest = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b)
