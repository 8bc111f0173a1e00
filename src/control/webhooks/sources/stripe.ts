/**
 * Stripe: subscriptions, entitlements and finished checkouts.
 *
 * With an API key, an event only says what to look at, and what is current is fetched: then nothing depends on the order
 * of delivery, more than ten entitlements are all there, and scheduled downgrades are visible. Without one, the event is
 * all there is; `stripe_order.ts` says how far that reaches. The `stripe` package verifies, and is loaded when it is
 * needed, so that it does not slow down the start of an isolate that has no use for it.
 *
 * @see https://docs.stripe.com/webhooks
 */
import * as z from 'zod'
import { err, ok, type Result } from '../../../core/result.ts'
import { externalId } from '../../entities/fields.ts'
import type { CanonicalEvent } from '../../model/events.ts'
import type { Delivery, Parsed, ReceivedEvent, Source, VerifyReason } from '../../model/source.ts'
import { parseJson, signatureHeader, tooLarge, untimely } from '../delivery.ts'
import { candidates, epochSeconds, eventType, instantOf } from '../names.ts'
import { payloadInvalid } from '../payload.ts'
import { fetchEntitlements, fetchSubscription, type StripeApi, stripeApi } from './stripe_api.ts'
import { entitlementsRevision, fetchedRevision, subscriptionRevision } from './stripe_order.ts'
import { idOf, type Subscription, snapshotOf, subscriptionSchema } from './stripe_subscription.ts'

export interface StripeOptions {
  /** The signing secrets of the endpoint: several while one is rotated. */
  readonly secrets: readonly string[]
  /** `undefined`: nothing is fetched. */
  readonly apiKey: string | undefined
  /** An origin. */
  readonly apiBase: string
}

const HEADER = /^t=([1-9]\d{0,10})((?:,v\d=[0-9a-f]{64}){1,16})$/

const eventSchema = z.object({ id: externalId, type: eventType, created: epochSeconds })
const bodySchema = z.object({ created: epochSeconds, data: z.object({ object: z.unknown() }) })

const summarySchema = z.object({
  customer: externalId,
  entitlements: z.object({
    data: z.array(z.object({ feature: idOf, lookup_key: z.string() })),
    has_more: z.boolean(),
  }),
})

const sessionSchema = z.object({
  mode: z.string(),
  customer: idOf.nullish(),
  subscription: idOf.nullish(),
  client_reference_id: z.string().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
})

const scheduleSchema = z.object({
  subscription: idOf.nullish(),
  released_subscription: idOf.nullish(),
})

/** @param fetcher - how Stripe's API is reached */
export function stripeSource(options: StripeOptions, fetcher: typeof fetch): Source {
  const reach = async () =>
    options.apiKey === undefined ? undefined : stripeApi(options.apiKey, options.apiBase, fetcher)
  return {
    name: 'stripe',
    verify: (delivery) => verify(options.secrets, delivery),
    async parse(event, now) {
      const body = bodySchema.safeParse(event.payload)
      if (!body.success) return payloadInvalid({ '': body.error })
      const context = { type: event.type, created: body.data.created, now, api: await reach() }
      return parse(context, body.data.data.object)
    },
  }
}

async function verify(
  secrets: readonly string[],
  { headers, body, now }: Delivery,
): Promise<Result<ReceivedEvent, VerifyReason>> {
  if (tooLarge(body)) return err('body_too_large')
  const header = signatureHeader(headers.get('stripe-signature'), HEADER)
  if (!header.ok) return header
  const [text, timestamp] = header.value
  if (!(await isSigned(secrets, body, text))) return err('signature_invalid')
  const reason = untimely(Number(timestamp) * 1000, now)
  if (reason) return err(reason)
  const json = parseJson(body)
  if (!json.ok) return json
  const event = eventSchema.safeParse(json.value)
  if (!event.success) return err('event_invalid')
  const { id, type, created } = event.data
  return ok({ id, type, occurredAt: instantOf(created), payload: json.value })
}

async function isSigned(secrets: readonly string[], body: string, header: string): Promise<boolean> {
  const { Stripe } = await import('stripe')
  const provider = Stripe.createSubtleCryptoProvider()
  const { signature } = Stripe.webhooks
  if (signature === null) return false
  for (const secret of secrets) {
    try {
      // Without a tolerance, as the package's own has no bound for the future. It throws where nothing matches.
      if (await signature.verifyHeaderAsync(body, header, secret, 0, provider)) return true
    } catch (error) {
      if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) throw error
    }
  }
  return false
}

interface Context {
  readonly type: string
  /** Epoch seconds. */
  readonly created: number
  /** Epoch milliseconds. */
  readonly now: number
  readonly api: StripeApi | undefined
}

