/** A queue in the test's hands: it takes what is sent, or does what a broken one does. */
import type { MintEvent } from '../../../src/core/mint_event.ts'
import type { MintLogMessage, MintLogQueue } from '../../../src/gateway/config.ts'

/** Is handed the events of a batch. */
export type Send = (events: readonly MintEvent[]) => Promise<unknown>

export const BROKEN: Record<'refuses' | 'throws at once' | 'never answers', Send> = {
  refuses: () => Promise.reject(new Error('Too Many Requests')),
  'throws at once': () => {
    throw new Error('the batch is too large')
  },
  'never answers': () => new Promise(() => {}),
}

export class TestQueue implements MintLogQueue {
  /** The batches that arrived, in order. */
  readonly batches: MintEvent[][] = []
  /** What was tried to be sent, a batch each. */
  readonly tried: (readonly MintLogMessage[])[] = []
  /** In place of taking it. */
  fault: Send | undefined

  /** What arrived, in order. */
  get events(): MintEvent[] {
    return this.batches.flat()
  }

  get triedEvents(): MintEvent[] {
    return this.tried.flat().map(({ body }) => body)
  }

  async take(events: readonly MintEvent[]): Promise<void> {
    // As the platform does: what cannot be written as JSON does not arrive.
    this.batches.push(JSON.parse(JSON.stringify(events)))
  }

  sendBatch(messages: readonly MintLogMessage[]): Promise<unknown> {
    this.tried.push(messages)
    const events = messages.map(({ body }) => body)
    return this.fault ? this.fault(events) : this.take(events)
  }
}
