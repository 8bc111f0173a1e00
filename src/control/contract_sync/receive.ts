/**
 * `POST /webhooks/{source}`: a delivery is verified over its bytes, stored, and passed to the inbox. Does I/O, through its
 * parameters.
 *
 * A delivery with a valid, recent signature is stored before it is parsed, so that its content cannot get it lost, and gets a
 * 2xx: the sender need not send it again. Only a delivery that could not be stored gets 503, which every sender retries.
 */
import { err } from '../../core/result.ts'
import type { ControlContext } from '../http/context.ts'
import { NO_STORE, refuse } from '../http/problem.ts'
import type { Refusal } from '../refusals.ts'
import { isContractEvent } from './events.ts'
import { keep } from './inbox/keep.ts'
import { parseEvent } from './inbox/parse.ts'
import {
  type Envelope,
  MAX_BODY_BYTES,
  type Parsed,
  type ReceivedEvent,
  type Settled,
  type VerifyReason,
} from './sources/source.ts'

/** A sender waits 5 to 15 s. What is not settled by then is reported as received, and known when it is sent again. */
const DELIVER_MS = 2_500

const REFUSED: Record<VerifyReason, Refusal> = {
  body_too_large: 'body_too_large',
  signature_missing: 'webhook_unsigned',
  signature_malformed: 'webhook_unsigned',
  signature_invalid: 'webhook_unsigned',
  timestamp_stale: 'webhook_refused',
  timestamp_future: 'webhook_refused',
}

export async function receive(c: ControlContext): Promise<Response> {
  const { sources, inbox, clock, db } = c.var.control
  c.var.log.route = '/webhooks/{source}'
  const [name, endpoint] = [c.req.param('source'), c.req.param('name')]
  const source = sources.get(endpoint === undefined ? (name ?? '') : `${name}/${endpoint}`)
  if (!source) return refuse(c, 'source_unknown')
  const body = await readBytes(c.req.raw)
  if (body === undefined) return refuse(c, 'body_too_large')
  const now = clock()
  const verified = await source.verify({ headers: c.req.raw.headers, body, now })
  if (!verified.ok) {
    const refused = refuse(c, REFUSED[verified.reason])
    c.var.log.reason = verified.reason
    return refused
  }
  const event = await received(source.name, verified.value, body)
  const kept = await keep(
    db,
    event,
    new TextDecoder().decode(body),
    source,
    new Date(now).toISOString(),
  ).catch(() => undefined)
  if (!kept) return refuse(c, 'inbox_failed')
  if (kept.settled && !kept.reused) return answer(c, kept.settled)
  const read = await parseEvent(kept.event, sources, now)
  const parsed = kept.reused ? reused(read) : read
  const delivered = await inTime(
    inbox.deliver(kept.event, parsed).catch(() => err('busy')),
    DELIVER_MS,
  )
  return answer(c, delivered?.ok ? delivered.value : (kept.settled ?? onItsWay(kept.event)))
}

/** An event without an id is identified by the digest of its bytes. */
async function received(
  source: string,
  { id, type = 'unreadable', ...envelope }: Envelope,
  body: Uint8Array,
): Promise<ReceivedEvent> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', body))
  const digest = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return { ...envelope, source, type, digest, id: id ?? `sha256:${digest}` }
}

/** One of the two is wrong, and a person must decide which; what it takes away does not wait for that. */
function reused(parsed: Parsed): Parsed {
  const ends = parsed.ok ? parsed.value.find(isContractEvent) : parsed.ends
  return { ...err('event_id_reused'), ...(ends && { ends }) }
}

/** Stored, and settled later by the inbox or the cron. */
const onItsWay = ({ id }: ReceivedEvent): Settled => ({
  event_id: id,
  state: 'received',
  problem: null,
  detail: null,
  version: null,
  duplicate: false,
})

function answer(c: ControlContext, settled: Settled): Response {
  if (settled.problem !== null) c.var.log.reason = settled.problem
  if (settled.version !== null) c.var.log.seq = settled.version
  const open = ['received', 'waiting', 'quarantined'].includes(settled.state)
  return c.json(settled, open ? 202 : 200, NO_STORE)
}

/** @returns `undefined` when it is too long */
async function readBytes(request: Request): Promise<Uint8Array | undefined> {
  const announced = Number(request.headers.get('content-length') ?? 0)
  if (announced > MAX_BODY_BYTES) return undefined
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  const body = new Uint8Array(size)
  let position = 0
  for (const chunk of chunks) {
    body.set(chunk, position)
    position += chunk.byteLength
  }
  return body
}

/** @returns `undefined` when it takes too long */
async function inTime<T>(work: Promise<T>, limitMs: number): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), limitMs)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
