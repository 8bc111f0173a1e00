/**
 * The control plane on this machine: migrations first, then the Worker, ready when `/healthz` says so.
 *
 * `wrangler dev` does not run crons, so that they are called here every minute, as the platform would.
 */
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { UsageError } from './cli.ts'
import { requireFreePort } from './network.ts'
import { PROJECT, runWorker, STATE, type Vars, type WorkerProcess, wranglerSettings } from './wrangler.ts'

export const CONTROL_PORT = 8788

/** Whom operators' tokens are for, as in `wrangler.control.toml`. */
export const CONTROL_AUDIENCE = 'http://localhost:8788/api'

const CONFIG = 'wrangler.control.toml'
const START_TIMEOUT_MS = 60_000
const POLL_MS = 100
const CRON_MS = 60_000

export interface ControlOptions {
  port: number
  vars?: Vars
  persistTo?: string
  onLine?: (line: string) => void
  /** Another configuration of the same Worker: the bench's. */
  config?: string
}

export interface LocalControl {
  readonly url: string
  readonly exited: Promise<void>
  close(): Promise<void>
}

/** Applies the migrations that the local D1 has not seen. @returns what wrangler said */
export async function migrate(persistTo = STATE): Promise<string> {
  const wrangler = join(
    dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
    'bin/wrangler.js',
  )
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...[wrangler, 'd1', 'migrations', 'apply', 'DB', '--local'],
      ...['--config', join(PROJECT, CONFIG), '--persist-to', persistTo],
    ],
    { cwd: PROJECT, env: { ...process.env, ...wranglerSettings(persistTo), CI: 'true' } },
  )
  return stdout
}

/** @throws UsageError when the port is taken, the configuration is wrong or the Worker does not start */
export async function startControl(options: ControlOptions): Promise<LocalControl> {
  const { port, persistTo = STATE, vars = {}, config = CONFIG } = options
  await requireFreePort(port, 'the control plane')
  await migrate(persistTo)
  const worker = await runWorker({
    config,
    port,
    persistTo,
    vars,
    ...(options.onLine && { onLine: options.onLine }),
  })
  const url = `http://localhost:${port}`
  try {
    await healthy(url, worker)
  } catch (error) {
    await worker.close()
    throw error
  }
  const cron = setInterval(() => void fetch(`${url}/cdn-cgi/local/scheduled`).catch(() => {}), CRON_MS)
  cron.unref()
  return {
    url,
    exited: worker.exited,
    close: async () => {
      clearInterval(cron)
      await worker.close()
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
