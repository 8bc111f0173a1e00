/** The local development environment, run as a newcomer runs it: real processes, with a state folder of their own. */
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { program as audit } from '../../dev/audit.ts'
import { story } from '../../dev/commands.ts'
import { program as entitle } from '../../dev/entitle.ts'
import { program as flags } from '../../dev/flags.ts'
import { OWN_APP, OWN_SERVER } from '../../dev/idp/clients.ts'
import { CONTROL_AUDIENCE } from '../../dev/idp.ts'
import { program as keys } from '../../dev/keys.ts'
import { logIn } from '../../dev/login.ts'
import { freePorts, listen } from '../../dev/network.ts'
import { program as rebuild } from '../../dev/rebuild.ts'
import { program as reconcile } from '../../dev/reconcile.ts'
import { PROJECT } from '../../dev/wrangler.ts'
import { runCommand } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { printed, script, scriptIn, stop } from './support/scripts.ts'

let state: string
beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), 'remint-dev-test-'))
})
afterAll(() => rm(state, { recursive: true, force: true }))

test('options that npm took for itself are explained, and nothing is changed', async () => {
  const env = { npm_lifecycle_event: 'entitle', npm_config_kill: 'true' }
  const { code, output } = await runCommand(entitle(), ['rule', 'sso'], env)
  expect(code).toBe(1)
  expect(output).toContain('npm run entitle -- rule sso --kill')
  const taken = { npm_lifecycle_event: 'start', npm_config_idp_port: '9001', npm_config_state: 'true' }
  expect((await scriptIn(taken, 'start.ts', '/elsewhere')).output).toContain(
    'npm took --idp-port, --state for itself',
  )
})

test.each(['demo', 'gateway', 'migrate', 'operator', 'start', 'token'])(
  '%s explains itself with --help',
  async (name) => {
    const { code, output } = await script(`${name}.ts`, '--help')
    expect(code).toBe(0)
    expect(output).toMatch(/npm (run|start)/)
  },
)

test.each(Object.entries({ audit, entitle, flags, keys, rebuild, reconcile }))(
  '%s explains itself with --help',
  async (name, program) => {
    const { code, output } = await runCommand(program(), ['--help'])
    expect(code).toBe(0)
    expect(output).toContain(`npm run ${name} --`)
  },
)

test('the README has the same commands as the banner', async () => {
  const readme = await readFile(join(PROJECT, 'README.md'), 'utf8')
  for (const command of Object.values(story())) expect(readme).toContain(command)
})

