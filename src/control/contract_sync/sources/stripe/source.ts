/**
 * Stripe: subscriptions, entitlements and finished checkouts.
 *
 * With an API key, an event only says which object changed, and its current state is fetched: then the order of delivery does
 * not matter, more than ten entitlements are complete, and scheduled downgrades are visible. Without one, only the event is
 * available; `order.ts` describes its limits.
 *
 * @see https://docs.stripe.com/webhooks
 */
import * as z from 'zod'
import { err, ok } from '../../../../core/result.ts'
import { externalId } from '../../../entities/fields.ts'
import { type CanonicalEvent, type ContractEnd, FINAL } from '../../events.ts'
import { textBytes } from '../../signature.ts'
import { candidates, epochSeconds, instantOf, isGiven } from '../names.ts'
import { payloadInvalid } from '../payload.ts'
import { apiKey, configured, origin, type SourceKind, secrets } from '../settings.ts'
import type { Parsed, Source } from '../source.ts'
import { fetchCustomer, fetchEntitlements, fetchSubscription, type StripeApi, stripeApi } from './api.ts'
import { entitlementsOf, listStripe } from './list.ts'
import { entitlementsRevision, fetchedRevision, subscriptionRevision } from './order.ts'
import {
  deleted,
  endedStatus,
  idOf,
  overSchema,
  type Subscription,
  snapshotOf,
  subscriptionSchema,
} from './subscription.ts'
import { isForeign, SCHEDULE_TYPES, SUBSCRIPTION_TYPES } from './types.ts'
import { verify } from './verify.ts'

export interface StripeOptions {
  /** The signing secrets of the endpoint: several while one is rotated. */
  readonly secrets: readonly string[]
  /** `undefined`: nothing is fetched. */
  readonly apiKey: string | undefined
  /** An origin. */
  readonly apiBase: string
  /** Whether events of Stripe's test mode count. */
  readonly testMode: boolean
}

const vars = z.object({
  STRIPE_WEBHOOK_SECRETS: secrets('whsec_…'),
  STRIPE_API_KEY: apiKey,
  STRIPE_API_BASE: origin('https://api.stripe.com'),
  STRIPE_TEST_MODE: z.enum(['refuse', 'allow'], 'must be refuse or allow').optional(),
})

export const stripe: SourceKind = (all, { fetcher }) =>
  configured(all, 'STRIPE_WEBHOOK_SECRETS', vars, (read) => {
    const { STRIPE_API_KEY: key, STRIPE_TEST_MODE: mode } = read
    // A key of the test mode reads nothing else.
    const testMode = mode === undefined ? /^[a-z]+_test_/.test(key ?? '') : mode === 'allow'
    const options = {
      secrets: read.STRIPE_WEBHOOK_SECRETS,
      apiKey: key,
      apiBase: read.STRIPE_API_BASE,
      testMode,
    }
    return [['stripe', stripeSource(options, fetcher)]]
  })

const bodySchema = z.object({
  created: epochSeconds,
  livemode: z.boolean().optional(),
  data: z.object({
    object: z.unknown(),
    previous_attributes: z
      .object({ status: z.string().optional().catch(undefined) })
      .nullish()
      .catch(undefined),
  }),
})

const summarySchema = z.object({
  customer: externalId,
  entitlements: z.object({
    data: z.array(z.object({ feature: idOf, lookup_key: z.string() })),
    has_more: z.boolean(),
  }),
})

/** An exported subscription of the test mode. */
const testEntry = z.object({ livemode: z.literal(false) })

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

/** @param fetcher - for requests to Stripe's API */
export function stripeSource(options: StripeOptions, fetcher: typeof fetch): Source {
  const { apiKey, apiBase, testMode } = options
  const keys = options.secrets.map(textBytes)
  const reach = async () => (apiKey === undefined ? undefined : stripeApi(apiKey, apiBase, fetcher))
  return {
    name: 'stripe',
    // Two endpoints with two API versions, which Stripe recommends for an upgrade, send one event in two forms.
    idIsEnough: true,
    verify: (delivery) => verify(keys, delivery),
    async parse(event, now) {
      const body = bodySchema.safeParse(event.payload)
      if (!body.success) return payloadInvalid({ '': body.error })
      const { created, livemode, data } = body.data
      if (isForeign(event.type)) return ok([{ type: 'ignored', why: 'foreign_type' }])
      // A webhook secret does not show its mode.
      if (livemode === false && !testMode) return err('test_mode')
      const context = { type: event.type, created, now, previous: data.previous_attributes?.status }
      return parse({ ...context, api: await reach() }, data.object)
    },
    async list(cursor, now) {
      const api = await reach()
      return api ? listStripe(api, cursor, now) : err('source_without_key')
    },
    fromList(entry, now) {
      if (!testMode && testEntry.safeParse(entry).success) return err('test_mode')
      const told = subscriptionSchema.safeParse(entry)
      if (!told.success) return payloadInvalid({ '': told.error }, endOf(entry, now))
      return asSnapshot(told.data, fetchedRevision(told.data.status, now))
    },
  }
}

