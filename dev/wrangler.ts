/**
 * Runs a Worker of this project in a `wrangler dev` child process, and ends it with everything it started.
 *
 * The child leads a process group of its own, because wrangler starts workerd and esbuild and a signal to the first
 * alone can leave the others behind. Nothing leaves the machine: no telemetry, no update check, no request for `cf.json`.
 * The `wrangler` package takes half a second to import, so it is imported when it is needed.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** The repository's root: where the wrangler configurations are. */
export const PROJECT = dirname(import.meta.dirname)

/** The developer's own state, shared by every local Worker. Git ignores it. */
export const STATE = join(PROJECT, '.wrangler', 'state')

/**
 * Settings that keep wrangler and miniflare off the network, and their files in the state folder. They also turn off
 * wrangler's store of traces, which takes a third of the machine under load, and its page that shows the content of every
 * binding to anybody who reaches the port.
 */
export const wranglerSettings = (persistTo: string): Record<string, string> => ({
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  X_LOCAL_OBSERVABILITY: 'false',
  X_LOCAL_EXPLORER: 'false',
  WRANGLER_LOG_PATH: join(persistTo, 'logs'),
  WRANGLER_REGISTRY_PATH: registryOf(persistTo),
})

/** Where local Workers find each other. */
const registryOf = (persistTo: string): string => join(persistTo, 'registry')

const STOP_GRACE_MS = 3_000
const KEPT_LINES = 40

export type Vars = Readonly<Record<string, string | undefined>>

export interface WorkerOptions {
  /** The wrangler configuration, relative to the project: `wrangler.toml`. */
  config: string
  port: number
  persistTo: string
  /** Vars over those of the configuration; `undefined` takes one away. */
  vars?: Vars
  /** Files of `NAME=value` lines; the way for secrets, which must not stand in a command line. */
  envFiles?: readonly string[]
  onLine?: (line: string) => void
}

export interface WorkerProcess {
  /** What it last printed, for an error message. */
  output(): string
  running(): boolean
  /** Settles when it has ended, for whatever reason. */
  readonly exited: Promise<void>
  close(): Promise<void>
  /** Ends it without a warning, like a machine that fails. */
  kill(): Promise<void>
}

export async function runWorker(options: WorkerOptions): Promise<WorkerProcess> {
  const { port, persistTo, vars = {}, envFiles = [] } = options
  const wrangler = join(
    dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
    'bin/wrangler.js',
  )
  const child = fork(
    wrangler,
    [
      'dev',
      ...['--config', await localConfig(options)],
      ...['--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0'],
      ...['--persist-to', persistTo, '--local', '--show-interactive-dev-session=false'],
      ...envFiles.flatMap((file) => ['--env-file', file]),
      ...Object.entries(vars).flatMap(([name, value]) =>
        value === undefined ? [] : ['--var', `${name}:${value}`],
      ),
    ],
    {
      cwd: PROJECT,
      env: { ...process.env, ...wranglerSettings(persistTo) },
      execArgv: ['--import', new URL('./end_with_parent.ts', import.meta.url).href],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    },
  )
  const killGroup = () => signalGroup(child, 'SIGKILL')
  process.once('exit', killGroup)
  const exited = new Promise<void>((ended) => child.once('exit', () => ended()))
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream as Readable }).on('line', (line) => {
      lines.push(line)
      if (lines.length > KEPT_LINES) lines.shift()
      options.onLine?.(line)
    })
  }
  return {
    output: () => lines.join('\n').trim(),
    running: () => isRunning(child),
    exited,
    close: async () => {
      if (isRunning(child)) signalGroup(child, 'SIGTERM')
      const timer = setTimeout(killGroup, STOP_GRACE_MS)
      await exited
      clearTimeout(timer)
      killGroup()
      process.off('exit', killGroup)
    },
    kill: async () => {
      killGroup()
      await exited
      process.off('exit', killGroup)
    },
  }
}

/** The vars that a configuration of the project sets. */
export async function configuredVars(config: string): Promise<Vars> {
  const { vars = {} } = await readConfig(config)
  return Object.fromEntries(Object.entries(vars).map(([name, value]) => [name, String(value)]))
}

export async function readConfig(config: string) {
  const { experimental_readRawConfig } = await import('wrangler')
  return experimental_readRawConfig({ config: resolve(PROJECT, config) }).rawConfig
}

/** The project's configuration without the vars that are overridden, for which wrangler has no option. */
async function localConfig({ config, port, persistTo, vars = {} }: WorkerOptions): Promise<string> {
  const rawConfig = await readConfig(config)
  const kept = Object.entries(rawConfig.vars ?? {}).filter(([name]) => !(name in vars))
  const local = {
    ...rawConfig,
    main: resolve(PROJECT, rawConfig.main ?? ''),
    vars: Object.fromEntries(kept),
  }
  const file = join(persistTo, `wrangler.${port}.json`)
  await mkdir(persistTo, { recursive: true })
  // A killed Worker leaves its entry behind, and for 90 s queues and bindings would lead to its old address.
  if (rawConfig.name) await rm(join(registryOf(persistTo), rawConfig.name), { force: true })
  await writeFile(file, JSON.stringify(local, null, 2))
  return file
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

/** Signals the child and everything it started. A group that is already gone is fine. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
