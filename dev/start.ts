/**
 * `npm start`: the whole story on one machine. An identity provider, the gateway in front of it, the control plane with
 * seeded entitlements, and an app that logs in through the gateway.
 *
 * All ports are checked before anything starts, and whatever ends it, what it started is stopped again.
 */
import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import { startApp } from './app/server.ts'
import { main, paint, Running, signalled, UsageError } from './cli.ts'
import { CONTROL_PORT, startControl } from './control.ts'
import { ControlClient } from './control_client.ts'
import { GATEWAY_PORT, type Gateway, parsePort, startGateway } from './gateway.ts'
import { API_AUDIENCE, startIdp } from './idp.ts'
import { requireFreePort } from './network.ts'
import { seedControl } from './seed_control.ts'
import { developerSecrets } from './signing_keys.ts'
import { STATE } from './wrangler.ts'

interface StartOptions {
  idpPort: number
  gatewayPort: number
  controlPort: number
  appPort: number
  state: string
  logs?: boolean
}

async function start(options: StartOptions): Promise<void> {
  const running = new Running()
  const stop = signalled()
  try {
    await requireFreePort(options.idpPort, 'the identity provider', '--idp-port')
    await requireFreePort(options.gatewayPort, 'the gateway', '--gateway-port')
    await requireFreePort(options.controlPort, 'the control plane', '--control-port')
    await requireFreePort(options.appPort, 'the demo app', '--app-port')
    console.log('Starting …')
    const ended = startAll(running, options).then(async (gateway) => {
      printAddresses(options)
      await gateway.exited
      throw new UsageError('The gateway has stopped by itself. "npm start -- --logs" shows what it prints.')
    })
    await Promise.race([stop, ended])
    console.log('\nStopping …')
  } finally {
    await running.close()
  }
}

async function startAll(running: Running, options: StartOptions): Promise<Gateway> {
  const app = `http://localhost:${options.appPort}`
  const persistTo = resolve(options.state)
  const idp = running.add(
    await startIdp({
      port: options.idpPort,
      redirectUris: [`${app}/callback`],
      postLogoutRedirectUris: [`${app}/`],
    }),
  )
  const control = running.add(
    await startControl({
      port: options.controlPort,
      vars: { OIDC_ISSUER: idp.issuer },
      persistTo,
      ...(options.logs && { onLine: (line: string) => console.log(line) }),
    }),
  )
  const client = new ControlClient(control.url, control.key)
  if ((await seedControl(client)).length > 0) await client.settled('production')
  const gateway = running.add(
    await startGateway({
      port: options.gatewayPort,
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
      persistTo,
      ...(await developerSecrets()),
      ...(options.logs && { onLine: (line: string) => console.log(line) }),
    }),
  )
  running.add(await startApp({ port: options.appPort, issuer: gateway.url, audience: API_AUDIENCE }))
  return gateway
}

function printAddresses({ appPort, gatewayPort, controlPort, idpPort }: StartOptions): void {
  const rows = [
    ['Demo app', appPort, 'log in here'],
    ['Gateway', gatewayPort, 'what the app trusts'],
    ['Identity provider', idpPort, 'behind the gateway'],
    ['Control plane', controlPort, 'the API is described at /docs'],
  ] as const
  console.log('')
  for (const [name, port, note] of rows) {
    const url = `http://localhost:${port}`
    console.log(`  ${paint('bold', name.padEnd(18))} ${paint('cyan', url.padEnd(23))} ${paint('dim', note)}`)
  }
  console.log(`
  Log in as Grace of Globex, then change what Globex has in a second terminal:

    ${paint('cyan', 'npm run entitle -- grant org_globex advanced-analytics --source beta --for 30d')}

  and press "Refresh session". Ctrl-C stops everything.
`)
}

const HELP = `
Nothing leaves this machine. Delete .wrangler/state to begin anew.
"npm run gateway -- --help" starts the gateway alone, in front of your own IdP.`

if (import.meta.main) {
  await new Command('npm start --')
    .description(
      'Starts an identity provider, the gateway, the control plane and a demo app. Ctrl-C stops all.',
    )
    .option('--idp-port <port>', 'the identity provider', parsePort, 9000)
    .option('--gateway-port <port>', 'the gateway', parsePort, GATEWAY_PORT)
    .option('--control-port <port>', 'the control plane', parsePort, CONTROL_PORT)
    .option('--app-port <port>', 'the demo app', parsePort, 8789)
    .addOption(new Option('--state <folder>', 'documents and signing key').default(STATE, '.wrangler/state'))
    .option('--logs', 'print what the gateway and the control plane log, one JSON line a request')
    .addHelpText('after', HELP)
    .action((options: StartOptions) => main(() => start(options)))
    .parseAsync()
}
