/**
 * The Worker that the tests run beside: the real classes under the limits of Cloudflare, with what would make every test
 * wait in its hands.
 */
import type { ControlBindings } from '../../../src/control/config.ts'
import worker, {
  Inbox as RealInbox,
  Publisher as RealPublisher,
  Scheduler as RealScheduler,
} from '../../../src/control/worker.ts'
import { invocation, limitedObject, underLimits } from './limits.ts'

export const edges = {
  /** Local KV takes more than one write a second for a key. */
  keyIntervalMs: 0,
  /** Whether publishers work after every command. Most tests look at no document, or at the last. */
  publishing: false,
}

export class Publisher extends limitedObject(RealPublisher) {
  protected override get keyIntervalMs(): number {
    return edges.keyIntervalMs
  }

  override async publish(environment: string): Promise<void> {
    if (edges.publishing) await super.publish(environment)
  }
}
export class Scheduler extends limitedObject(RealScheduler) {}
export class Inbox extends limitedObject(RealInbox) {}

export default {
  fetch: (request, env, context) => invocation(() => worker.fetch(request, underLimits(env), context)),
  scheduled: (controller, env) => invocation(() => worker.scheduled(controller, underLimits(env))),
  queue: (batch, env) => invocation(() => worker.queue(batch, underLimits(env))),
} satisfies ExportedHandler<ControlBindings>
