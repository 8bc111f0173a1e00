/** A queue in the test's hands: it takes what is sent, or does what a broken one does. */
import type { MintEvent } from '../../../src/core/mint_event.ts'
import type { MintLogQueue } from '../../../src/gateway/config.ts'

export type Send = (event: MintEvent) => Promise<unknown>

export const BROKEN: Record<string, Send> = {
  refuses: () => Promise.reject(new Error('Too Many Requests')),
  'throws at once': () => {
    throw new Error('the message is too large')
  },
  'never answers': () => new Promise(() => {}),
}

export class TestQueue implements MintLogQueue {
  /** What arrived, in order. */
  readonly events: MintEvent[] = []
  /** What was tried to be sent. */
  readonly tried: MintEvent[] = []
  readonly options: unknown[] = []
  /** In place of taking it. */
  fault: Send | undefined

  async take(event: MintEvent): Promise<void> {
    // As the platform does: what cannot be written as JSON does not arrive.
    this.events.push(JSON.parse(JSON.stringify(event)))
  }

  send(event: MintEvent, options: unknown): Promise<unknown> {
    this.tried.push(event)
    this.options.push(options)
    return this.fault ? this.fault(event) : this.take(event)
  }
}
