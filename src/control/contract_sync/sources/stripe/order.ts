/**
 * The order of what Stripe tells, as revisions. Pure.
 *
 * Stripe numbers nothing, delivers out of order, and its `created` has whole seconds, in which several events of one
 * subscription are common. A revision is a number of milliseconds, compared by nothing but its size:
 *
 * - What was fetched counts as of the moment before the request. Every change makes an event, which makes a fetch that
 *   begins after the change and so sees it: the highest revision is the truth, whatever was delivered when.
 * - What an event tells counts as of its second, plus a rank within it: created first, then by how far a subscription
 *   gets in the usual course, and last what says that it goes back in that course. Two of the same rank with other content
 *   contradict each other, and only a fetch or an operator can tell which came last.
 * - What is over stays over: Stripe never leaves `canceled` and `incomplete_expired`, so that these come after
 *   everything else, also after an event of a later second that was on its way.
 */
import { FINAL } from '../../events.ts'

/** How far a subscription is in the usual course of things. */
const COURSE = ['incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused']
const TERMINAL = ['canceled', 'incomplete_expired']

export const isTerminal = (status: string): boolean => TERMINAL.includes(status)

/**
 * @param created - epoch seconds
 * @param previous - the status that it had before, where the event says so
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
  // `past_due`, then `active`, within one second: a payment that was tried again.
  return second + (before > rank ? 200 + before * COURSE.length : 100) + rank
}

/** @param now - epoch milliseconds, before the request */
export const fetchedRevision = (status: string, now: number): number =>
  isTerminal(status) ? FINAL + now : now

/** @param created - epoch seconds */
export const entitlementsRevision = (created: number): number => created * 1000
