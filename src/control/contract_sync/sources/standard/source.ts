/**
 * Standard Webhooks: contracts and beta participation from any CRM, as CloudEvents. `/webhooks/standard` is one endpoint;
 * each of `/webhooks/standard/{name}` is another one, with secrets, mappings and numbers of its own.
 *
 * Several systems may share an endpoint: `source` distinguishes their numbers. `docs/contract-sync.md` is written for their
 * developers.
 *
 * @see https://www.standardwebhooks.com
 */
import * as z from 'zod'
import { err, ok, type Result } from '../../../../core/result.ts'
import { instant } from '../../../entities/fields.ts'
import type { External } from '../../events.ts'
import { base64Bytes, isSigned, readJson, signatureHeader, tooLarge, untimely } from '../../signature.ts'
import { eventType, instantOf, named } from '../names.ts'
import { payloadInvalid } from '../payload.ts'
import { configured, type SourceKind, secrets } from '../settings.ts'
import type { Delivery, Envelope, Parsed, ReceivedEvent, Source, VerifyReason } from '../source.ts'
import { readableBeta, readableDelta, readableSnapshot } from './readable.ts'
import { betaSnapshot, contractDelta, contractSnapshot } from './schema.ts'

export interface StandardOptions {
  /** The name of a named endpoint. */
  readonly name?: string
  /** `whsec_` and base64: several while one is rotated. */
  readonly secrets: readonly string[]
}

