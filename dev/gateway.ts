/**
 * The gateway on this machine: `startGateway` for the runner, the demo and the tests, and `npm run gateway` to put it in
 * front of any other IdP.
 *
 * It is ready when `/healthz` says so, which also means that its configuration is complete: a start that succeeds serves.
 */
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Config } from '../src/gateway/config.ts'
import { main, paint, Running, signalled, UsageError } from './cli.ts'
import { entitleCommand, parseCommandLine } from './commands.ts'
import { upstreamProblem } from './gateway/upstream.ts'
import { parseVars, problemOfName, resolveVars, SECRETS } from './gateway/vars.ts'
import { printShown } from './log_lines.ts'
import { requireFreePort } from './network.ts'
import { seed } from './seed.ts'
import { developerSecrets, developerVars, type Secrets, secretsFiles } from './signing_keys.ts'
import { configuredVars, runWorker, STATE, type Vars, type WorkerProcess } from './wrangler.ts'

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
  /** What it last printed, for an error message. */
  output(): string
  close(): Promise<void>
}

/**
 * Starts the gateway with `wrangler dev` and waits until `/healthz` says 200.
 *
 * @throws UsageError when the port is taken, the configuration is wrong or the Worker does not start
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { port, persistTo = STATE, vars = {} } = options
  await requireFreePort(port, 'the gateway', 'npm run gateway -- --port')
  const secrets = await secretsFiles(persistTo, port, options)
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
  return { url, exited: worker.exited, output: worker.output, close }
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
do not want to repeat, go to .dev.vars as NAME=value lines. Without SIGNING_KEYS there or in the environment, keys are
made once and kept in .wrangler/state. docs/providers.md has the vars for Auth0, Okta, Entra ID, Keycloak and others.

Each request leaves one line of JSON; where the status is 500 or above, "reason" says why. "npm run entitle -- --help"
changes what organizations are entitled to.`

export function parsePort(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new InvalidArgumentError('It must be a number from 1 to 65535.')
  return port
}

interface RunOptions {
  port: number
  var?: string[]
  state: string
  seed?: boolean
  verbose?: boolean
}

async function run({ port, var: pairs = [], state, seed: wanted, verbose }: RunOptions): Promise<void> {
  const stop = signalled()
  const running = new Running()
  const persistTo = resolve(state)
  try {
    const given = parseVars(pairs)
    const file = await developerVars()
    for (const name of Object.keys(file)) {
      const problem = SECRETS.includes(name) ? null : problemOfName(name)
      if (problem) warn(`In .dev.vars: ${problem}`)
    }
    const project = await configuredVars('wrangler.toml')
    const { vars, config, foreign } = resolveVars({ port, project, file, given })
    await requireFreePort(port, 'the gateway', 'npm run gateway -- --port')
    const [problem] = await Promise.all([
      upstreamProblem(config),
      seed(config.environment, persistTo, wanted || !foreign),
    ])
    const gateway = running.add(
      await startGateway({
        port,
        vars,
        persistTo,
        ...(await developerSecrets()),
        onLine: verbose ? console.log : printShown,
      }),
    )
    console.log(`\n${banner(gateway.url, config)}`)
    console.log(`Entitlements: ${entitleCommand({ state, environment: config.environment })} show\n`)
    if (problem) warn(problem)
    const ended = gateway.exited.then(() => {
      throw new UsageError(`The gateway has stopped by itself:\n${gateway.output()}`)
    })
    await Promise.race([stop, ended])
  } finally {
    await running.close()
  }
}

function banner(url: string, { upstream }: Config): string {
  const whose =
    upstream.audiences.length > 0
      ? `audience ${upstream.audiences.join(', ')}`
      : `client ${upstream.clientIds.join(', ')}`
  const address = `${paint('cyan', url)} → ${paint('cyan', upstream.origin)}`
  return `Gateway ${address} (${upstream.profile}, ${whose}). Ctrl-C stops it.`
}

const warn = (problem: string): void => console.error(`${paint('yellow', 'Warning:')} ${problem}\n`)

if (import.meta.main) {
  const command = new Command('npm run gateway --')
    .description('Starts the gateway alone, in front of any identity provider.')
    .option('--port <port>', 'where it listens', parsePort, GATEWAY_PORT)
    .option(
      '--var <NAME:VALUE>',
      'a var of the gateway, overrides wrangler.toml; repeatable',
      (pair: string, pairs: string[] = []) => [...pairs, pair],
    )
    .addOption(new Option('--state <folder>', 'documents and signing key').default(STATE, '.wrangler/state'))
    .option('--seed', "write the demo's organizations even in front of your own identity provider")
    .option('--verbose', 'print all that wrangler prints, not only the log of the gateway')
    .addHelpText('after', HELP)
    .action((options: RunOptions) => main(() => run(options)))
  await parseCommandLine(command)
}