describe('start', () => {
  const own = 'http://localhost:3000/callback'
  let child: ReturnType<typeof spawn>
  let output = ''
  let idp = 0
  let gateway = 0
  let app = 0
  let control = 0
  beforeAll(async () => {
    ;[idp = 0, gateway = 0, app = 0, control = 0] = await freePorts(4)
    child = spawn(
      process.execPath,
      [
        ...['dev/start.ts', '--state', state, '--logs', '--redirect-uri', own],
        ...['--idp-port', String(idp), '--gateway-port', String(gateway), '--app-port', String(app)],
        ...['--control-port', String(control)],
      ],
      { cwd: PROJECT, stdio: ['ignore', 'pipe', 'pipe'] },
    )
    child.stdout?.on('data', (chunk) => {
      output += chunk
    })
    await printed(child, 'Ctrl-C stops everything')
  }, 120_000)
  afterAll(() => stop(child))

  test('prints the addresses, serves a gated API on them, and keeps the key to itself', async () => {
    for (const port of [idp, gateway, app, control]) expect(output).toContain(`http://localhost:${port}`)
    const entitle = `npm run entitle -- --state ${state}`
    for (const command of Object.values(story(entitle))) expect(output).toContain(command)
    const settings = await (await fetch(`http://localhost:${app}/settings.json`)).json()
    expect(settings).toMatchObject({ issuer: `http://localhost:${gateway}`, entitle })
    expect(output).not.toContain('"d"')
    expect((await stat(join(state, 'signing-keys.env'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(state, 'control-key'))).mode & 0o777).toBe(0o600)
    expect((await fetch(`http://localhost:${gateway}/healthz`)).status).toBe(200)
    expect((await fetch(`http://localhost:${control}/docs`)).status).toBe(200)
    expect(await (await fetch(`http://localhost:${app}/`)).text()).toContain('Remint demo')

    const home = await (await fetch(`http://localhost:${gateway}/`)).text()
    expect(home).toContain('The gateway is running')
    expect(home).toContain(`href="http://localhost:${app}"`)
    expect(await (await fetch(`http://localhost:${idp}/`)).text()).toContain('identity provider is running')

    expect((await reports(app)).status).toBe(401)
    expect((await reports(app, 'not-a-token')).status).toBe(401)
    const denied = await reports(app, await accessToken(gateway, app, 'user_grace'))
    expect(denied.status).toBe(403)
    expect(denied.headers.get('content-type')).toBe('application/problem+json')
    expect(await denied.json()).toMatchObject({ code: 'flag_missing', missing: ['advanced-analytics'] })
    expect((await reports(app, await accessToken(gateway, app, 'user_ada'))).status).toBe(200)
  })

  test('prints the clients of an app of one’s own, which logs in on any port and may read who the user is', async () => {
    for (const text of [own, OWN_APP, OWN_SERVER.id, OWN_SERVER.secret]) expect(output).toContain(text)
    const issuer = `http://localhost:${gateway}`
    const { config, tokens } = await logIn({
      ...{ issuer, account: 'user_grace', redirectUri: 'http://localhost:3999/callback' },
      client: OWN_SERVER,
    })
    const grace = { sub: 'user_grace', email: 'grace@globex.example', org_id: 'org_globex' }
    expect(await oidc.fetchUserInfo(config, tokens.access_token, 'user_grace')).toMatchObject(grace)
    const direct = await logIn({ issuer: `http://localhost:${idp}`, account: 'user_grace', redirectUri: own })
    const userinfo = (authorization: string) =>
      fetch(`http://localhost:${idp}/me`, { headers: { authorization, origin: 'http://localhost:3999' } })
    const answer = await userinfo(`Bearer ${direct.tokens.access_token}`)
    expect(answer.headers.get('access-control-allow-origin')).toMatch(/./)
    expect(await answer.json()).toMatchObject(grace)
    expect((await userinfo(`Bearer ${tokens.access_token}x`)).status).toBe(401)
  })

  test.each([
    ['http://localhost:3999', 'http://localhost:3999'],
    ['http://127.0.0.1:3000', null],
    ['https://elsewhere.example', null],
  ])('a page of %s may call the token endpoint of its app: %s', async (origin, allowed) => {
    const response = await fetch(`http://localhost:${gateway}/token`, {
      method: 'POST',
      headers: { origin },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x', client_id: OWN_APP }),
    })
    expect(response.headers.get('access-control-allow-origin')).toBe(allowed)
  })

  test('--logs prints why an answer was 503', async () => {
    const login = logIn({
      ...{ issuer: `http://localhost:${gateway}`, account: 'operator_viewer', redirectUri: own },
      ...{ client: OWN_SERVER, resource: CONTROL_AUDIENCE, scope: 'openid control' },
    })
    await expect(login).rejects.toThrow()
    const line = await eventually(
      () => output.split('\n').find((text) => text.includes('"reason":"audience_mismatch"')),
      'the line of the log',
    )
    expect(JSON.parse(line)).toMatchObject({ level: 'error', route: 'token', status: 503 })
  })

  test('npm run token prints a customer’s token alone, and the rest to the error stream', async () => {
    const run = promisify(execFile)
    const args = ['dev/token.ts', 'grace', '--issuer', `http://localhost:${gateway}`]
    const { stdout, stderr } = await run(process.execPath, args, { cwd: PROJECT })
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    expect(decodeJwt(stdout.trim())).toMatchObject({
      ...{ iss: `http://localhost:${gateway}`, sub: 'user_grace' },
      feature_flags: ['csv-export', 'new-editor'],
    })
    expect(stderr).toContain('Grace Hopper of Globex')
  })

  test('stops with all that it started', async () => {
    await stop(child)
    expect(child.exitCode).toBe(0)
    for (const port of [idp, gateway, app, control])
      await expect(fetch(`http://localhost:${port}/`)).rejects.toThrow()
  })

  test.each([
    'localhost:3000/callback',
    'com.example.app:/callback',
    'http://localhost:3000/#/callback',
    '/callback',
  ])('%s is not an address to return to', async (uri) => {
    const { code, output } = await script('start.ts', '--state', state, '--redirect-uri', uri)
    expect(code).toBe(1)
    expect(output).toMatch(/begins with http:|fragment/)
  })

  test('a port in use is named, with the option that changes it', async () => {
    const squatter = createServer()
    const port = await listen(squatter, 0)
    const { code, output } = await script('start.ts', '--state', state, '--idp-port', String(port))
    squatter.close()
    expect(code).toBe(1)
    expect(output).toContain(`Port ${port} is in use`)
    expect(output).toContain('Is npm start already running?')
    expect(output).toContain(`npm start -- --idp-port ${port === 65_535 ? port - 1 : port + 1}`)
  })
})

const reports = (app: number, token?: string) =>
  fetch(`http://localhost:${app}/api/reports`, {
    ...(token && { headers: { authorization: `Bearer ${token}` } }),
  })

async function accessToken(gateway: number, app: number, account: string): Promise<string> {
  const redirectUri = `http://localhost:${app}/callback`
  const { tokens } = await logIn({ issuer: `http://localhost:${gateway}`, account, redirectUri })
  return tokens.access_token
}
