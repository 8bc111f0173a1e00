/**
 * WorkOS's signature, over the bytes and with an injected clock: its package would bring half a megabyte along for one HMAC.
 * The tests sign with that package. Pure but for WebCrypto.
 */
import * as z from 'zod'
import { err, ok, type Result } from '../../../../core/result.ts'
import { externalId, instant } from '../../../entities/fields.ts'
import { hexBytes, isSigned, readJson, signatureHeader, tooLarge, untimely } from '../../signature.ts'
import { displayName, eventType } from '../names.ts'
import type { Delivery, Envelope, VerifyReason } from '../source.ts'

const HEADER = /^t=([1-9]\d{9,14}), ?v1=([0-9a-f]{64})$/

const actorSchema = z.object({ id: z.string(), name: z.string().nullish(), email: z.string().nullish() })
const eventSchema = z.object({
  id: externalId.optional().catch(undefined),
  event: eventType.optional().catch(undefined),
  created_at: instant.optional().catch(undefined),
  context: z
    .object({ actor: actorSchema.optional().catch(undefined) })
    .optional()
    .catch(undefined),
})
export async function verify(
  keys: readonly Uint8Array[],
  { headers, body, now }: Delivery,
): Promise<Result<Envelope, VerifyReason>> {
  if (tooLarge(body)) return err('body_too_large')
  const header = signatureHeader(headers.get('workos-signature'), HEADER)
  if (!header.ok) return header
  const [, timestamp = '', signature = ''] = header.value
  const signed = { keys, prefix: `${timestamp}.`, body, signatures: [hexBytes(signature)] }
  if (!(await isSigned(signed))) return err('signature_invalid')
  const reason = untimely(Number(timestamp), now)
  if (reason) return err(reason)
  const payload = readJson(body)
  const { id, event: type, created_at, context } = eventSchema.safeParse(payload).data ?? {}
  const occurredAt = created_at ?? new Date(Number(timestamp)).toISOString()
  const { actor } = context ?? {}
  const person = actor && displayName(actor.email ?? actor.id, 'somebody')
  return ok({ id, type, occurredAt, payload, ...(person !== undefined && { person }) })
}
