/**
 * Stands for the control plane as the consumer of the mint log: stores each event once, by its `jti`.
 *
 * In memory, where the control plane has D1. `mint_log_consumer.ts` says what takes its place.
 */
import type { MintEvent } from '../../src/core/mint_event.ts'

export interface Message {
  readonly body: unknown
  ack(): void
  retry(): void
}

/** The part of a queue's batch that a consumer uses. */
export interface Batch {
  readonly queue: string
  readonly messages: readonly Message[]
  ackAll(): void
  retryAll(): void
}

const rows: string[] = []
const known = new Set<string>()

export const consumer = {
  async queue(batch: Batch, _env: unknown, _context: unknown): Promise<void> {
    for (const { body } of batch.messages) {
      const event = body as MintEvent
      if (event.type !== 'token.minted' || known.has(event.jti)) continue
      known.add(event.jti)
      rows.push(event.jti)
    }
  },
}

/** The `jti` of every row, so that a token that is stored twice is here twice. */
export const stored = async (_env: unknown): Promise<readonly string[]> => rows
