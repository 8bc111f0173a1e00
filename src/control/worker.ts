/**
/**
 * The control plane Worker's entry: the app, the cron, the queue of the mint log, and the Durable Objects of the
 * publishers, the scheduler and the inbox.
 */
import { DurableObject } from 'cloudflare:workers'
import { err } from '../core/result.ts'
import { COMMANDS, createControl, openLedger } from './app.ts'
import { Scheduler as ChangeScheduler, type Rechecked } from './change_requests/scheduler.ts'
import {
  type ControlBindings,
  DRIFT_NAME,
  type DriftProgress,
  INBOX_NAME,
  parseConfig,
  SCHEDULER_NAME,
} from './config.ts'
import { denySession } from './contract_sync/inbox/deny.ts'
import { Inbox as ContractInbox } from './contract_sync/inbox/inbox.ts'
import { forgetEvents } from './contract_sync/inbox/retriable.ts'
import { readQuarantine } from './contract_sync/quarantine.ts'
import { misderived } from './contract_sync/rederive.ts'
import { configureSources } from './contract_sync/sources/index.ts'
import type { Vars } from './contract_sync/sources/settings.ts'
import type { Parsed, ReceivedEvent } from './contract_sync/sources/source.ts'
import { connect } from './db/client.ts'
import { DriftRunner } from './drift/runner.ts'
import { forgetReplays } from './ledger/idempotency.ts'
import { writeFault } from './log.ts'
import { consumeMints } from './mint_log/consume.ts'
import { forgetMints } from './mint_log/store.ts'
import { EnvironmentPublisher, KEY_INTERVAL_MS } from './publish/publisher.ts'
import { readBackAfter } from './publish/read_back.ts'

const app = createControl()

export default {
  fetch: app.fetch,
  async scheduled(_controller, env) {
    const parsed = parseConfig(env)
    if (!parsed.ok) return
    const { db } = connect(env.DB)
    await forgetReplays(db, Date.now())
    const work = await Promise.allSettled([
      env.SCHEDULER.getByName(SCHEDULER_NAME).tick(),
      (env.INBOX.getByName(INBOX_NAME) as { retry(): Promise<void> }).retry(),
      env.SCHEDULER.getByName(DRIFT_NAME).checkDrift(),
      ...parsed.config.environments.map((environment) =>
        env.PUBLISHER.getByName(environment).repair(environment),
      ),
    ])
    await forgetMints(db, Date.now())
    await forgetEvents(db, Date.now())
    // A failure does not keep the others from their work, and is still reported.
    const failed = work.find(({ status }) => status === 'rejected')
    if (failed) throw (failed as PromiseRejectedResult).reason
  },
  async queue(batch, env) {
    await consumeMints(batch, { db: connect(env.DB).db, now: Date.now(), log: writeFault })
  },
} satisfies ExportedHandler<ControlBindings>

/** One for each environment, by its name. State that must survive an eviction is in its storage and in D1. */
export class Publisher extends DurableObject<ControlBindings> {
  #publisher: EnvironmentPublisher | undefined

  protected get keyIntervalMs(): number {
    return KEY_INTERVAL_MS
  }

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
      // An alarm does not carry the name of its object.
      await storage.put('environment', environment)
      this.#publisher ??= new EnvironmentPublisher({
        environment,
        db: connect(this.env.DB).db,
        kv: this.env.ENTITLEMENTS,
        keyIntervalMs: this.keyIntervalMs,
        clock: Date.now,
        memory: {
          get: (name) => storage.get(name),
          put: (name, value) => storage.put(name, value),
          async wakeAt(at) {
            const set = await storage.getAlarm()
            if (set === null || at < set) await storage.setAlarm(at)
          },
        },
        warn: (event, documents) => writeFault({ publisher: environment, event, documents }),
      })
    }
    return this.#publisher
  }
}

/** A change that has been waiting to be published for longer is out of step. */
const LATE_MS = 10 * 60_000

/**
 * One for all environments. Scheduled changes are in D1; the alarm only says when to check. Another one, under its own name,
 * looks for drift.
 */
