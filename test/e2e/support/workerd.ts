/**
 * The gateway as it is deployed, in a workerd of its own: the bundle that wrangler uploads, a socket straight to the
 * Worker, and a KV namespace that can fail. What `wrangler dev` puts in front of a Worker hides when a client leaves,
 * and its KV never goes wrong.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Running } from '../../../dev/cli.ts'
import { API_AUDIENCE } from '../../../dev/idp.ts'
import { seedCatalog, seedOrganizations } from '../../../dev/seed.ts'
import { generateSigningKeys } from '../../../dev/signing_keys.ts'
import { PROJECT } from '../../../dev/wrangler.ts'
import { eventually } from '../../support/eventually.ts'
import { readText, sendJson, startServer } from './http.ts'
import { freePort, readLog, type TestGateway } from './stage.ts'

/** A bundle and the KV that its gateways read. */
export interface Stage {
  /** Its folder. */
  readonly bundle: string
  readonly kv: TestKv
}

/**
 * Starts a KV namespace with the demo's documents.
 *
 * @param bundle - the folder of the gateway's bundle, or of another Worker that takes its place
 */
export const openStage = async (running: Running, bundle: string): Promise<Stage> => ({
  bundle,
  kv: await startKv(running),
})

/** A KV namespace in a `Map`, as workerd's binding reads and writes it. */
export interface TestKv {
  readonly url: string
  readonly documents: Map<string, string>
  /** Answers in place of every read, until it is taken away. */
  fault: ((response: ServerResponse) => void) | undefined
  reads: number
}

export async function startKv(running: Running): Promise<TestKv> {
  const now = new Date().toISOString()
  const published = (document: object) => JSON.stringify({ ...document, version: 1, published_at: now })
  const documents = new Map([['catalog:production', published(seedCatalog('production'))]])
  for (const org of seedOrganizations(Date.now()))
    documents.set(`org:production:${org.org_id}`, published(org))
  const server = running.add(
    await startServer(async (request, response) => {
      if (request.method === 'PUT') {
        const { pathname } = new URL(request.url ?? '', 'http://kv')
        documents.set(decodeURIComponent(pathname.slice(1)), await readText(request))
        return sendJson(response, 200, {})
      }
      kv.reads++
      const { keys = [] } = JSON.parse((await readText(request)) || '{}') as { keys?: string[] }
      if (kv.fault) return kv.fault(response)
      if (!request.url?.startsWith('/bulk/get')) throw new Error('the gateway reads in bulk')
      sendJson(response, 200, Object.fromEntries(keys.map((key) => [key, documents.get(key) ?? null])))
    }),
  )
  const kv: TestKv = { url: server.url, documents, fault: undefined, reads: 0 }
  return kv
}

/** What must not outlive this process, however it ends. */
const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export interface GatewayOptions {
  readonly vars: Readonly<Record<string, string>>
  /** Default: any that is free. */
  readonly port?: number
  /** A private JWK Set as JSON. Default: one that is made for this gateway. */
  readonly signingKeys?: string
  /** Where a Worker listens that is bound to the gateway's `Verifier` and calls it with what it is sent. */
  readonly callerPort?: number
  /** A folder in which Durable Objects are kept. Default: there are none, and refreshes are not shared. */
  readonly sessions?: string
  /** What answers 200 as soon as the Worker serves. */
  readonly ready?: string
}

export interface WorkerdGateway extends TestGateway {
  /** Ends the process at once, as when a machine stops. */
  kill(): Promise<void>
}

const PEPPER = 'pepper-of-the-end-to-end-tests-and-of-nothing-else'

/** Starts a gateway and waits until `/healthz` says 200. */
export async function openGateway(
  running: Running,
  stage: Stage,
  options: GatewayOptions,
): Promise<WorkerdGateway> {
  const { port = await freePort(), signingKeys = await generateSigningKeys(), sessions } = options
  const { ready = '/healthz' } = options
  const url = `http://localhost:${port}`
  const config = join(stage.bundle, `${port}.capnp`)
  const vars = {
    ENVIRONMENT: 'production',
    ISSUER: url,
    UPSTREAM_PROFILE: 'oidc',
    UPSTREAM_AUDIENCE: API_AUDIENCE,
    SIGNING_KEYS: signingKeys,
    ...(sessions && { SESSION_PEPPER: PEPPER }),
    ...options.vars,
  }
  await writeFile(config, await capnp(stage, port, vars, sessions, options.callerPort))
  const require = createRequire(createRequire(import.meta.url).resolve('miniflare'))
  const { default: workerd } = require('workerd') as { default: string }
  const child = spawn(workerd, ['serve', config, 'config'], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  const exited = new Promise<void>((ended) => child.once('exit', () => ended()))
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
    children.delete(child)
  }
  running.add({ close: kill })
  const lines: string[] = []
  const { log, read, logged } = readLog()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (text) => {
      lines.push(text)
      read(text)
    })
  }
  const healthy = async () => (await fetch(url + ready).catch(() => undefined))?.ok || undefined
  await eventually(healthy, 'the gateway').catch(() => {
    throw new Error(`workerd does not serve:\n${lines.join('\n')}`)
  })
  return { url, log, logged, kill }
}

/** A Worker with a service binding: it calls the method that it is sent, with the arguments that it is sent. */
const CALLER = `export default {
  async fetch(request, env) {
    const [method, ...args] = await request.json()
    return Response.json(await env.VERIFIER[method](...args))
  }
}`

async function capnp(
  stage: Stage,
  port: number,
  vars: Record<string, string>,
  sessions: string | undefined,
  callerPort: number | undefined,
): Promise<string> {
  const text = JSON.stringify
  const main = (await readdir(stage.bundle)).find((file) => file.endsWith('.js'))
  const toml = await readFile(join(PROJECT, 'wrangler.toml'), 'utf8')
  const date = /^compatibility_date = "([^"]+)"/m.exec(toml)?.[1]
  if (main === undefined || date === undefined) throw new Error('there is no bundle or no compatibility date')
  const bindings = Object.entries(vars).map(
    ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
  )
  const services = ['(name = "main", worker = .worker)']
  const sockets = [`(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")`]
  if (callerPort !== undefined) {
    services.push('(name = "caller", worker = .caller)')
    sockets.push(`(name = "rpc", address = "127.0.0.1:${callerPort}", http = (), service = "caller")`)
  }
  bindings.push('(name = "ENTITLEMENTS", kvNamespace = "kv")')
  if (sessions) bindings.push('(name = "REFRESH_SESSIONS", durableObjectNamespace = "RefreshSession")')
  const disk = sessions ? `(name = "sessions", disk = (path = ${text(sessions)}, writable = true)),` : ''
  const objects = sessions
    ? `
  durableObjectNamespaces = [(className = "RefreshSession", uniqueKey = "sessions", enableSql = true)],
  durableObjectStorage = (localDisk = "sessions"),`
    : ''
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${services.join(', ')},
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "kv", external = (address = ${text(new URL(stage.kv.url).host)}, http = ())),
    ${disk}
  ],
  sockets = [${sockets.join(', ')}],
);
const caller :Workerd.Worker = (
  modules = [(name = "caller", esModule = ${text(CALLER)})],
  compatibilityDate = ${text(date)},
  bindings = [(name = "VERIFIER", service = (name = "main", entrypoint = "Verifier"))],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed ${text(basename(main))})],
  compatibilityDate = ${text(date)},
  bindings = [${bindings.join(', ')}],${objects}
);
`
}
