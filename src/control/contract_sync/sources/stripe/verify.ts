/**
 * Stripe's signature, over the bytes and with an injected clock; the tests sign with Stripe's own package. Pure but for
 * WebCrypto.
 *
 * @see https://docs.stripe.com/webhooks/signature
 */
import * as z from 'zod'
import { err, ok, type Result } from '../../../../core/result.ts'
import { externalId } from '../../../entities/fields.ts'
import { hexBytes, isSigned, readJson, signatureHeader, tooLarge, untimely } from '../../signature.ts'
import { epochSeconds, eventType, instantOf } from '../names.ts'
import type { Delivery, Envelope, VerifyReason } from '../source.ts'

const HEADER = /^t=([1-9]\d{0,10})((?:,v\d=[0-9a-f]{64}){1,16})$/

const eventSchema = z.object({
  id: externalId.optional().catch(undefined),
  type: eventType.optional().catch(undefined),
  created: epochSeconds.optional().catch(undefined),
})
export async function verify(
  keys: readonly Uint8Array[],
  { headers, body, now }: Delivery,
): Promise<Result<Envelope, VerifyReason>> {
  if (tooLarge(body)) return err('body_too_large')
  const header = signatureHeader(headers.get('stripe-signature'), HEADER)
  if (!header.ok) return header
  const [, timestamp = '', list = ''] = header.value
  const signatures = list.split(',').flatMap((one) => (one.startsWith('v1=') ? hexBytes(one.slice(3)) : []))
  if (!(await isSigned({ keys, prefix: `${timestamp}.`, body, signatures }))) return err('signature_invalid')
  const reason = untimely(Number(timestamp) * 1000, now)
  if (reason) return err(reason)
  const payload = readJson(body)
  const { id, type, created = Number(timestamp) } = eventSchema.safeParse(payload).data ?? {}
  return ok({ id, type, occurredAt: instantOf(created), payload })
}
