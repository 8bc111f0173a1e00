/**
 * `POST /webhooks/{source}`: a delivery, verified over its raw body, parsed, and handed to the inbox. Does I/O through what
 * it is handed.
 *
 * The answer says what became of the event. Everything that was kept is 2xx, so that the sender need not send it again;
 * what could not be kept, or could not be understood only for now, is 503, which every sender tries again.
 */

import { err } from '../../core/result.ts'
import type { ControlContext } from '../http/context.ts'
import { NO_STORE, refuse } from '../http/problem.ts'
import { MAX_BODY_BYTES, type Settled, type VerifyReason } from '../model/source.ts'
import type { Refusal } from '../refusals.ts'

/** A sender waits 5 to 15 s; most of that is left to the inbox. */
const PARSE_MS = 2_000
const DELIVER_MS = 2_500

const REFUSED: Record<VerifyReason, Refusal> = {
  body_too_large: 'body_too_large',
  signature_missing: 'webhook_unsigned',
  signature_malformed: 'webhook_unsigned',
  signature_invalid: 'webhook_unsigned',
  timestamp_stale: 'webhook_refused',
  timestamp_future: 'webhook_refused',
  body_not_json: 'webhook_refused',
  event_invalid: 'webhook_refused',
}

export async function receive(c: ControlContext): Promise<Response> {
  const { sources, inbox, clock } = c.var.control
  c.var.log.route = '/webhooks/{source}'
  const source = sources.get(c.req.param('source') ?? '')
  if (!source) return refuse(c, 'source_unknown')
  const body = await readRaw(c.req.raw)
  if (body === undefined) return refuse(c, 'body_too_large')
  if (body === null) return refuse(c, 'webhook_refused')
  const now = clock()
  const verified = await source.verify({ headers: c.req.raw.headers, body, now })
  if (!verified.ok) {
    const refused = refuse(c, REFUSED[verified.reason])
    c.var.log.reason = verified.reason
    return refused
  }
  const event = verified.value
  const parsed = await inTime(source.parse(event, now), PARSE_MS, err('refetch_failed'))
  // What comes too late for this answer is kept all the same, and recognized when it is sent again.
  const delivered = await inTime(
    inbox.deliver({ source: source.name, event, parsed }),
    DELIVER_MS,
    err('busy'),
  )
  if (!delivered.ok) return refuse(c, delivered.reason)
  return answer(c, delivered.value)
}

function answer(c: ControlContext, settled: Settled): Response {
  if (settled.problem !== null) c.var.log.reason = settled.problem
  if (settled.problem === 'refetch_failed') return refuse(c, 'refetch_failed')
  if (settled.problem === 'apply_failed') return refuse(c, 'inbox_failed')
  if (settled.version !== null) c.var.log.seq = settled.version
  const open = settled.state === 'waiting' || settled.state === 'quarantined'
  return c.json(settled, open ? 202 : 200, NO_STORE)
}

/** @returns `undefined` when it is too long, `null` when it is no text */
async function readRaw(request: Request): Promise<string | undefined | null> {
  const announced = Number(request.headers.get('content-length') ?? 0)
  if (announced > MAX_BODY_BYTES) return undefined
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join('') + decoder.decode()
  } catch {
    return null
  }
}

/** What takes too long cannot be told right now. */
async function inTime<T>(work: Promise<T>, limitMs: number, otherwise: T): Promise<T> {
  const { promise: late, resolve } = Promise.withResolvers<T>()
  const timer = setTimeout(() => resolve(otherwise), limitMs)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
