/**
 * The order of Stripe's events, as revisions. Pure.
 *
 * Stripe numbers nothing, delivers out of order, and its `created` has whole seconds, in which several events of one
 * subscription are common. A revision is a number of milliseconds, compared by nothing but its size:
 *
 * - Fetched data gets the time just before the request. Every change makes an event, which causes a fetch that starts after
 *   the change and so sees it: the highest revision is the truth, whatever the order of delivery.
 * - An event gets its second, plus a rank within it: creation first, then by the usual course of a subscription, and last
 *   events that go back in that course. Two of the same rank with different content contradict each other, and only a fetch
 *   or an operator can decide which is later.
 * - An ended subscription stays ended: Stripe never leaves `canceled` and `incomplete_expired`, so these come after
 *   everything else, even after a late event of a later second.
 */
import { FINAL } from '../../events.ts'

/** The rank of a status in the usual course of a subscription. */
const COURSE = ['incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused']
const TERMINAL = ['canceled', 'incomplete_expired']

export const isTerminal = (status: string): boolean => TERMINAL.includes(status)

/**
 * @param created - epoch seconds
 * @param previous - the previous status, if the event says so
 */
export function subscriptionRevision(
  type: string,
  status: string,
  created: number,
  previous?: string,
): number {
  const second = created * 1000
  if (type === 'customer.subscription.deleted' || isTerminal(status)) return FINAL + second
  if (type === 'customer.subscription.created') return second
  const [rank, before] = [COURSE.indexOf(status), COURSE.indexOf(previous ?? '')]
  // `past_due`, then `active`, within one second: a retried payment.
  return second + (before > rank ? 200 + before * COURSE.length : 100) + rank
}

/** @param now - epoch milliseconds, before the request */
export const fetchedRevision = (status: string, now: number): number =>
  isTerminal(status) ? FINAL + now : now

/** @param created - epoch seconds */
export const entitlementsRevision = (created: number): number => created * 1000
