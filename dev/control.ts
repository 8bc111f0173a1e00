/**
 * The control plane on this machine: migrations first, then the Worker, ready when `/healthz` says so.
 *
 * `wrangler dev` does not run crons, so this calls them every minute, as the platform would.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { UsageError } from './cli.ts'
import { migrate } from './local_d1.ts'
import { bootstrapFile, localKey, makeBootstrapSecret, makeLocalKey } from './local_key.ts'
import { requireFreePort } from './network.ts'
import { runWorker, STATE, type Vars, type WorkerProcess } from './wrangler.ts'

export const CONTROL_PORT = 8788

const CONFIG = 'wrangler.control.toml'
const START_TIMEOUT_MS = 60_000
const POLL_MS = 100
const CRON_MS = 60_000

export interface ControlOptions {
  port: number
  vars?: Vars
  persistTo?: string
  /** For secrets: files of `NAME=value` lines. */
  envFiles?: readonly string[]
  onLine?: (line: string) => void
  /** Another configuration of the same Worker, for the bench. */
  config?: string
  /** `false`: the state folder is known to be up to date, as this process has started it before. */
  migrate?: boolean
  /** `false`: the caller has a key, and the folder needs none. */
  bootstrap?: boolean
}

export interface LocalControl {
  readonly url: string
  /** An admin's API key. */
  readonly key: string
  readonly exited: Promise<void>
  /** What it last printed. */
  output(): string
  close(): Promise<void>
  /** Ends it without a warning. */
  kill(): Promise<void>
}

/** @throws UsageError when the port is taken, the configuration is wrong or the Worker does not start */
export async function startControl(options: ControlOptions): Promise<LocalControl> {
  const { port, persistTo = STATE, vars = {}, config = CONFIG } = options
  await requireFreePort(port, 'the control plane', 'npm start -- --control-port')
  if (options.migrate !== false) await migrate(persistTo)
  const isNew = options.bootstrap !== false && (await localKey(persistTo)) === undefined
  const secret = makeBootstrapSecret()
  const bootstrap = isNew ? await bootstrapFile(persistTo, secret) : undefined
  const worker = await runWorker({
    config,
    port,
    persistTo,
    vars,
    envFiles: [...(options.envFiles ?? []), ...(bootstrap ? [bootstrap.file] : [])],
    ...(options.onLine && { onLine: options.onLine }),
  })
  const url = `http://localhost:${port}`
  try {
    await healthy(url, worker)
    if (isNew) await makeLocalKey(url, secret, persistTo)
  } catch (error) {
    await worker.close()
    throw error
  } finally {
    await bootstrap?.remove()
  }
  const cron = setInterval(() => void fetch(`${url}/cdn-cgi/local/scheduled`).catch(() => {}), CRON_MS)
  cron.unref()
  return {
    url,
    key: (await localKey(persistTo)) ?? '',
    exited: worker.exited,
    output: worker.output,
    close: async () => {
      clearInterval(cron)
      await worker.close()
    },
    kill: async () => {
      clearInterval(cron)
      await worker.kill()
    },
  }
}

async function healthy(url: string, worker: WorkerProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (Date.now() < deadline) {
    if (!worker.running()) {
      throw new UsageError(`The control plane stopped while starting:\n${worker.output()}`)
    }
    const response = await fetch(`${url}/healthz`).catch(() => null)
    if (response?.status === 200) return
    if (response?.headers.get('content-type')?.includes('json')) {
      const problems = JSON.stringify(await response.json(), null, 2)
      throw new UsageError(`The control plane's configuration is not complete:\n${problems}`)
    }
    await sleep(POLL_MS)
  }
  throw new UsageError(
    `The control plane did not start within ${START_TIMEOUT_MS / 1000} s:\n${worker.output()}`,
  )
}
