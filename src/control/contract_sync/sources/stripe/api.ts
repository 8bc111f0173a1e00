/**
 * What is asked of Stripe's API, through its own package with the fetcher that we are given.
 *
 * "Refused" (our key, or the thing, is not known there) and "cannot tell right now" are different answers: the first
 * is for an operator, the second is for another attempt.
 */
import type { Stripe as StripeClient } from 'stripe'
import { err, ok, type Result } from '../../../../core/result.ts'
import type { ParseReason } from '../source.ts'
import { type Customer, customerSchema, type Subscription, subscriptionSchema } from './subscription.ts'

/** A webhook's sender waits for seconds, and retries. */
const TIMEOUT_MS = 1_500
const RETRIES = 1
/** More features than there can be flags. */
const MAX_ENTITLEMENTS = 1_000
const PAGE = 100

export interface StripeApi {
  readonly client: StripeClient
  /** Whether it is an error of the API, and not a bug here. */
  readonly isApiError: (error: unknown) => error is { readonly statusCode?: number }
}

type FetchReason = Extract<ParseReason, 'refetch_refused' | 'refetch_failed' | 'payload_invalid'>

/** @param apiBase - an origin */
export async function stripeApi(apiKey: string, apiBase: string, fetcher: typeof fetch): Promise<StripeApi> {
  const { Stripe } = await import('stripe')
  const { protocol, hostname, port } = new URL(apiBase)
  const client = new Stripe(apiKey, {
    httpClient: Stripe.createFetchHttpClient(fetcher),
    host: hostname,
    port: port === '' ? (protocol === 'http:' ? 80 : 443) : port,
    protocol: protocol === 'http:' ? 'http' : 'https',
    timeout: TIMEOUT_MS,
    maxNetworkRetries: RETRIES,
    telemetry: false,
  })
  return {
    client,
    isApiError: (error): error is { statusCode?: number } => error instanceof Stripe.errors.StripeError,
  }
}

/** The current subscription, with all of its items, its customer, and its schedule. */
export const fetchSubscription = (api: StripeApi, id: string): Promise<Result<Subscription, FetchReason>> =>
  ask(api, async ({ subscriptions, subscriptionItems }) => {
    const current = await subscriptions.retrieve(id, { expand: ['customer', 'schedule.phases.items.price'] })
    const items = current.items.has_more
      ? await subscriptionItems
          .list({ subscription: id, limit: PAGE })
          .autoPagingToArray({ limit: MAX_ENTITLEMENTS })
      : current.items.data
    const parsed = subscriptionSchema.safeParse({ ...current, items: { data: items, has_more: false } })
    return parsed.success ? ok(parsed.data) : err('payload_invalid')
  })

/** The current customer, whose metadata names the organization. A deleted one has none. */
export const fetchCustomer = (api: StripeApi, id: string): Promise<Result<Customer, FetchReason>> =>
  ask(api, async ({ customers }) => {
    const parsed = customerSchema.safeParse(await customers.retrieve(id))
    return parsed.success ? ok(parsed.data) : err('payload_invalid')
  })

/** A page of all subscriptions, ended ones included. @param after - the last id of the previous page */
export const listSubscriptions = (
  api: StripeApi,
  after: string | undefined,
  limit: number,
): Promise<
  Result<{ readonly data: readonly Subscription[]; readonly next: string | undefined }, FetchReason>
> =>
  ask(api, async ({ subscriptions }) => {
    const page = await subscriptions.list({
      status: 'all',
      limit,
      expand: ['data.customer', 'data.schedule.phases.items.price'],
      ...(after !== undefined && { starting_after: after }),
    })
    const data = page.data.map((one) => subscriptionSchema.safeParse(one))
    const readable = data.flatMap((one) => (one.success ? [one.data] : []))
    if (readable.length < data.length) return err('payload_invalid')
    return ok({ data: readable, next: page.has_more ? page.data.at(-1)?.id : undefined })
  })

export interface Entitlement {
  readonly feature: string
  readonly lookup_key: string
}

/** All of a customer's entitlements, page by page. */
export const fetchEntitlements = (
  api: StripeApi,
  customer: string,
): Promise<Result<readonly Entitlement[], FetchReason>> =>
  ask(api, async ({ entitlements }) => {
    const all = await entitlements.activeEntitlements
      .list({ customer, limit: PAGE })
      .autoPagingToArray({ limit: MAX_ENTITLEMENTS + 1 })
    if (all.length > MAX_ENTITLEMENTS) return err('payload_invalid')
    return ok(
      all.map(({ feature, lookup_key }) => ({
        feature: typeof feature === 'string' ? feature : feature.id,
        lookup_key,
      })),
    )
  })

async function ask<T>(
  { client, isApiError }: StripeApi,
  question: (client: StripeClient) => Promise<Result<T, FetchReason>>,
): Promise<Result<T, FetchReason>> {
  try {
    return await question(client)
  } catch (error) {
    if (!isApiError(error)) throw error
    const refused = [400, 401, 403, 404].includes(error.statusCode ?? 0)
    return err(refused ? 'refetch_refused' : 'refetch_failed')
  }
}