/** Base64 of 24 to 64 bytes, as Standard Webhooks has it. */
const SECRET = /^whsec_(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** `STANDARD_WEBHOOK_SECRETS_MARKET` is the endpoint `/webhooks/standard/market`. */
const ENDPOINT = /^STANDARD_WEBHOOK_SECRETS(?:_([A-Z0-9](?:[A-Z0-9_]{0,28}[A-Z0-9])?))?$/

export const standard: SourceKind = (vars) => {
  const all = Object.keys(vars).flatMap((variable) => {
    const match = ENDPOINT.exec(variable)
    if (!match) return []
    const name = match[1]?.toLowerCase().replaceAll('_', '-')
    const schema = z.object({ [variable]: secrets('whsec_ and base64 of 24 to 64 bytes', SECRET) })
    const path = name === undefined ? 'standard' : `standard/${name}`
    return configured(vars, variable, schema, ({ [variable]: own = [] }) => [
      [path, standardSource({ ...(name !== undefined && { name }), secrets: own })],
    ])
  })
  return {
    endpoints: all.flatMap(({ endpoints }) => endpoints),
    problems: all.flatMap(({ problems }) => problems),
  }
}

const ID = /^[\w.:@|+~-]{1,128}$/
const TIMESTAMP = /^[1-9]\d{0,10}$/
const SIGNATURES = /^v\d[a-z]?,[A-Za-z0-9+/]{1,512}={0,2}(?: v\d[a-z]?,[A-Za-z0-9+/]{1,512}={0,2}){0,15}$/

const bodySchema = z.object({
  type: eventType.optional().catch(undefined),
  time: instant.optional().catch(undefined),
  // Stored as text, which half a character would not survive: the same source must stay the same.
  source: z
    .string()
    .min(1)
    .max(200)
    .transform((source) => source.toWellFormed())
    .optional()
    .catch(undefined),
})

export function standardSource({ name, secrets }: StandardOptions): Source {
  const keys = secrets.map((secret) => base64Bytes(secret.replace(/^whsec_/, '')) ?? new Uint8Array())
  const source = name === undefined ? 'standard' : `standard-${name}`
  return {
    name: source,
    idIsEnough: false,
    verify: (delivery) => verify(keys, delivery),
    async parse(event) {
      return parse(source, event)
    },
    fromList(entry, now) {
      return parse(source, {
        source,
        id: 'list',
        type: 'contract.snapshot.v1',
        digest: '',
        occurredAt: new Date(now).toISOString(),
        payload: asEvent(entry),
        ...systemOf(entry),
      })
    },
  }
}

async function verify(
  keys: readonly Uint8Array[],
  { headers, body, now }: Delivery,
): Promise<Result<Envelope, VerifyReason>> {
  if (tooLarge(body)) return err('body_too_large')
  const id = signatureHeader(headers.get('webhook-id'), ID)
  const timestamp = signatureHeader(headers.get('webhook-timestamp'), TIMESTAMP)
  const list = signatureHeader(headers.get('webhook-signature'), SIGNATURES)
  if (!id.ok) return id
  if (!timestamp.ok) return timestamp
  if (!list.ok) return list
  const signatures = list.value[0]
    .split(' ')
    .flatMap((one) => (one.startsWith('v1,') ? (base64Bytes(one.slice(3)) ?? []) : []))
  const prefix = `${id.value[0]}.${timestamp.value[0]}.`
  if (!(await isSigned({ keys, prefix, body, signatures }))) return err('signature_invalid')
  const seconds = Number(timestamp.value[0])
  const reason = untimely(seconds * 1000, now)
  if (reason) return err(reason)
  const payload = readJson(body)
  const { type, time = instantOf(seconds), source } = bodySchema.safeParse(payload).data ?? {}
  return ok({
    id: id.value[0],
    type,
    occurredAt: time,
    payload,
    ...(source !== undefined && { system: source }),
  })
}

/** An entry of a list is the `data` of a snapshot, or the whole event. */
const asEvent = (entry: unknown): unknown =>
  typeof entry === 'object' && entry !== null && 'specversion' in entry
    ? entry
    : { specversion: '1.0', id: 'list', source: 'list', type: 'contract.snapshot.v1', data: entry }

function systemOf(entry: unknown): { system?: string } {
  const source = bodySchema.safeParse(entry).data?.source
  return source === undefined ? {} : { system: source }
}

const flags = (ids: readonly string[]): External[] => ids.map((id) => named('flag', id))

function parse(source: string, { type, payload, occurredAt, ...event }: ReceivedEvent): Parsed {
  const system = event.system ?? null
  switch (type) {
    case 'contract.snapshot.v1': {
      const event = contractSnapshot.safeParse(payload)
      if (!event.success)
        return payloadInvalid({ '': event.error }, readableSnapshot({ source, system }, payload))
      const { contract, org, revision, phases } = event.data.data
      return ok([
        {
          type: 'contract.snapshot',
          source,
          system,
          contract,
          revision,
          customer: null,
          org: named('org', org),
          phases: phases.map(({ plan, add, grace_until, ...phase }) => ({
            ...phase,
            items: [...(plan === null ? [] : [named('plan', plan)]), ...flags(add)],
            ...(grace_until !== undefined && { grace_until }),
          })),
        },
      ])
    }
    case 'contract.delta.v1': {
      const event = contractDelta.safeParse(payload)
      if (!event.success)
        return payloadInvalid({ '': event.error }, readableDelta({ source, system }, payload))
      const { contract, revision, base_revision, changes } = event.data.data
      const { plan, add, remove, ...rest } = changes
      return ok([
        {
          type: 'contract.delta',
          source,
          system,
          contract,
          revision,
          base_revision,
          changes: {
            ...rest,
            ...(plan !== undefined && { plan: plan === null ? null : named('plan', plan) }),
            ...(add && { add: flags(add) }),
            ...(remove && { remove: flags(remove) }),
          },
        },
      ])
    }
    case 'beta.snapshot.v1': {
      const event = betaSnapshot.safeParse(payload)
      if (!event.success) {
        const at = Date.parse(occurredAt)
        return payloadInvalid({ '': event.error }, readableBeta({ source, system }, payload, at))
      }
      const { org, flag, from, to, revision = Date.parse(occurredAt) } = event.data.data
      const over = to !== null && to <= from
      return ok([
        {
          type: 'contract.snapshot',
          source,
          system,
          contract: `beta:${org}:${flag}`,
          revision,
          org: named('org', org),
          customer: null,
          phases: [
            {
              status: over ? 'cancelled' : 'active',
              from,
              to: over ? from : to,
              items: [named('flag', flag)],
            },
          ],
        },
      ])
    }
    default:
      return err('unknown_type')
  }
}
