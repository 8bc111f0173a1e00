/**
 * `npm start`: the whole story on one machine. An identity provider, the gateway in front of it, seeded documents, and
 * an app that logs in through the gateway.
 *
 * Ports are fixed, because clients register their addresses. All of them are checked before anything starts, and
 * whatever ends it, what it started is stopped again.
 */
import { parseArgs } from 'node:util'
import { startApp } from './app/server.ts'
import { main, paint, Running, signalled, UsageError } from './cli.ts'
import { GATEWAY_PORT, startGateway } from './gateway.ts'
import { API_AUDIENCE, startIdp } from './idp.ts'
import { requireFreePort } from './network.ts'
import { seed } from './seed.ts'
import { developerSecrets } from './signing_keys.ts'

const PORTS = { idp: 9000, gateway: GATEWAY_PORT, app: 8789 } as const

const HELP = `npm start

Starts everything on this machine: an identity provider, the gateway, seeded
entitlements and a demo app. Ctrl-C stops all of it.

Options:
  --logs      also print what the gateway logs, one JSON line a request
  -h, --help  this text

State is kept in .wrangler/state; delete that folder to begin anew.
"npm run gateway -- --help" starts the gateway alone, in front of your own IdP.`

async function start(logs: boolean): Promise<void> {
  const running = new Running()
  const stop = signalled()
  try {
    await requireFreePort(PORTS.idp, 'the identity provider')
    await requireFreePort(PORTS.gateway, 'the gateway; "npm run gateway" may be running')
    await requireFreePort(PORTS.app, 'the demo app')
    console.log('Starting …')
    const ready = startAll(running, logs)
    const stopped = await Promise.race([
      stop,
      ready.then((gateway) => addresses(gateway).then(() => gateway.exited)),
    ])
    if (typeof stopped !== 'string') throw new UsageError('The gateway has stopped by itself.')
    console.log('\nStopping …')
  } finally {
    await running.close()
  }
}

async function startAll(running: Running, logs: boolean) {
  const idp = running.add(await startIdp({ port: PORTS.idp }))
  await seed()
  const gateway = running.add(
    await startGateway({
      port: PORTS.gateway,
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
      ...(await developerSecrets()),
      ...(logs && { onLine: (line: string) => console.log(line) }),
    }),
  )
  running.add(await startApp({ port: PORTS.app, issuer: gateway.url, audience: API_AUDIENCE }))
  return gateway
}

async function addresses(gateway: { url: string }): Promise<void> {
  const rows = [
    ['Demo app', `http://localhost:${PORTS.app}`, 'log in here'],
    ['Gateway', gateway.url, 'what the app trusts'],
    ['Identity provider', `http://localhost:${PORTS.idp}`, 'behind the gateway'],
  ] as const
  console.log('')
  for (const [name, url, note] of rows) {
    console.log(`  ${paint('bold', name.padEnd(18))} ${paint('cyan', url.padEnd(23))} ${paint('dim', note)}`)
  }
  console.log(`
  Log in as Grace of Globex, then change what Globex has in a second terminal:

    ${paint('cyan', 'npm run entitle -- grant org_globex advanced-analytics --source beta --for 30d')}

  and press "Refresh session". Ctrl-C stops everything.
`)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { help: { type: 'boolean', short: 'h' }, logs: { type: 'boolean' } },
  })
  if (values.help) console.log(HELP)
  else await main(() => start(Boolean(values.logs)))
}