interface Context {
  readonly type: string
  /** Epoch seconds. */
  readonly created: number
  /** Epoch milliseconds. */
  readonly now: number
  /** The previous status of a subscription, if the event says so. */
  readonly previous: string | undefined
  readonly api: StripeApi | undefined
}

async function parse(context: Context, object: unknown): Promise<Parsed> {
  const { type } = context
  if (type === 'customer.subscription.deleted') return subscription(context, deleted(object))
  if (SUBSCRIPTION_TYPES.includes(type)) return subscription(context, object)
  if (SCHEDULE_TYPES.includes(type)) return schedule(context, object)
  if (type === 'entitlements.active_entitlement_summary.updated') return entitlements(context, object)
  if (type === 'checkout.session.completed') return checkout(context, object)
  return err('unknown_type')
}

async function subscription(context: Context, object: unknown): Promise<Parsed> {
  const { type, created, now, previous, api } = context
  const told = subscriptionSchema.safeParse(object)
  const ends = endOf(object, created * 1000)
  if (!told.success) {
    // Fetched data may be of a readable API version.
    const id = overSchema.pick({ id: true }).safeParse(object)
    const current = api && id.success ? await fetched(api, id.data.id, now) : undefined
    return current?.ok ? current : payloadInvalid({ 'data.object': told.error }, ends)
  }
  if (api) {
    const current = await fetched(api, told.data.id, now)
    return current.ok || !ends ? current : { ...current, ends }
  }
  if (told.data.items.has_more) return { ...err('refetch_unavailable'), ...(ends && { ends }) }
  return asSnapshot(told.data, subscriptionRevision(type, told.data.status, created, previous))
}

/** Reads the end of a subscription that is otherwise unreadable. @param at - epoch milliseconds */
function endOf(object: unknown, at: number): ContractEnd | undefined {
  const over = overSchema.safeParse(object)
  if (!over.success) return undefined
  const status = endedStatus(over.data.status)
  const revision = status === 'cancelled' || status === 'expired' ? FINAL + at : at
  return { type: 'contract.end', source: 'stripe', system: null, contract: over.data.id, revision, status }
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

/** A schedule's event does not contain the subscription's state, so it only causes a fetch. */
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
  // The event lists at most ten: treating them as all would take the eleventh away.
  if (!api && entitlements.has_more) return err('refetch_unavailable')
  const [all, payer] = api
    ? await Promise.all([fetchEntitlements(api, customer), fetchCustomer(api, customer)])
    : [ok(entitlements.data), undefined]
  if (!all.ok) return err(all.reason)
  const from = instantOf(created)
  const revision = api ? now : entitlementsRevision(created)
  return ok([entitlementsOf(payer?.ok ? payer.value : { id: customer }, all.value, revision, from)])
}

/**
 * Your server sets `metadata.org_id`; `client_reference_id` may come from the address of a payment link, which anybody can
 * make up, so an operator must confirm it.
 */
async function checkout({ now, api }: Context, object: unknown): Promise<Parsed> {
  const told = sessionSchema.safeParse(object)
  if (!told.success) return payloadInvalid({ 'data.object': told.error })
  const { mode, customer, subscription, client_reference_id, metadata } = told.data
  const own = isGiven(metadata?.org_id) ? metadata.org_id : undefined
  const [org] = candidates(own ?? client_reference_id)
  const links: CanonicalEvent[] =
    org !== undefined && typeof customer === 'string'
      ? [
          {
            type: 'org.linked',
            source: 'stripe',
            external_id: customer,
            org,
            confirmed: own !== undefined,
            click: false,
          },
        ]
      : []
  if (api && mode === 'subscription' && typeof subscription === 'string') {
    const current = await fetched(api, subscription, now, own)
    return current.ok ? ok([...links, ...current.value]) : current
  }
  if (links.length > 0) return ok(links)
  const why = mode === 'subscription' ? 'no_organization_named' : 'not_a_subscription'
  return ok([{ type: 'ignored', why }])
}
