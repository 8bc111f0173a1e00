/**
 * Runs a Worker of this project in a `wrangler dev` child process, and ends it with everything it started.
 *
 * The child leads a process group of its own, because wrangler starts workerd and esbuild and a signal to the first
 * alone can leave the others behind. Nothing is sent anywhere: no telemetry, no update check, no request for `cf.json`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

/** The repository's root: where the wrangler configurations are. */
export const PROJECT = dirname(import.meta.dirname)

/** The developer's own state, shared by every local Worker. Git ignores it. */
export const STATE = join(PROJECT, '.wrangler', 'state')

/** Keeps wrangler and miniflare from reaching for the network or talking about themselves. */
export const QUIET = {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
} as const

const STOP_GRACE_MS = 3_000
const KEPT_LINES = 40

export interface WorkerOptions {
  /** The wrangler configuration, relative to the project: `wrangler.toml`. */
  config: string
  port: number
  persistTo: string
  vars?: Readonly<Record<string, string>>
  /** Files of `NAME=value` lines; the way for secrets, which must not stand in a command line. */
  envFiles?: readonly string[]
  onLine?: (line: string) => void
}

export interface WorkerProcess {
  /** What it last printed, for an error message. */
  output(): string
  running(): boolean
  /** Settles when it has ended, asked to or not. */
  readonly exited: Promise<void>
  close(): Promise<void>
}

export function runWorker(options: WorkerOptions): WorkerProcess {
  const { config, port, persistTo, vars = {}, envFiles = [] } = options
  const wrangler = join(
    dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
    'bin/wrangler.js',
  )
  const child = spawn(
    process.execPath,
    [
      wrangler,
      'dev',
      ...['--config', join(PROJECT, config)],
      ...['--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0'],
      ...['--persist-to', persistTo, '--local', '--show-interactive-dev-session=false'],
      ...envFiles.flatMap((file) => ['--env-file', file]),
      ...Object.entries(vars).flatMap(([name, value]) => ['--var', `${name}:${value}`]),
    ],
    {
      cwd: PROJECT,
      env: { ...process.env, ...QUIET },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    },
  )
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
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
      const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), STOP_GRACE_MS)
      await exited
      clearTimeout(timer)
      signalGroup(child, 'SIGKILL')
    },
  }
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

/** Signals the child and everything it started; a group that is gone is what was wanted. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
