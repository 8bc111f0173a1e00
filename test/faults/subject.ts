/**
 * A Worker under test with one fault planned in it, in a workerd of its own that is started again for each case.
 *
 * The fault must be met: a case that passes because its fault never happened is an error of the suite.
 */
import type { Running } from '../../dev/cli.ts'
import { openGateway, type Stage, type WorkerdGateway } from '../e2e/support/workerd.ts'
import { Client } from './client.ts'
import type { Course, Plan } from './workers/plan.ts'

export interface Outcome {
  /** What the client saw, attempt by attempt. */
  readonly saw: string
  readonly alive: boolean
}

export type Options = Parameters<typeof openGateway>[2] & { readonly port: number }

export class Subject {
  readonly #running: Running
  readonly #stage: Stage
  readonly #options: Options
  /** The await that brings the status line of upstream's answer. */
  readonly yes: string
  readonly client: Client
  #worker: WorkerdGateway | undefined
  #killed: Promise<void> | undefined

  constructor(running: Running, stage: Stage, yes: string, options: Options) {
    this.#running = running
    this.#stage = stage
    this.yes = yes
    this.#options = options
    this.client = new Client(`http://localhost:${options.port}`)
  }

  /** Ends the process as it is, with everything that it had in memory. */
  async kill(): Promise<void> {
    this.#killed ??= this.#worker?.kill()
    await this.#killed
  }

  /** The client refreshes, meets the planned fault, retries, and is asked whether its session lives. */
  async meet(plan: Omit<Plan, 'yes'>): Promise<Outcome> {
    await this.#begin()
    await this.#plan(plan)
    let stopped = false
    const saw = await this.client.refresh(async () => {
      if (!this.#killed) return
      stopped = true
      await this.#start()
    })
    if (!stopped && !(await this.#course()).met) throw new Error(`${plan.point}: the fault was not met`)
    return { saw: saw.join(', '), alive: await this.client.isAlive() }
  }

  /** The same with a fault outside of the Worker. */
  async endure(fault: () => Promise<void>): Promise<Outcome> {
    await this.#begin()
    await fault()
    const saw = await this.client.refresh(async () => {})
    return { saw: saw.join(', '), alive: await this.client.isAlive() }
  }

  /** Every await that a refresh passes after upstream has accepted it, on a Worker that has just started. */
  async path(): Promise<readonly string[]> {
    await this.#begin()
    await this.#plan({})
    await this.client.refresh(async () => {})
    return (await this.#course()).reached
  }

  async #begin(): Promise<void> {
    await this.#start()
    await this.client.start()
    // Logging in has warmed the isolate up; its first refresh shall also be its first reading of documents.
    await this.#start()
  }

  async #start(): Promise<void> {
    await this.kill()
    this.#worker = await openGateway(this.#running, this.#stage, this.#options)
    this.#killed = undefined
  }

  async #plan(plan: Omit<Plan, 'yes'>): Promise<void> {
    await fetch(this.#door, { method: 'PUT', body: JSON.stringify({ ...plan, yes: this.yes }) })
  }

  async #course(): Promise<Course> {
    return (await fetch(this.#door)).json() as Promise<Course>
  }

  get #door(): string {
    return `http://localhost:${this.#options.port}/__fault`
  }
}
