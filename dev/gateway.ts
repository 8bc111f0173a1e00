/**
 * The gateway on this machine: `startGateway` for the runner, the demo and the tests, and `npm run gateway` to put it in
 * front of any other IdP.
 *
 * It is ready when `/healthz` says so, which also means that its configuration is complete: a start that succeeds serves.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { main, Running, signalled, UsageError } from './cli.ts'
import { requireFreePort } from './network.ts'
import { seed } from './seed.ts'
import { developerSecrets, type Secrets, secretsFile } from './signing_keys.ts'
import { runWorker, STATE, type Vars, type WorkerProcess } from './wrangler.ts'

export const GATEWAY_PORT = 8787

const START_TIMEOUT_MS = 60_000
/** wrangler accepts requests before its Worker runs, and may leave one of them without an answer. */
const ANSWER_TIMEOUT_MS = 5_000
const POLL_MS = 100

export interface GatewayOptions extends Secrets {
  port: number
  /** Over those of `wrangler.toml`; `undefined` takes one away. `ISSUER` follows the port unless it is given. */
  vars?: Vars
  /** Where documents and the signing key live. Default: the developer's own. */
  persistTo?: string
  onLine?: (line: string) => void
}

export interface Gateway {
  readonly url: string
  /** Settles when the gateway has stopped by itself, which it should not. */
  readonly exited: Promise<void>
  close(): Promise<void>
}

/**
 * Starts the gateway with `wrangler dev` and waits until `/healthz` says 200.
 *
 * @throws UsageError when the port is taken, the configuration is wrong or the Worker does not start
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { port, persistTo = STATE, vars = {} } = options
  await requireFreePort(port, 'the gateway')
  const secrets = await secretsFile(persistTo, port, options)
  const worker = await runWorker({
    config: 'wrangler.toml',
    port,
    persistTo,
    vars: { ISSUER: `http://localhost:${port}`, ...vars },
    envFiles: [...(options.envFiles ?? []), ...secrets.files],
    ...(options.onLine && { onLine: options.onLine }),
  })
  const close = async () => {
    await worker.close()
    await secrets.remove()
  }
  const url = `http://localhost:${port}`
  try {
    await healthy(url, worker)
  } catch (error) {
    await close()
    throw error
  }
  return { url, exited: worker.exited, close }
}

async function healthy(url: string, worker: WorkerProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (Date.now() < deadline) {
    if (!worker.running()) throw new UsageError(`The gateway stopped while starting:\n${worker.output()}`)
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
    const response = await fetch(`${url}/healthz`, { signal }).catch(() => null)
    if (response?.status === 200) return
    if (response?.headers.get('content-type')?.includes('json')) {
      const problems = JSON.stringify(await response.json(), null, 2)
      throw new UsageError(`The gateway's configuration is not complete. ${url}/healthz says:\n${problems}`)
    }
    await sleep(POLL_MS)
  }
  throw new UsageError(`The gateway did not start within ${START_TIMEOUT_MS / 1000} s:\n${worker.output()}`)
}

const HELP = `
Examples:
  Any OpenID provider:
    npm run gateway -- --var UPSTREAM_ORIGIN:https://idp.example.com --var UPSTREAM_AUDIENCE:https://api.example.com
  WorkOS:
    npm run gateway -- --var UPSTREAM_PROFILE:workos --var UPSTREAM_ORIGIN:https://api.workos.com \\
      --var UPSTREAM_CLIENT_ID:client_123

UPSTREAM_ISSUER is UPSTREAM_ORIGIN and ISSUER is http://localhost:PORT unless you give them. Secrets, and vars that you
do not want to repeat, go to .dev.vars as NAME=value lines. Without SIGNING_KEYS there or in the environment, a key is
made once and kept in .wrangler/state. "npm run entitle -- --help" changes what organizations are entitled to.`

function collectVar(pair: string, vars: Record<string, string> = {}): Record<string, string> {
  const colon = pair.indexOf(':')
  if (colon < 1) throw new InvalidArgumentError('It is NAME:VALUE.')
  return { ...vars, [pair.slice(0, colon)]: pair.slice(colon + 1) }
}

export function parsePort(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new InvalidArgumentError('It is 1 to 65535.')
  return port
}

async function run({ port, var: vars = {} }: { port: number; var?: Record<string, string> }): Promise<void> {
  const stop = signalled()
  const running = new Running()
  const upstream = vars.UPSTREAM_ORIGIN
  // The audience in wrangler.toml is the demo's, which another IdP has never heard of.
  const elsewhere = upstream ? { UPSTREAM_ISSUER: upstream, UPSTREAM_AUDIENCE: undefined } : {}
  try {
    await seed(vars.ENVIRONMENT)
    const gateway = running.add(
      await startGateway({
        port,
        vars: { ...elsewhere, ...vars },
        ...(await developerSecrets()),
        onLine: (line) => console.log(line),
      }),
    )
    console.log(`\nThe gateway is at ${gateway.url}. Ctrl-C stops it.\n`)
    await Promise.race([stop, gateway.exited])
  } finally {
    await running.close()
  }
}

if (import.meta.main) {
  const command = new Command('npm run gateway --')
    .description('Starts the gateway alone, in front of any identity provider.')
    .option('--port <port>', 'where it listens', parsePort, GATEWAY_PORT)
    .option('--var <NAME:VALUE>', 'a var of the gateway, over wrangler.toml; repeatable', collectVar)
    .addHelpText('after', HELP)
    .action((options) => main(() => run(options)))
  await command.parseAsync()
}
