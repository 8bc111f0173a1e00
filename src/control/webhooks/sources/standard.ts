/**
 * Standard Webhooks: contracts from any CRM, as CloudEvents `contract.snapshot.v1` and `contract.delta.v1`.
 *
 * The `standardwebhooks` package makes the signature that we compare with; its own `verify` reads a clock that cannot be
 * handed in. `docs/contract-sync.md` is written for who sends these.
 *
 * @see https://www.standardwebhooks.com
 */
import { Webhook } from 'standardwebhooks'
import * as z from 'zod'
import { err, ok, type Result } from '../../../core/result.ts'
import { instant } from '../../entities/fields.ts'
import type { External } from '../../model/events.ts'
import type { Delivery, Parsed, ReceivedEvent, Source, VerifyReason } from '../../model/source.ts'
import { parseJson, sameText, signatureHeader, tooLarge, untimely } from '../delivery.ts'
import { eventType, instantOf } from '../names.ts'
import { payloadInvalid } from '../payload.ts'
import { contractDelta, contractSnapshot } from './standard_schema.ts'

export interface StandardOptions {
  /** `whsec_` and base64: several while one is rotated. */
  readonly secrets: readonly string[]
}

const ID = /^[\w.:@|+~-]{1,128}$/
const TIMESTAMP = /^[1-9]\d{0,10}$/
const SIGNATURES = /^v\d[a-z]?,[A-Za-z0-9+/]{1,512}={0,2}(?: v\d[a-z]?,[A-Za-z0-9+/]{1,512}={0,2}){0,15}$/

const bodySchema = z.object({ type: eventType, time: z.unknown().optional() })

export function standardSource({ secrets }: StandardOptions): Source {
  const keys = secrets.map((secret) => new Webhook(secret))
  return {
    name: 'standard',
    async verify(delivery) {
      return verify(keys, delivery)
    },
    async parse(event) {
      return parse(event)
    },
  }
}

function verify(
  keys: readonly Webhook[],
  { headers, body, now }: Delivery,
): Result<ReceivedEvent, VerifyReason> {
  if (tooLarge(body)) return err('body_too_large')
  const id = signatureHeader(headers.get('webhook-id'), ID)
  const timestamp = signatureHeader(headers.get('webhook-timestamp'), TIMESTAMP)
  const signatures = signatureHeader(headers.get('webhook-signature'), SIGNATURES)
  if (!id.ok) return id
  if (!timestamp.ok) return timestamp
  if (!signatures.ok) return signatures
  const seconds = Number(timestamp.value[0])
  if (!isSigned(keys, id.value[0], seconds, body, signatures.value[0])) return err('signature_invalid')
  const reason = untimely(seconds * 1000, now)
  if (reason) return err(reason)
  const json = parseJson(body)
  if (!json.ok) return json
  const event = bodySchema.safeParse(json.value)
  if (!event.success) return err('event_invalid')
  const time = instant.safeParse(event.data.time)
  return ok({
    id: id.value[0],
    type: event.data.type,
    occurredAt: time.success ? time.data : instantOf(seconds),
    payload: json.value,
  })
}

/** Every key against every signature, and none of them less for a match. */
function isSigned(
  keys: readonly Webhook[],
  id: string,
  seconds: number,
  body: string,
  signatures: string,
): boolean {
  const expected = keys.map((key) => key.sign(id, new Date(seconds * 1000), body))
  const matches = signatures.split(' ').map((signature) => expected.filter((one) => sameText(one, signature)))
  return matches.flat().length > 0
}

const name = (kind: External['kind'], id: string): External => ({ kind, candidates: [id], ours: id })
const flags = (ids: readonly string[]): External[] => ids.map((id) => name('flag', id))

function parse({ type, payload }: ReceivedEvent): Parsed {
  switch (type) {
    case 'contract.snapshot.v1': {
      const event = contractSnapshot.safeParse(payload)
      if (!event.success) return payloadInvalid({ '': event.error })
      const { contract, org, revision, phases } = event.data.data
      return ok([
        {
          type: 'contract.snapshot',
          source: 'standard',
          contract,
          revision,
          org: name('org', org),
          phases: phases.map(({ plan, add, grace_until, ...phase }) => ({
            ...phase,
            items: [...(plan === null ? [] : [name('plan', plan)]), ...flags(add)],
            ...(grace_until !== undefined && { grace_until }),
          })),
        },
      ])
    }
    case 'contract.delta.v1': {
      const event = contractDelta.safeParse(payload)
      if (!event.success) return payloadInvalid({ '': event.error })
      const { contract, revision, base_revision, changes } = event.data.data
      const { plan, add, remove, ...rest } = changes
      return ok([
        {
          type: 'contract.delta',
          source: 'standard',
          contract,
          revision,
          base_revision,
          changes: {
            ...rest,
            ...(plan !== undefined && { plan: plan === null ? null : name('plan', plan) }),
            ...(add && { add: flags(add) }),
            ...(remove && { remove: flags(remove) }),
          },
        },
      ])
    }
    default:
      return err('unknown_type')
  }
}
