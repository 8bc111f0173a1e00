/**
 * The control plane on this machine: migrations first, then the Worker, ready when `/healthz` says so.
 *
 * The state folder gets an admin's API key, in a file that only its owner can read, so that the command line tools need
 * no log-in, and a policy for production that asks for no approval, as there is nobody else on this machine to ask. `wrangler dev` does not run crons, so that they are called here every minute, as the platform would.
 */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { apiKeyText, makeApiKey } from '../src/control/access/secrets.ts'
import { sha256Hex } from '../src/control/changes/chain.ts'
import { UsageError } from './cli.ts'
import { requireFreePort } from './network.ts'
import { PROJECT, runWorker, STATE, type Vars, type WorkerProcess, wranglerSettings } from './wrangler.ts'

export const CONTROL_PORT = 8788

const CONFIG = 'wrangler.control.toml'
const START_TIMEOUT_MS = 60_000
const POLL_MS = 100
const CRON_MS = 60_000
/** A developer's machine is not asked to make a new one every year. */
const KEY_DAYS = 3_650

export interface ControlOptions {
  port: number
  vars?: Vars
  persistTo?: string
  /** For secrets: files of `NAME=value` lines. */
  envFiles?: readonly string[]
  onLine?: (line: string) => void
  /** Another configuration of the same Worker: the bench's. */
  config?: string
  /** `false`: the state folder is known to be up to date, as this process has started it before. */
  migrate?: boolean
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

/** Applies the migrations that the local D1 has not seen, and makes the key. @returns what wrangler said */
export async function migrate(persistTo = STATE): Promise<string> {
  const said = await wranglerD1(persistTo, 'migrations', 'apply', 'DB', '--local')
  if ((await localKey(persistTo)) === undefined) await makeLocalKey(persistTo)
  return said
}

/** The API key of the state folder, if it has one. */
export const localKey = (persistTo: string): Promise<string | undefined> =>
  readFile(keyFile(persistTo), 'utf8').catch(() => undefined)

const keyFile = (persistTo: string): string => join(persistTo, 'control-key')

async function makeLocalKey(persistTo: string): Promise<void> {
  const key = makeApiKey()
  const now = new Date()
  const ends = new Date(now.getTime() + KEY_DAYS * 86_400_000).toISOString()
  const at = now.toISOString()
  await wranglerD1(
    persistTo,
    ...['execute', 'DB', '--local', '--command'],
    `INSERT INTO api_keys (id, name, owner, created_by, role, secret_hash, created_at, updated_at, ends_at, revision)
     VALUES ('${key.id}', 'this machine', 'user:developer', 'user:developer', 'admin', '${await sha256Hex(key.secret)}',
       '${at}', '${at}', '${ends}', 1);
     INSERT OR IGNORE INTO policies (environment, approvals, owner_approves, exclusive, updated_at, revision)
     VALUES ('production', 0, 0, '[]', '${at}', 1)`,
  )
  await mkdir(persistTo, { recursive: true })
  await writeFile(keyFile(persistTo), apiKeyText(key), { mode: 0o600 })
}

async function wranglerD1(persistTo: string, ...args: string[]): Promise<string> {
  const wrangler = join(
    dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
    'bin/wrangler.js',
  )
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [wrangler, 'd1', ...args, '--config', join(PROJECT, CONFIG), '--persist-to', persistTo],
    { cwd: PROJECT, env: { ...process.env, ...wranglerSettings(persistTo), CI: 'true' } },
  )
  return stdout
}

/** @throws UsageError when the port is taken, the configuration is wrong or the Worker does not start */
export async function startControl(options: ControlOptions): Promise<LocalControl> {
  const { port, persistTo = STATE, vars = {}, config = CONFIG } = options
  await requireFreePort(port, 'the control plane', 'npm start -- --control-port')
  if (options.migrate !== false) await migrate(persistTo)
  const worker = await runWorker({
    config,
    port,
    persistTo,
    vars,
    ...(options.envFiles && { envFiles: options.envFiles }),
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
