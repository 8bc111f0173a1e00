/**
 * `npm start`: the whole story on one machine. An identity provider, the gateway in front of it, the control plane with
 * seeded entitlements, and an app that logs in through the gateway.
 *
 * All ports are checked before anything starts, and whatever ends it, what it started is stopped again.
 */
import { resolve } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { startApp } from './app/server.ts'
import { main, paint, Running, signalled, UsageError } from './cli.ts'
import { entitleCommand, parseCommandLine, story } from './commands.ts'
import { CONTROL_PORT, type LocalControl, startControl } from './control.ts'
import { ControlClient } from './control_client.ts'
import { GATEWAY_PORT, type Gateway, parsePort, startGateway } from './gateway.ts'
import { OWN_APP, OWN_SERVER, ownClients } from './idp/clients.ts'
import { API_AUDIENCE, startIdp } from './idp.ts'
import { printShown } from './log_lines.ts'
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
  redirectUri?: string[]
}

async function start(options: StartOptions): Promise<void> {
  const running = new Running()
  const stop = signalled()
  try {
    await requireFreePort(options.idpPort, 'the identity provider', 'npm start -- --idp-port')
    await requireFreePort(options.gatewayPort, 'the gateway', 'npm start -- --gateway-port')
    await requireFreePort(options.controlPort, 'the control plane', 'npm start -- --control-port')
    await requireFreePort(options.appPort, 'the demo app', 'npm start -- --app-port')
    console.log('Starting …')
    const ended = startAll(running, options).then(async ({ gateway, control }) => {
      printAddresses(options)
      const stopped = await Promise.race([
        gateway.exited.then(() => `The gateway has stopped by itself:\n${gateway.output()}`),
        control.exited.then(() => `The control plane has stopped by itself:\n${control.output()}`),
      ])
      throw new UsageError(stopped)
    })
    await Promise.race([stop, ended])
    console.log('\nStopping …')
  } finally {
    await running.close()
  }
}

async function startAll(
  running: Running,
  options: StartOptions,
): Promise<{ gateway: Gateway; control: LocalControl }> {
  const app = `http://localhost:${options.appPort}`
  const persistTo = resolve(options.state)
  const idp = running.add(
    await startIdp({
      port: options.idpPort,
      redirectUris: [`${app}/callback`],
      postLogoutRedirectUris: [`${app}/`],
      clients: options.redirectUri ? ownClients(options.redirectUri) : [],
      gateway: `http://localhost:${options.gatewayPort}`,
    }),
  )
  const log = options.logs && { onLine: printShown }
  const control = running.add(
    await startControl({
      port: options.controlPort,
      vars: { OIDC_ISSUER: idp.issuer },
      persistTo,
      // For the secrets of webhooks.
      envFiles: (await developerSecrets()).envFiles ?? [],
      ...log,
    }),
  )
  await seedControl(new ControlClient(control.url, control.key), persistTo)
  const gateway = running.add(
    await startGateway({
      port: options.gatewayPort,
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
      persistTo,
      ...(await developerSecrets()),
      ...log,
    }),
  )
  const entitle = entitleCommand({ state: options.state })
  running.add(await startApp({ port: options.appPort, issuer: gateway.url, audience: API_AUDIENCE, entitle }))
  return { gateway, control }
}

function printAddresses(options: StartOptions): void {
  const { appPort, gatewayPort, controlPort, idpPort, state, redirectUri } = options
  const rows = [
    ['Demo app', appPort, 'log in here'],
    ['Gateway', gatewayPort, 'what the app trusts'],
    ['Identity provider', idpPort, 'behind the gateway'],
    ['Control plane', controlPort, 'the API reference is at /docs'],
  ] as const
  console.log('')
  for (const [name, port, note] of rows) {
    const url = `http://localhost:${port}`
    console.log(`  ${paint('bold', name.padEnd(18))} ${paint('cyan', url.padEnd(23))} ${paint('dim', note)}`)
  }
  if (redirectUri?.length) printOwnClients(`http://localhost:${gatewayPort}`, redirectUri)
  const { grant, kill, revive } = story(entitleCommand({ state }))
  console.log(`
  Log in to the demo app as Grace of Globex. In a second terminal, grant Globex the reports:

    ${paint('cyan', grant)}

  wait five seconds and press "Refresh session". Switch them off in an incident, and on again:

    ${paint('cyan', kill)}
    ${paint('cyan', revive)}

  Ctrl-C stops everything.
`)
}

function printOwnClients(issuer: string, redirectUris: readonly string[]): void {
  const rows = [
    ['issuer', issuer],
    ['redirect URI', redirectUris.join(', ')],
    ['client id', `${OWN_APP} (in a browser or on a device: PKCE, no secret)`],
    ['client id', `${OWN_SERVER.id} (on a server)`],
    ['client secret', OWN_SERVER.secret],
  ] as const
  console.log(`\n  ${paint('bold', 'Your app')}`)
  for (const [name, value] of rows) console.log(`    ${name.padEnd(16)} ${paint('cyan', value)}`)
}

/** An address that a browser can be sent to; the provider compares it as it is, but for the port of a loopback address. */
function addRedirectUri(text: string, others: readonly string[] = []): string[] {
  const url = URL.parse(text)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new InvalidArgumentError('It is a URL that begins with http:// or https://.')
  }
  if (text.includes('#')) throw new InvalidArgumentError('It must not have a fragment (#).')
  return [...others, text]
}

const HELP = `
Nothing leaves this machine. Delete .wrangler/state to start over.

An app of your own logs in here with --redirect-uri:
  npm start -- --redirect-uri http://localhost:3000/callback
Its pages may call the token endpoint, and after a log-out it may return to its root. The port of localhost, 127.0.0.1 and
[::1] does not matter. The provider's userinfo endpoint takes the gateway's tokens too, which few real ones do: docs/clients.md.

With --logs, "reason" says why an answer is 500 or above. "npm run token -- grace" prints a customer's token.
"npm run gateway -- --help" starts the gateway alone, in front of your own IdP.`

if (import.meta.main) {
  const command = new Command('npm start --')
    .description(
      'Starts an identity provider, the gateway, the control plane and a demo app. Ctrl-C stops all.',
    )
    .option('--idp-port <port>', 'the identity provider', parsePort, 9000)
    .option('--gateway-port <port>', 'the gateway', parsePort, GATEWAY_PORT)
    .option('--control-port <port>', 'the control plane', parsePort, CONTROL_PORT)
    .option('--app-port <port>', 'the demo app', parsePort, 8789)
    .addOption(new Option('--state <folder>', 'documents and signing key').default(STATE, '.wrangler/state'))
    .option(
      '--redirect-uri <url>',
      'register an app of your own that returns here; repeatable',
      addRedirectUri,
      [],
    )
    .option('--logs', 'print what the gateway and the control plane log, one JSON line a request')
    .addHelpText('after', HELP)
    .action((options: StartOptions) => main(() => start(options)))
  await parseCommandLine(command)
}
