/**
 * The control plane Worker's entry: the app, the cron, and the Durable Object in which an environment's publisher lives.
 */
import { DurableObject } from 'cloudflare:workers'
import { createControl } from './app.ts'
import { forgetReplays } from './changes/idempotency.ts'
import { type ControlBindings, parseConfig } from './config.ts'
import { connect } from './db/client.ts'
import { writePublishingLog } from './log.ts'
import { EnvironmentPublisher } from './publish/publisher.ts'

const app = createControl()

export default {
  fetch: app.fetch,
  async scheduled(_controller, env) {
    const parsed = parseConfig(env)
    if (!parsed.ok) return
    await forgetReplays(connect(env.DB).db, Date.now())
    await Promise.all(
      parsed.config.environments.map((environment) =>
        env.PUBLISHER.getByName(environment).repair(environment),
      ),
    )
  },
} satisfies ExportedHandler<ControlBindings>

/** One for each environment, by its name. What must survive an eviction is in its storage and in D1. */
export class Publisher extends DurableObject<ControlBindings> {
  #publisher: EnvironmentPublisher | undefined

  async publish(environment: string): Promise<void> {
    await (await this.#open(environment)).publish()
  }

  async rebuild(environment: string): Promise<void> {
    await (await this.#open(environment)).rebuild()
  }

  async progress(environment: string) {
    return (await this.#open(environment)).progress()
  }

  async repair(environment: string): Promise<void> {
    await (await this.#open(environment)).repair()
  }

  override async alarm(): Promise<void> {
    const environment = await this.ctx.storage.get<string>('environment')
    if (environment !== undefined) await (await this.#open(environment)).wake()
  }

  async #open(environment: string): Promise<EnvironmentPublisher> {
    if (!this.#publisher) {
      const { storage } = this.ctx
      // An alarm does not say which object it is for.
      await storage.put('environment', environment)
      this.#publisher ??= new EnvironmentPublisher({
        environment,
        db: connect(this.env.DB).db,
        kv: this.env.ENTITLEMENTS,
        clock: Date.now,
        memory: {
          get: (name) => storage.get(name),
          put: (name, value) => storage.put(name, value),
          async wakeAt(at) {
            const set = await storage.getAlarm()
            if (set === null || at < set) await storage.setAlarm(at)
          },
        },
        warn: (event, documents) => writePublishingLog({ publisher: environment, event, documents }),
      })
    }
    return this.#publisher
  }
}
