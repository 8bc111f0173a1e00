/** The Worker that the tests run beside: the real classes, with what would make every test wait in its hands. */
import { Publisher as RealPublisher } from '../../../src/control/worker.ts'

export * from '../../../src/control/worker.ts'
export { default } from '../../../src/control/worker.ts'

export const edges = {
  /** Local KV takes more than one write a second for a key. */
  keyIntervalMs: 0,
}

export class Publisher extends RealPublisher {
  protected override get keyIntervalMs(): number {
    return edges.keyIntervalMs
  }
}
