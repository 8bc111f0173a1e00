/**
 * The events of the mint log, one for each minted token: the contract between the producer and the consumer of the queue.
 * Pure.
 *
 * An event says who has what and why. It holds no token and no secret. Unknown members are ignored, so that a newer gateway
 * does not stop an older control plane.
 */
import * as z from 'zod'
import { ENVIRONMENT_NAME, MINT_EVENT_FORMAT } from './names.ts'

const header = { format: z.literal(MINT_EVENT_FORMAT), env: z.string().regex(ENVIRONMENT_NAME) }
const id = z.string().nullable()

/** A token that was minted. */
export const mintedSchema = z.object({
  ...header,
  type: z.literal('token.minted'),
  jti: z.string().min(1),
  /** The `jti` of upstream's token, if it has one. */
  upstream_jti: id,
  org: id,
  sub: id,
  sid: id,
  client: id,
  /** Sorted and unique, as in the token. */
  flags: z.array(z.string()),
  /** `feature_flags_meta.ver` and `.src`. */
  ver: z.string(),
  src: z.enum(['fresh', 'stale', 'degraded']),
  /** The instant of evaluation, epoch milliseconds. */
  at: z.int().nonnegative(),
  /** Epoch seconds. */
  exp: z.int().nonnegative(),
  request_id: z.string(),
})

/** How many events were dropped because the queue accepted no more, since the last event of this kind. */
export const droppedSchema = z.object({
  ...header,
  type: z.literal('token.dropped'),
  count: z.int().positive(),
  /** Epoch milliseconds. */
  at: z.int().nonnegative(),
})

export const mintEventSchema = z.discriminatedUnion('type', [mintedSchema, droppedSchema])

export type MintedEvent = z.infer<typeof mintedSchema>
export type DroppedEvent = z.infer<typeof droppedSchema>
export type MintEvent = z.infer<typeof mintEventSchema>