export class Scheduler extends DurableObject<ControlBindings> {
  #drift: DriftRunner | undefined

  async startDrift(): Promise<DriftProgress> {
    return (await this.#openDrift()?.start()) ?? { running: null, last: null }
  }

  async driftProgress(): Promise<DriftProgress> {
    return (await this.#openDrift()?.progress()) ?? { running: null, last: null }
  }

  /** A failed step is retried from its position, a minute later. */
  async checkDrift(): Promise<void> {
    try {
      await this.#openDrift()?.tick()
    } catch {
      writeFault({ scheduler: DRIFT_NAME, event: 'drift_failed' })
    }
  }

  #openDrift(): DriftRunner | undefined {
    const parsed = parseConfig(this.env)
    if (!parsed.ok) return undefined
    if (!this.#drift) {
      const { db, statements } = connect(this.env.DB)
      const { storage } = this.ctx
      const kv = this.env.ENTITLEMENTS
      const { environments, owners } = parsed.config
      this.#drift = new DriftRunner({
        db,
        statements,
        environments,
        owners,
        clock: Date.now,
        misderived: (organizations) => misderived(db, organizations, Date.now()),
        quarantine: () => readQuarantine(db),
        published: (environment, cursor, limit) =>
          readBackAfter({ db, kv, environment, now: Date.now(), lateAfterMs: LATE_MS }, cursor, limit),
        memory: {
          get: (name) => storage.get(name),
          put: (name, value) => storage.put(name, value),
        },
      })
    }
    return this.#drift
  }

  async wakeAt(at: number): Promise<void> {
    const set = await this.ctx.storage.getAlarm()
    if (set === null || at < set) await this.ctx.storage.setAlarm(at)
  }

  async tick(): Promise<void> {
    const scheduler = this.#open()
    if (!scheduler) return
    await this.#run(scheduler)
    const seen = await this.ctx.storage.get<Rechecked>('rechecked')
    await this.ctx.storage.put('rechecked', await scheduler.recheck(seen))
  }

  override async alarm(): Promise<void> {
    const scheduler = this.#open()
    if (scheduler) await this.#run(scheduler)
  }

  async #run(scheduler: ChangeScheduler): Promise<void> {
    const next = await scheduler.run()
    if (next !== undefined) await this.wakeAt(next)
  }

  #open(): ChangeScheduler | undefined {
    const parsed = parseConfig(this.env)
    if (!parsed.ok) return undefined
    const { db, statements } = connect(this.env.DB)
    return new ChangeScheduler({
      db,
      statements,
      clock: Date.now,
      ledger: openLedger(this.env, this.ctx, db, Date.now, parsed.config.environments),
      commands: COMMANDS,
      warn: (event) => writeFault({ scheduler: SCHEDULER_NAME, event }),
    })
  }
}

/** One for all sources, so that contract sync never races with itself. It stores nothing: a crash loses no event. */
export class Inbox extends DurableObject<ControlBindings> {
  #inbox: ContractInbox | undefined

  async deliver(event: ReceivedEvent, parsed: Parsed) {
    return (await this.#open()?.deliver(event, parsed)) ?? err('inbox_failed')
  }

  async retry(): Promise<void> {
    await this.#open()?.retry()
  }

  #open(): ContractInbox | undefined {
    if (this.#inbox) return this.#inbox
    const parsed = parseConfig(this.env)
    if (!parsed.ok) return undefined
    const { environments } = parsed.config
    const { sources } = configureSources(this.env as unknown as Vars, {
      environments,
      fetcher: (...args) => fetch(...args),
    })
    const { db } = connect(this.env.DB)
    this.#inbox ??= new ContractInbox({
      db,
      clock: Date.now,
      ledger: openLedger(this.env, this.ctx, db, Date.now, environments),
      commands: COMMANDS,
      deny: (environment, sid) => denySession(this.env.ENTITLEMENTS, environment, sid, Date.now()),
      sources,
    })
    return this.#inbox
  }
}
