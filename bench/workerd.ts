/**
 * Bundles Workers with wrangler and runs each in a workerd process of its own, with a socket straight to the Worker.
 *
 * Not under Miniflare, whose entry Worker stands in front of every request and would flatter the slower side. The
 * bundle is the one that `wrangler deploy` uploads, unminified. All processes write their log lines to /dev/null.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'

const ROOT = resolve(import.meta.dirname, '..')
const STATE = join(ROOT, '.wrangler', 'bench')
const READY_TIMEOUT_MS = 15_000
const KERNEL_TICKS_PER_SECOND = 100
const MAIN_MODULE = /\.(js|mjs)$/

const require = createRequire(createRequire(import.meta.url).resolve('miniflare'))
const workerd = require('workerd') as { default: string; version: string }

export const workerdVersion = workerd.version

/** A bundled Worker: its folder and its only module. */
export interface Bundle {
  readonly folder: string
  readonly module: string
  readonly gzipBytes: number
}

/** Bundles an entry (a path from the repository's root) as `wrangler deploy` does. */
export async function bundle(entry: string): Promise<Bundle> {
  const folder = join(STATE, entry.replaceAll(/\W+/g, '-'))
  const wrangler = join(ROOT, 'node_modules', '.bin', 'wrangler')
  // The gateway is bundled by its own configuration; the others have none of its bindings.
  const config = entry.startsWith('src/') ? join(ROOT, 'wrangler.toml') : join(folder, 'wrangler.json')
  mkdirSync(folder, { recursive: true })
  if (!entry.startsWith('src/')) {
    const main = join(ROOT, entry)
    writeFileSync(config, JSON.stringify({ name: 'bench', main, compatibility_date: compatibilityDate() }))
  }
  const args = [wrangler, 'deploy', '--config', config, '--dry-run', '--outdir', folder]
  await promisify(execFile)(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false' },
  })
  const modules = readdirSync(folder).filter((file) => MAIN_MODULE.test(file))
  const [module] = modules
  if (module === undefined || modules.length > 1)
    throw new Error(`${entry}: expected one module in ${folder}`)
  return { folder, module, gzipBytes: gzipSync(readFileSync(join(folder, module))).length }
}

export interface WorkerOptions {
  readonly name: string
  readonly bundle: Bundle
  readonly port: number
  readonly vars: Record<string, string>
  /** Where the KV binding `ENTITLEMENTS` is served, if the Worker has one. */
  readonly kvPort?: number
  /** Whether it has the Durable Objects that refreshes share, with SQLite as when deployed, on a tmpfs if there is one. */
  readonly sessions?: boolean
  /** Where the queue binding `MINT_LOG` is served, if the Worker has one. */
  readonly queuePort?: number
  /** Opens V8's inspector, to measure the heap. */
  readonly inspectorPort?: number
}

export interface RunningProcess {
  /** User and system time since the start, in microseconds. */
  cpuMicroseconds(): number
  rssBytes(): number
  stop(): Promise<void>
}

export interface RunningWorker extends RunningProcess {
  readonly name: string
  readonly port: number
}

/** Starts a Worker and waits until it accepts connections. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const config = join(options.bundle.folder, `${options.port}.capnp`)
  writeFileSync(config, capnp(options))
  const inspector = options.inspectorPort ? [`--inspector-addr=127.0.0.1:${options.inspectorPort}`] : []
  const running = start(`${options.name}-${options.port}`, workerd.default, [
    'serve',
    ...inspector,
    config,
    'config',
  ])
  await ready(options.port, `${options.name}-${options.port}`)
  return { ...running, name: options.name, port: options.port }
}

/** Starts a Node program of this folder and waits for its ports. */
export async function startNode(file: string, argument: string, ports: number[]): Promise<RunningProcess> {
  const running = start(file, process.execPath, [join(import.meta.dirname, file), argument])
  for (const port of ports) await ready(port, file)
  return running
}

const children = new Set<ChildProcess>()
const folders: string[] = []
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Storage of Durable Objects. What a disk takes to sync belongs to the machine, so that it is in memory where that can be. */
function objectStorage(): string {
  const memory = '/dev/shm'
  const folder = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'remint-bench-objects-'))
  folders.push(folder)
  return folder
}

function start(name: string, command: string, args: readonly string[]): RunningProcess {
  mkdirSync(STATE, { recursive: true })
  const errors = openSync(errorLog(name), 'w')
  const child = spawn(command, args, { stdio: ['ignore', openSync('/dev/null', 'w'), errors] })
  const exited = new Promise<void>((done) => child.once('exit', () => done()))
  children.add(child)
  const procfs = (file: string) => readFileSync(`/proc/${child.pid}/${file}`, 'utf8')
  return {
    cpuMicroseconds: () => {
      // Fields 14 and 15 of proc_pid_stat(5), counted after the command's name, which may hold spaces.
      const fields = procfs('stat').split(') ').at(-1)?.split(' ') ?? []
      return ((Number(fields[11]) + Number(fields[12])) / KERNEL_TICKS_PER_SECOND) * 1e6
    },
    rssBytes: () => Number(/VmRSS:\s+(\d+) kB/.exec(procfs('status'))?.[1]) * 1024,
    stop: () => {
      children.delete(child)
      child.kill('SIGKILL')
      return exited
    },
  }
}

const errorLog = (name: string): string => join(STATE, `${name}.stderr`)

async function ready(port: number, name: string): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS
  while (Date.now() < deadline) {
    const answered = await fetch(`http://127.0.0.1:${port}/counts`).then(
      () => true,
      () => false,
    )
    if (answered) return
    await sleep(50)
  }
  throw new Error(`${name} does not listen on ${port}: ${readFileSync(errorLog(name), 'utf8')}`)
}

function capnp({ bundle, port, vars, kvPort, queuePort, sessions = false }: WorkerOptions): string {
  const text = JSON.stringify
  const bindings = Object.entries(vars).map(
    ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
  )
  const services = [
    '(name = "main", worker = .worker)',
    '(name = "internet", network = (allow = ["public", "private"]))',
  ]
  if (kvPort !== undefined) {
    bindings.push('(name = "ENTITLEMENTS", kvNamespace = "kv")')
    services.push(`(name = "kv", external = (address = "127.0.0.1:${kvPort}", http = ()))`)
  }
  if (queuePort !== undefined) {
    bindings.push('(name = "MINT_LOG", queue = "queue")')
    services.push(`(name = "queue", external = (address = "127.0.0.1:${queuePort}", http = ()))`)
  }
  if (sessions) bindings.push('(name = "REFRESH_SESSIONS", durableObjectNamespace = "RefreshSession")')
  if (sessions) {
    const path = text(objectStorage())
    services.push(`(name = "objects", disk = (path = ${path}, writable = true))`)
  }
  const objects = sessions
    ? `,
  durableObjectNamespaces = [(className = "RefreshSession", uniqueKey = "sessions", enableSql = true)],
  durableObjectStorage = (localDisk = "objects")`
    : ''
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [${services.join(', ')}],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed ${text(bundle.module)})],
  compatibilityDate = "${compatibilityDate()}",
  bindings = [${bindings.join(', ')}]${objects}
);
`
}

function compatibilityDate(): string {
  const toml = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8')
  const date = /^compatibility_date = "([^"]+)"/m.exec(toml)?.[1]
  if (date === undefined) throw new Error('wrangler.toml has no compatibility_date')
  return date
}
