/** Stripe's current state in the form of events: subscriptions, one page per call, with their customers' entitlements. */
import { err, ok, type Result } from '../../../../core/result.ts'
import type { EntitlementsSnapshot } from '../../events.ts'
import { candidates, named } from '../names.ts'
import type { Listed, Parsed } from '../source.ts'
import {
  type Entitlement,
  fetchEntitlements,
  fetchSubscription,
  listSubscriptions,
  type StripeApi,
} from './api.ts'
import { fetchedRevision } from './order.ts'
import { type Customer, customerOf, orgOfCustomer, snapshotOf } from './subscription.ts'

/** Subscriptions checked by one call: each may need a query for its customer's entitlements. */
const PAGE = 20

export async function listStripe(
  api: StripeApi,
  cursor: string | undefined,
  now: number,
): Promise<Result<Listed, 'refetch_failed'>> {
  const page = await listSubscriptions(api, cursor, PAGE)
  if (!page.ok) return err('refetch_failed')
  const entries: { about: string; parsed: Parsed }[] = []
  for (const listed of page.value.data) {
    // A list has at most ten items of a subscription: the eleventh must not count as removed.
    const whole = listed.items.has_more ? await fetchSubscription(api, listed.id) : ok(listed)
    if (!whole.ok) return err('refetch_failed')
    const snapshot = snapshotOf(whole.value, fetchedRevision(whole.value.status, now))
    entries.push({ about: listed.id, parsed: snapshot ? ok([snapshot]) : err('payload_invalid') })
  }
  const customers = new Map(page.value.data.map((one) => [customerOf(one), one.customer]))
  for (const [id, customer] of customers) {
    const all = await fetchEntitlements(api, id)
    if (!all.ok) return err('refetch_failed')
    const payer = typeof customer === 'string' ? { id } : customer
    const event = entitlementsOf(payer, all.value, now, new Date(now).toISOString())
    entries.push({ about: event.contract, parsed: ok([event]) })
  }
  return ok({ checked: page.value.data.length, entries, next: page.value.next })
}

export const entitlementsOf = (
  customer: Customer,
  all: readonly Entitlement[],
  revision: number,
  from: string,
): EntitlementsSnapshot => ({
  type: 'entitlements.snapshot',
  source: 'stripe',
  contract: `stripe-entitlements:${customer.id}`,
  revision,
  org: orgOfCustomer(customer),
  customer: customer.id,
  from,
  // Stripe calls its lookup key "a unique key you provide as your own system identifier".
  flags: all.map(({ feature, lookup_key }) => {
    const flag = named('flag', lookup_key)
    return { ...flag, candidates: [...flag.candidates, ...candidates(feature)] }
  }),
})
