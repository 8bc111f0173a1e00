/**
 * What a request carries through the app, and what a handler gets of the outside world.
 */
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Actor } from '../auth/actor.ts'
import type { Config, DriftProgress, PublisherStub } from '../config.ts'
import type { InboxStub, Source } from '../contract_sync/sources/source.ts'
import type { Database } from '../db/client.ts'
import type { CommandRegistry } from '../ledger/command.ts'
import type { Ledger } from '../ledger/commit.ts'
import type { LogLine } from '../log.ts'

export interface Control {
  readonly config: Config
  readonly db: Database
  /** Epoch milliseconds. */
  readonly clock: () => number
  readonly ledger: Ledger
  publisher(environment: string): PublisherStub
  /** The configured sources of webhooks, by name. */
  readonly sources: ReadonlyMap<string, Source>
  readonly inbox: InboxStub
  /** For requests to other systems. */
  readonly fetcher: typeof fetch
  /** Starts a drift pass; does not wait for its end. */
  startDrift(): Promise<DriftProgress>
  driftProgress(): Promise<DriftProgress>
  /** Every command that can be part of a change request. */
  readonly commands: CommandRegistry
}

export interface ControlEnv {
  Variables: { control: Control; log: LogLine; actor: Actor }
}

export type ControlContext = Context<ControlEnv>
export type Api = OpenAPIHono<ControlEnv>
