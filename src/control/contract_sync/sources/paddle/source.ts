/**
 * Paddle Billing: subscriptions. An event contains the whole subscription and its time to the microsecond, which orders
 * events; a canceled subscription stays canceled.
 *
 * @see https://developer.paddle.com/webhooks/signature-verification
 */
import * as z from 'zod'
import { err, ok, type Result } from '../../../../core/result.ts'
import { externalId, instant } from '../../../entities/fields.ts'
import { type ContractSnapshot, type External, FINAL } from '../../events.ts'
import {
  hexBytes,
  isSigned,
  readJson,
  signatureHeader,
  textBytes,
  tooLarge,
  untimely,
} from '../../signature.ts'
import { candidates, eventType, isGiven, named } from '../names.ts'
import { payloadInvalid } from '../payload.ts'
import { configured, type SourceKind, secrets as secretsOf } from '../settings.ts'
import type { Delivery, Envelope, Parsed, Source, VerifyReason } from '../source.ts'

export interface PaddleOptions {
  /** The secret keys of the notification destination: several while one is rotated. */
  readonly secrets: readonly string[]
}

const vars = z.object({ PADDLE_WEBHOOK_SECRETS: secretsOf('pdl_ntfset_…') })

export const paddle: SourceKind = (all) =>
  configured(all, 'PADDLE_WEBHOOK_SECRETS', vars, (read) => [
    ['paddle', paddleSource({ secrets: read.PADDLE_WEBHOOK_SECRETS })],
  ])

const HEADER = /^ts=([1-9]\d{0,10})((?:;h1=[0-9a-f]{64}){1,8})$/
const MICROSECONDS = /\.(\d{1,6})\d*/
const FOREIGN =
  /^(address|adjustment|api_key|business|client_token|customer|discount|discount_group|payment_method|payout|price|product|report|transaction)\./

const envelopeSchema = z.object({
  event_id: externalId.optional().catch(undefined),
  event_type: eventType.optional().catch(undefined),
  occurred_at: instant.optional().catch(undefined),
})
const bodySchema = z.object({ occurred_at: z.string(), data: z.unknown() })

const subscriptionSchema = z.object({
  id: externalId,
  status: z.enum(['trialing', 'active', 'past_due', 'paused', 'canceled']),
  customer_id: externalId,
  custom_data: z.object({ org_id: z.string().nullish() }).nullish(),
  created_at: instant,
  started_at: instant.nullish(),
  canceled_at: instant.nullish(),
  scheduled_change: z.object({ action: z.string(), effective_at: instant }).nullish(),
  items: z.array(
    z.object({
      status: z.string().optional(),
      quantity: z.number(),
      price: z.object({ id: externalId, product_id: externalId.nullish() }),
    }),
  ),
})

export function paddleSource({ secrets }: PaddleOptions): Source {
  const keys = secrets.map(textBytes)
  return {
    name: 'paddle',
    idIsEnough: true,
    verify: (delivery) => verify(keys, delivery),
    async parse({ type, payload }) {
      const body = bodySchema.safeParse(payload)
      if (!body.success) return payloadInvalid({ '': body.error })
      if (FOREIGN.test(type)) return ok([{ type: 'ignored', why: 'foreign_type' }])
      if (!type.startsWith('subscription.')) return err('unknown_type')
      return subscription(body.data.data, microseconds(body.data.occurred_at))
    },
    fromList: (entry, now) => subscription(entry, now * 1000),
  }
}

async function verify(
  keys: readonly Uint8Array[],
  { headers, body, now }: Delivery,
): Promise<Result<Envelope, VerifyReason>> {
  if (tooLarge(body)) return err('body_too_large')
  const header = signatureHeader(headers.get('paddle-signature'), HEADER)
  if (!header.ok) return header
  const [, timestamp = '', hashes = ''] = header.value
  const signatures = hashes.split(';h1=').filter(Boolean).map(hexBytes)
  if (!(await isSigned({ keys, prefix: `${timestamp}:`, body, signatures }))) return err('signature_invalid')
  const reason = untimely(Number(timestamp) * 1000, now)
  if (reason) return err(reason)
  const payload = readJson(body)
  const { event_id: id, event_type: type, occurred_at } = envelopeSchema.safeParse(payload).data ?? {}
  const occurredAt = occurred_at ?? new Date(Number(timestamp) * 1000).toISOString()
  return ok({ id, type, occurredAt, payload })
}

/** @param text - RFC 3339 with up to six digits of a second */
function microseconds(text: string): number {
  const fraction = (MICROSECONDS.exec(text)?.[1] ?? '').padEnd(6, '0')
  return Math.floor(Date.parse(text) / 1000) * 1_000_000 + Number(fraction)
}

/** @param at - epoch microseconds */
function subscription(object: unknown, at: number): Parsed {
  const told = subscriptionSchema.safeParse(object)
  if (told.success && Number.isSafeInteger(at)) return ok([snapshotOf(told.data, at)])
  const over = subscriptionSchema.pick({ id: true, status: true }).safeParse(object)
  const status = over.data && ENDED[over.data.status]
  if (!over.data || !status) return payloadInvalid({ data: told.error })
  const { id: contract } = over.data
  const revision = status === 'cancelled' ? FINAL + at : at
  return payloadInvalid(
    { data: told.error },
    { type: 'contract.end', source: 'paddle', system: null, contract, revision, status },
  )
}

const ENDED: Partial<Record<string, 'cancelled' | 'paused'>> = { canceled: 'cancelled', paused: 'paused' }

function snapshotOf(one: z.infer<typeof subscriptionSchema>, at: number): ContractSnapshot {
  const status = one.status === 'canceled' ? ('cancelled' as const) : one.status
  const from = one.started_at ?? one.created_at
  // A pause ends what is granted, like a cancellation; an event announces its end.
  const ends = one.scheduled_change && ['cancel', 'pause'].includes(one.scheduled_change.action)
  const to =
    (status === 'cancelled' ? one.canceled_at : ends ? one.scheduled_change?.effective_at : null) ?? null
  return {
    type: 'contract.snapshot',
    source: 'paddle',
    system: null,
    contract: one.id,
    revision: status === 'cancelled' ? FINAL + at : at,
    org: orgOf(one),
    customer: one.customer_id,
    phases: [
      {
        status,
        from,
        to: to !== null && to < from ? from : to,
        items: one.items
          .filter((item) => item.quantity > 0 && item.status !== 'inactive')
          .map(({ price }) => ({ kind: 'price', candidates: candidates(price.id, price.product_id) })),
      },
    ],
  }
}

/** The organization that your server sets when it opens the checkout; otherwise the customer's mapping. */
function orgOf({ id, customer_id, custom_data }: z.infer<typeof subscriptionSchema>): External {
  const own = custom_data?.org_id
  return isGiven(own) ? named('org', own, id) : { kind: 'org', candidates: candidates(id, customer_id) }
}