async function parse(context: Context, object: unknown): Promise<Parsed> {
  switch (context.type) {
    case 'customer.subscription.created':
    case 'customer.subscription.updated':
    case 'customer.subscription.deleted':
    case 'customer.subscription.paused':
    case 'customer.subscription.resumed':
    case 'customer.subscription.trial_will_end':
    case 'customer.subscription.pending_update_applied':
    case 'customer.subscription.pending_update_expired':
      return subscription(context, object)
    case 'subscription_schedule.created':
    case 'subscription_schedule.updated':
    case 'subscription_schedule.released':
    case 'subscription_schedule.canceled':
    case 'subscription_schedule.completed':
    case 'subscription_schedule.aborted':
    case 'subscription_schedule.expiring':
      return schedule(context, object)
    case 'entitlements.active_entitlement_summary.updated':
      return entitlements(context, object)
    case 'checkout.session.completed':
      return checkout(context, object)
    default:
      return err('unknown_type')
  }
}

async function subscription({ type, created, now, api }: Context, object: unknown): Promise<Parsed> {
  const told = subscriptionSchema.safeParse(object)
  if (!told.success) return payloadInvalid({ 'data.object': told.error })
  if (api) return fetched(api, told.data.id, now)
  if (told.data.items.has_more) return err('refetch_unavailable')
  return asSnapshot(told.data, subscriptionRevision(type, told.data.status, created))
}

async function fetched(api: StripeApi, id: string, now: number, org?: string): Promise<Parsed> {
  const current = await fetchSubscription(api, id)
  return current.ok
    ? asSnapshot(current.value, fetchedRevision(current.value.status, now), org)
    : err(current.reason)
}

function asSnapshot(subscription: Subscription, revision: number, org?: string): Parsed {
  const snapshot = snapshotOf(subscription, revision, org)
  return snapshot ? ok([snapshot]) : err('payload_invalid')
}

/** A schedule's event does not say how the subscription stands, so that it is only worth a look at that. */
async function schedule({ now, api }: Context, object: unknown): Promise<Parsed> {
  const told = scheduleSchema.safeParse(object)
  if (!told.success) return payloadInvalid({ 'data.object': told.error })
  const id = told.data.subscription ?? told.data.released_subscription
  if (id === null || id === undefined) return ok([{ type: 'ignored', why: 'not_a_subscription' }])
  return api ? fetched(api, id, now) : err('refetch_unavailable')
}

async function entitlements({ created, now, api }: Context, object: unknown): Promise<Parsed> {
  const told = summarySchema.safeParse(object)
  if (!told.success) return payloadInvalid({ 'data.object': told.error })
  const { customer, entitlements } = told.data
  // The event lists ten at most: to take them for all of them would take the eleventh from the customer.
  if (!api && entitlements.has_more) return err('refetch_unavailable')
  const all = api ? await fetchEntitlements(api, customer) : ok(entitlements.data)
  if (!all.ok) return err(all.reason)
  return ok([
    {
      type: 'entitlements.snapshot',
      source: 'stripe',
      contract: `stripe-entitlements:${customer}`,
      revision: api ? now : entitlementsRevision(created),
      org: { kind: 'org', candidates: candidates(customer) },
      from: instantOf(created),
      flags: all.value.map(({ feature, lookup_key }) => ({
        kind: 'flag',
        candidates: candidates(lookup_key, feature),
        // Stripe calls it "a unique key you provide as your own system identifier".
        ours: lookup_key,
      })),
    },
  ])
}

/**
 * `metadata.org_id` is set by your server; `client_reference_id` may come from the address of a payment link, which anybody
 * can make up, so that an operator must confirm what only that says.
 */
async function checkout({ now, api }: Context, object: unknown): Promise<Parsed> {
  const told = sessionSchema.safeParse(object)
  if (!told.success) return payloadInvalid({ 'data.object': told.error })
  const { mode, customer, subscription, client_reference_id, metadata } = told.data
  const [named] = candidates(metadata?.org_id)
  const [org] = candidates(metadata?.org_id, client_reference_id)
  const links: CanonicalEvent[] =
    org !== undefined && typeof customer === 'string'
      ? [{ type: 'org.linked', source: 'stripe', external_id: customer, org, confirmed: named !== undefined }]
      : []
  if (api && mode === 'subscription' && typeof subscription === 'string') {
    const current = await fetched(api, subscription, now, named)
    return current.ok ? ok([...links, ...current.value]) : current
  }
  if (links.length > 0) return ok(links)
  const why = mode === 'subscription' ? 'no_organization_named' : 'not_a_subscription'
  return ok([{ type: 'ignored', why }])
}
