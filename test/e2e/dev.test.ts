/** The local development environment, run as a newcomer runs it: real processes, with a state folder of their own. */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { story } from '../../dev/commands.ts'
import { logIn } from '../../dev/login.ts'
import { freePorts, listen } from '../../dev/network.ts'
import { PROJECT } from '../../dev/wrangler.ts'
import { printed, script, scriptIn, stop } from './support/scripts.ts'

let state: string
beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), 'remint-dev-test-'))
})
afterAll(() => rm(state, { recursive: true, force: true }))

test('options that npm has taken for its own are explained, and nothing is changed', async () => {
  const env = { npm_lifecycle_event: 'entitle', npm_config_kill: 'true' }
  const { code, output } = await scriptIn(env, 'entitle.ts', 'rule', 'sso')
  expect(code).toBe(1)
  expect(output).toContain('npm run entitle -- rule sso --kill')
  const taken = { npm_lifecycle_event: 'start', npm_config_idp_port: '9001', npm_config_state: 'true' }
  expect((await scriptIn(taken, 'start.ts', '/elsewhere')).output).toContain(
    'npm has taken --idp-port, --state for itself',
  )
})

test.each(['entitle.ts', 'gateway.ts', 'start.ts', 'demo.ts', 'migrate.ts', 'audit.ts', 'rebuild.ts'])(
  '%s explains itself with --help',
  async (name) => {
    const { code, output } = await script(name, '--help')
    expect(code).toBe(0)
    expect(output).toMatch(/npm (run|start)/)
  },
)

test('the README tells the same story as the banner', async () => {
  const readme = await readFile(join(PROJECT, 'README.md'), 'utf8')
  for (const command of Object.values(story())) expect(readme).toContain(command)
})

test('the demo tells its story and every claim is as expected', async () => {
  const { code, output } = await script('demo.ts')
  expect(output).toContain('+scim')
  expect(output).toContain('-scim')
  expect(output.trim().split('\n').at(-1)).toBe('Every claim was as expected.')
  expect(code).toBe(0)
})

describe('start', () => {
  test('prints the addresses, serves a gated API on them, keeps the key to itself, and stops with all it started', async () => {
    const [idp = 0, gateway = 0, app = 0, control = 0] = await freePorts(4)
    const child = spawn(
      process.execPath,
      [
        ...['dev/start.ts', '--state', state],
        ...['--idp-port', String(idp), '--gateway-port', String(gateway), '--app-port', String(app)],
        ...['--control-port', String(control)],
      ],
      { cwd: PROJECT, stdio: ['ignore', 'pipe', 'pipe'] },
    )
    try {
      const output = await printed(child, 'Ctrl-C stops everything')
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
    } finally {
      await stop(child)
    }
    expect(child.exitCode).toBe(0)
    for (const port of [idp, gateway, app, control])
      await expect(fetch(`http://localhost:${port}/`)).rejects.toThrow()
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
