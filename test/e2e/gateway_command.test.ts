/** `npm run gateway`: the gateway alone, in front of any identity provider. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { upstreamProblem } from '../../dev/gateway/upstream.ts'
import { parseVars, resolveVars } from '../../dev/gateway/vars.ts'
import { isRegistered } from '../../dev/idp/clients.ts'
import { startIdp } from '../../dev/idp.ts'
import { openDocuments } from '../../dev/local_kv.ts'
import { shownLine } from '../../dev/log_lines.ts'
import { logIn } from '../../dev/login.ts'
import { freePorts, listen } from '../../dev/network.ts'
import { PROJECT } from '../../dev/wrangler.ts'
import { printed, script, stop } from './support/scripts.ts'

let state: string
beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), 'remint-dev-test-'))
})
afterAll(() => rm(state, { recursive: true, force: true }))

const project = {
  ENVIRONMENT: 'production',
  UPSTREAM_PROFILE: 'oidc',
  UPSTREAM_ORIGIN: 'http://localhost:9000',
}
const demo = { ...project, UPSTREAM_ISSUER: 'http://localhost:9000', UPSTREAM_AUDIENCE: 'demo' }
const idp = 'https://idp.example.com'

test.each(['UPSTREAM_ORIGIN:https://idp.example.com', 'UPSTREAM_ORIGIN=https://idp.example.com'])(
  '%s is a var',
  (pair) => expect(parseVars([pair])).toEqual({ UPSTREAM_ORIGIN: idp }),
)

test.each([
  ['UPSTREAM_ORIGN:https://idp.example.com', 'Did you mean UPSTREAM_ORIGIN'],
  ['upstream_origin:https://idp.example.com', 'Did you mean UPSTREAM_ORIGIN'],
  ['PORT:1', 'There are: ENVIRONMENT, ISSUER'],
  ['UPSTREAM_ORIGIN', 'NAME:VALUE'],
  ['SIGNING_KEYS:{}', '.dev.vars'],
  ['ENTITLEMENTS:x', 'has no var'],
])('%s is refused', (pair, says) => {
  expect(() => parseVars([pair])).toThrow(says)
})

test('another upstream takes neither the issuer nor the audience of the demo', () => {
  const given = { UPSTREAM_ORIGIN: idp, UPSTREAM_AUDIENCE: 'mine' }
  const { config, foreign } = resolveVars({ port: 8850, project: demo, file: {}, given })
  expect(foreign).toBe(true)
  expect(config.upstream).toMatchObject({ origin: idp, issuer: idp, audiences: ['mine'] })
  expect(config.issuer).toBe('http://localhost:8850')
  expect(() => resolveVars({ port: 1, project: demo, file: {}, given: { UPSTREAM_ORIGIN: idp } })).toThrow(
    '  UPSTREAM_AUDIENCE: is required',
  )
})

test('.dev.vars says what the command line does not', () => {
  const file = {
    UPSTREAM_ORIGIN: idp,
    UPSTREAM_ISSUER: `${idp}/tenant`,
    UPSTREAM_AUDIENCE: 'a',
    ISSUER: 'https://x.example',
  }
  const { config, vars } = resolveVars({
    port: 8850,
    project: demo,
    file,
    given: { UPSTREAM_AUDIENCE: 'b' },
  })
  expect(config).toMatchObject({
    issuer: 'https://x.example',
    upstream: { issuer: `${idp}/tenant`, audiences: ['b'] },
  })
  expect(vars).toMatchObject({ ISSUER: 'https://x.example', UPSTREAM_ISSUER: `${idp}/tenant` })
})

test('an incomplete configuration is a list, before anything has started', async () => {
  const folder = join(state, 'untouched')
  const { code, output } = await script('gateway.ts', '--state', folder, '--var', `UPSTREAM_ORIGIN:${idp}`)
  expect(code).toBe(1)
  expect(output.trim().split('\n')[0]).toBe('The gateway cannot run like this:')
  expect(output).not.toContain('wrangler')
  await expect(stat(folder)).rejects.toThrow('ENOENT')
})

test('a taken port is named before anything is written', async () => {
  const squatter = createServer()
  const port = await listen(squatter, 0)
  const folder = join(state, 'untouched')
  const { code, output } = await script('gateway.ts', '--state', folder, '--port', String(port))
  squatter.close()
  expect(code).toBe(1)
  expect(output).toContain('npm run gateway -- --port')
  await expect(stat(folder)).rejects.toThrow('ENOENT')
})

test('an upstream that is not there, or is somebody else, is said', async () => {
  const upstream = await startIdp({ port: 0 })
  const { vars } = resolveVars({ port: 1, project: demo, file: {}, given: {} })
  const configOf = (given: Record<string, string>) =>
    resolveVars({ port: 1, project: demo, file: {}, given: { UPSTREAM_AUDIENCE: 'a', ...vars, ...given } })
      .config
  const at = { UPSTREAM_ORIGIN: upstream.url, UPSTREAM_ISSUER: upstream.url }
  expect(await upstreamProblem(configOf(at))).toBeNull()
  expect(await upstreamProblem(configOf({ ...at, UPSTREAM_ISSUER: idp }))).toContain(
    `calls itself ${upstream.url}`,
  )
  await upstream.close()
  expect(await upstreamProblem(configOf(at))).toContain('ECONNREFUSED')
})

const JSON_LINE = '{"level":"error","status":503,"reason":"audience_mismatch"}'
const RED = '\u001b[31m'
const PLAIN = '\u001b[0m'

test.each([
  ['a line of the log', JSON_LINE, JSON_LINE],
  ['one that wrangler calls an error', `✘ [ERROR] ${JSON_LINE}`, JSON_LINE],
  ['one in colours', `${RED}✘ ${RED}[${RED}ERROR${RED}]${PLAIN} \u001b[1m${JSON_LINE}${PLAIN}`, JSON_LINE],
  ['one that wrangler calls a warning', `▲ [WARNING] ${JSON_LINE}`, JSON_LINE],
  ['a symbol of a terminal without Unicode', `X [ERROR] ${JSON_LINE}`, JSON_LINE],
  ['a carriage return at its end', `${JSON_LINE}\r`, JSON_LINE],
  [
    'an error of wrangler’s own',
    `${RED}✘ [ERROR]${PLAIN} Uncaught Error: no`,
    '✘ [ERROR] Uncaught Error: no',
  ],
  ['a warning of wrangler’s own', '▲ [WARNING] The latest compatibility date is', undefined],
  ['a request line of wrangler’s', '[wrangler:info] POST /token 503 Service Unavailable (12ms)', undefined],
  ['an object that is not JSON', '{ name: 1 }', undefined],
  ['nothing', '', undefined],
])('of what wrangler prints, %s', (_name, line, shown) => {
  expect(shownLine(line)).toBe(shown)
})

const HERE = 'http://localhost:3000/callback'

test.each([
  [HERE, HERE, true],
  ['http://localhost:4000/callback', HERE, true],
  ['http://localhost/callback', HERE, true],
  ['http://127.0.0.1:51004/cb', 'http://127.0.0.1/cb', true],
  ['http://[::1]:51004/cb', 'http://[::1]:1/cb', true],
  ['http://LOCALHOST:3000/callback', HERE, true],
  ['http://127.0.0.1:3000/callback', HERE, false],
  ['http://localhost:3000/other', HERE, false],
  ['http://localhost:3000/callback/', HERE, false],
  ['http://localhost:3000/callback?x=1', HERE, false],
  ['https://localhost:4000/callback', 'https://localhost:3000/callback', false],
  ['http://localhost.evil.example:3000/callback', HERE, false],
  ['http://user@localhost:3000/callback', HERE, false],
  ['http://app.test:4000/cb', 'http://app.test:3000/cb', false],
  ['not an address', 'not an address', false],
])('the local provider sends a browser to %s where %s is registered: %s', (uri, registered, allowed) => {
  expect(isRegistered(uri, [registered])).toBe(allowed)
})

test('in front of a foreign identity provider it says which, logs requests only, with the reason of a 503, and seeds no organization', async () => {
  const upstream = await startIdp({ port: 0 })
  const [port = 0] = await freePorts(1)
  const folder = join(state, 'foreign')
  const args = ['--state', folder, '--port', String(port), '--var', `UPSTREAM_ORIGIN=${upstream.url}`]
  const child = spawn(process.execPath, ['dev/gateway.ts', ...args, '--var', 'UPSTREAM_AUDIENCE:mine'], {
    cwd: PROJECT,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  try {
    const output = await printed(child, 'Entitlements:')
    expect(output).toContain(`Gateway http://localhost:${port} → ${upstream.url} (oidc, audience mine)`)
    expect(output).not.toContain('Warning')
    for (const line of output.split('\n').filter(Boolean))
      expect(line).toMatch(/^(\{.*\}|Gateway .*|Entitlements: .*)$/)

    // The provider's tokens are for the demo's API, and this gateway's are for another.
    const reason = printed(child, '"reason":"audience_mismatch"')
    const redirectUri = 'http://localhost:8789/callback'
    await expect(
      logIn({ issuer: `http://localhost:${port}`, account: 'user_ada', redirectUri }),
    ).rejects.toThrow()
    const line = (await reason).split('\n').find((text) => text.includes('audience_mismatch')) ?? ''
    expect(JSON.parse(line)).toMatchObject({ level: 'error', route: 'token', status: 503 })
  } finally {
    await stop(child)
    await upstream.close()
  }
  const documents = await openDocuments('production', folder)
  const organizations = await documents.organizations().finally(() => documents.close())
  expect(organizations).toEqual([])
})
