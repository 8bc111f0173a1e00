/**
 * `npm run demo`: what Remint does, as a script. Logs in, refreshes, grants a flag, refreshes, kills it, refreshes, and
 * shows the claim each time.
 *
 * Real processes and real HTTP, on ports and in a folder of its own, so that it runs beside `npm start` and does not touch
 * the developer's documents. It succeeds only if every claim is exactly what it should be.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as oidc from 'openid-client'
import { main, paint, Running, signalled, UsageError } from './cli.ts'
import { startControl } from './control.ts'
import { ControlClient } from './control_client.ts'
import { difference } from './entitle/changes.ts'
import { startGateway } from './gateway.ts'
import { API_AUDIENCE, startIdp } from './idp.ts'
import { logIn } from './login.ts'
import { freePorts } from './network.ts'
import { seedControl } from './seed_control.ts'

const ORGANIZATION = 'org_acme'
const FLAG = 'scim'
const FUNDED = ['advanced-analytics', 'audit-log', 'csv-export', 'priority-support', 'sso']
const GRANTED = [...FUNDED, FLAG].sort()

const GRANT_MS = 7 * 86_400_000

/** The gateway keeps a document for at most 5 s; the rest is for a slow machine. */
const CHANGE_TIMEOUT_MS = 20_000
const POLL_MS = 500

type Session = Awaited<ReturnType<typeof logIn>>

async function demo(): Promise<void> {
  const running = new Running()
  try {
    const interrupted = signalled().then((signal) => {
      throw new UsageError(`Stopped by ${signal}.`)
    })
    await Promise.race([prepare(running).then(story), interrupted])
    console.log(`\n${paint('green', 'Every claim was as expected.')}`)
  } catch (error) {
    console.log(`\n${paint('red', 'The demo failed.')}`)
    throw error
  } finally {
    await running.close()
  }
}

interface Stage {
  gateway: string
  control: ControlClient
}

async function prepare(running: Running): Promise<Stage> {
  console.log('Starting an identity provider, the control plane and the gateway …')
  const state = await mkdtemp(join(tmpdir(), 'remint-demo-'))
  running.add({ close: () => rm(state, { recursive: true, force: true }) })
  const [gatewayPort = 0, controlPort = 0] = await freePorts(2)
  const idp = running.add(await startIdp({ port: 0 }))
  const { url, key } = running.add(await startControl({ port: controlPort, persistTo: state }))
  const control = new ControlClient(url, key)
  await seedControl(control)
  const vars = { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer }
  const gateway = running.add(await startGateway({ port: gatewayPort, vars, persistTo: state }))
  return { gateway: gateway.url, control }
}

async function story({ gateway, control }: Stage): Promise<void> {
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', gateway))
  let shown: readonly string[] = []

  step('Ada of Acme logs in', 'authorization code and PKCE, through the gateway')
  const session = await logIn({
    issuer: gateway,
    account: 'user_ada',
    redirectUri: 'http://localhost:8789/callback',
  })
  await expectClaim(FUNDED)

  step('She refreshes', 'nothing has changed')
  await refresh(session)
  await expectClaim(FUNDED)

  step(
    `Support grants ${FLAG} to Acme`,
    `npm run entitle -- grant ${ORGANIZATION} ${FLAG} --source support --ticket SUP-1`,
  )
  await control.write('POST', '/grants', {
    environment: 'production',
    subject: { kind: 'org', id: ORGANIZATION },
    flag: FLAG,
    source: 'support',
    to: new Date(Date.now() + GRANT_MS).toISOString(),
    reason: 'The customer moves to a new directory',
    ticket: 'SUP-1234',
  })
  await refreshUntil(GRANTED)

  step(`An incident: ${FLAG} is killed for everybody`, `npm run entitle -- rule ${FLAG} --kill`)
  await control.write('POST', `/flags/${FLAG}/rules/production/kill`, { reason: 'It locks people out' })
  await refreshUntil(FUNDED)

  /** Refreshes until the claim is the expected one; on the way there it may only be what it was. */
  async function refreshUntil(expected: readonly string[]): Promise<void> {
    const started = Date.now()
    const before = shown
    for (;;) {
      await refresh(session)
      const flags = await claim()
      if (same(flags, expected)) break
      if (!same(flags, before)) break
      if (Date.now() - started > CHANGE_TIMEOUT_MS) break
      if (process.stdout.isTTY) process.stdout.write('.')
      await sleep(POLL_MS)
    }
    if (process.stdout.isTTY) process.stdout.write('\r')
    console.log(
      `  visible after ${((Date.now() - started) / 1000).toFixed(1)} s, of at most 5 s plus a refresh`,
    )
    await expectClaim(expected)
  }

  async function expectClaim(expected: readonly string[]): Promise<void> {
    const flags = await claim()
    const changed = difference(shown, flags).map((word) =>
      paint(word.startsWith('+') ? 'green' : 'red', word),
    )
    console.log(`  feature_flags  ${JSON.stringify(flags)}`)
    console.log(`  changed        ${changed.join(' ') || 'nothing'}`)
    if (!same(flags, expected)) throw new UsageError(`Expected ${JSON.stringify(expected)}.`)
    shown = flags
  }

  /** The flags of the current access token, after verifying it as an API would: offline, with the gateway's keys. */
  async function claim(): Promise<string[]> {
    const { payload } = await jwtVerify(session.tokens.access_token, keys, {
      issuer: gateway,
      audience: API_AUDIENCE,
      typ: 'at+jwt',
      requiredClaims: ['sub', 'org_id', 'sid', 'jti', 'feature_flags'],
    })
    const meta = payload.feature_flags_meta as { src?: unknown } | undefined
    if (meta?.src !== 'fresh') throw new UsageError(`The entitlements are ${meta?.src}, not fresh.`)
    return payload.feature_flags as string[]
  }
}

async function refresh(session: Session): Promise<void> {
  const { refresh_token } = session.tokens
  if (refresh_token === undefined) throw new UsageError('The token endpoint returned no refresh token.')
  session.tokens = await oidc.refreshTokenGrant(session.config, refresh_token)
  if (session.tokens.refresh_token === refresh_token)
    throw new UsageError('The refresh token did not rotate.')
}

function step(title: string, how: string): void {
  console.log(`\n${paint('bold', title)}\n  ${paint('dim', how)}`)
}

const same = (a: readonly string[], b: readonly string[]): boolean => JSON.stringify(a) === JSON.stringify(b)

if (import.meta.main) {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' } } })
  if (values.help) {
    console.log(
      'npm run demo\n\nLogs in, refreshes, grants a flag, kills it, and checks the claim each time.',
    )
  } else {
    await main(demo)
  }
}
