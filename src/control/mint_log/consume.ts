/**
 * The consumer of the mint log's queue: messages -> rows and counts, a batch in one D1 transaction. Does I/O.
 *
 * A queue delivers at least once. Mints are unique by `jti`, and counted losses by the queue's id of their message, so that a
 * batch whose acknowledgement was lost does nothing when it is delivered again. An unreadable message is counted and
 * acknowledged, so that it does not block the others.
 */
import { type MintEvent, type MintedEvent, mintEventSchema } from '../../core/mint_event.ts'
import { ENVIRONMENT_NAME } from '../../core/names.ts'
import type { Database } from '../db/client.ts'
import type { MintRow } from '../db/rows.ts'
import { VERSIONS } from '../effects/minted.ts'
import { faultOf } from '../http/problem.ts'
import type { MintLogLine } from '../log.ts'
import { type Loss, storeMints, UNKNOWN_ENVIRONMENT } from './store.ts'

/** Ids of identity providers are longer than this only by mistake; they are cut off and end in `…`. */
const MAX_ID_LENGTH = 512
/** The gateway generates these. They are used in paths and cursors. */
const JTI = /^[\x21-\x7e]{1,200}$/
/** The last instant with a four-digit year. */
const MAX_INSTANT_MS = Date.UTC(9999, 11, 31)
/** The delay between deliveries of a batch that D1 did not take; 100 of them take about 15 hours. */
const RETRY_SECONDS = { first: 2, longest: 600 } as const

/** The part of a `MessageBatch` that is used here. */
export interface MintBatch {
  readonly messages: readonly { readonly id: string; readonly attempts: number; readonly body: unknown }[]
  ackAll(): void
  retryAll(options: { delaySeconds: number }): void
}

export interface ConsumerOptions {
  readonly db: Database
  /** Epoch milliseconds. */
  readonly now: number
  readonly log: (line: MintLogLine) => void
}

export async function consumeMints(batch: MintBatch, { db, now, log }: ConsumerOptions): Promise<void> {
  const at = new Date(now).toISOString()
  const rows = new Map<string, MintRow>()
  const losses: Loss[] = []
  for (const { id: message, body } of batch.messages) {
    const event = readEvent(body)
    if (event === undefined) {
      losses.push({ message, environment: environmentOf(body), reason: 'unreadable', count: 1, at })
    } else if (event.type === 'token.dropped') {
      const { env: environment, count } = event
      losses.push({ message, environment, reason: 'dropped', count, at: instant(event.at) })
    } else if (!rows.has(event.jti)) {
      rows.set(event.jti, toMintRow(event))
    }
  }
  try {
    await storeMints(db, [...rows.values()], losses, at)
  } catch (error) {
    const attempts = Math.max(1, ...batch.messages.map((message) => message.attempts))
    const delaySeconds = Math.min(RETRY_SECONDS.first * 2 ** (attempts - 1), RETRY_SECONDS.longest)
    const { length: messages } = batch.messages
    log({ consumer: 'mint-log', event: 'store_failed', messages, attempts, fault: faultOf(error) })
    batch.retryAll({ delaySeconds })
    return
  }
  batch.ackAll()
  const unreadable = losses.filter(({ reason }) => reason === 'unreadable').length
  if (unreadable > 0) log({ consumer: 'mint-log', event: 'unreadable', messages: unreadable })
}

/** An event that can be stored unchanged. */
function readEvent(body: unknown): MintEvent | undefined {
  const { success, data: event } = mintEventSchema.safeParse(body)
  if (!success || event.at > MAX_INSTANT_MS) return undefined
  if (event.type === 'token.dropped') return event
  const keepable = JTI.test(event.jti) && VERSIONS.test(event.ver) && event.exp * 1000 <= MAX_INSTANT_MS
  return keepable ? event : undefined
}

function environmentOf(body: unknown): string {
  const env = typeof body === 'object' && body !== null && 'env' in body ? body.env : undefined
  return typeof env === 'string' && ENVIRONMENT_NAME.test(env) ? env : UNKNOWN_ENVIRONMENT
}

const toMintRow = (event: MintedEvent): MintRow => ({
  jti: event.jti,
  upstream_jti: bounded(event.upstream_jti),
  environment: event.env,
  org: bounded(event.org),
  sub: bounded(event.sub),
  sid: bounded(event.sid),
  client: bounded(event.client),
  flags: event.flags,
  ver: event.ver,
  src: event.src,
  minted_at: instant(event.at),
  expires_at: instant(event.exp * 1000),
  request_id: bounded(event.request_id),
})

/** SQLite accepts well-formed text only, and reads JSON text only up to a NUL. */
function bounded<T extends string | null>(text: T): T {
  if (text === null) return text
  const kept = text.length > MAX_ID_LENGTH ? `${text.slice(0, MAX_ID_LENGTH - 1)}…` : text
  return kept.toWellFormed().replaceAll('\0', '\ufffd') as T
}

const instant = (milliseconds: number): string => new Date(milliseconds).toISOString()
