/**
 * The Durable Object's entry: one object per refresh, named by everything that the answer depends on.
 *
 * Like `app.ts` for the Worker, it brings in the clock and the network; `sessions/` does the work.
 */
import { DurableObject } from 'cloudflare:workers'
import type { SessionCall, SessionOutcome } from './sessions/call.ts'
import { Session, type SessionStore } from './sessions/session.ts'

export interface RefreshSessionOptions {
  /** For requests to upstream; the same as the gateway's. */
  readonly fetch?: typeof fetch
  /** Epoch milliseconds. */
  readonly now?: () => number
}

type RefreshSessionClass = new (
  ctx: DurableObjectState,
  env: Cloudflare.Env,
) => DurableObject & { exchange(call: SessionCall): Promise<SessionOutcome> }

/**
 * Makes the class that the binding `REFRESH_SESSIONS` names. A Worker that mounts the gateway exports it:
 * `export const RefreshSession = createRefreshSession()`.
 */
export function createRefreshSession(options: RefreshSessionOptions = {}): RefreshSessionClass {
  const { fetch: fetcher = (...args: Parameters<typeof fetch>) => fetch(...args), now = Date.now } = options
  return class RefreshSession extends DurableObject {
    readonly #session: Session

    constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
      super(ctx, env)
      this.#session = new Session(storeIn(ctx.storage), fetcher as typeof fetch, now)
    }

    /** An object lives as long as it awaits something, so an answer is stored even if its client has gone. */
    exchange(call: SessionCall): Promise<SessionOutcome> {
      return this.#session.exchange(call)
    }

    override alarm(): Promise<void> {
      return this.#session.forget()
    }
  }
}

/**
 * `allowUnconfirmed`: an answer does not wait for the disk at the output gate, which would withhold it if the disk fails.
 * `sync` waits instead, and its failure costs only the replay.
 */
function storeIn(storage: DurableObjectStorage): SessionStore {
  const unconfirmed = { allowUnconfirmed: true }
  return {
    get: (key) => storage.kv.get(key),
    put: async (key, value) => {
      await storage.put(key, value, unconfirmed)
      await storage.sync()
    },
    setAlarm: (at) => storage.setAlarm(at, unconfirmed),
    deleteAll: () => storage.deleteAll(),
  }
}
