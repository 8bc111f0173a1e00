/** The local development environment, run as a newcomer runs it: real processes, with a state folder of their own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { startControl } from '../../dev/control.ts'
import { nearNames, parseDuration } from '../../dev/entitle/words.ts'
import { openDocuments } from '../../dev/local_kv.ts'
import { logIn } from '../../dev/login.ts'
import { freePorts, listen } from '../../dev/network.ts'

const PROJECT = join(import.meta.dirname, '../..')
const run = promisify(execFile)

let state: string
beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), 'remint-dev-test-'))
})
afterAll(() => rm(state, { recursive: true, force: true }))

interface Outcome {
  code: number
  output: string
}

async function script(name: string, ...args: string[]): Promise<Outcome> {
  try {
    const { stdout, stderr } = await run(process.execPath, [join('dev', name), ...args], { cwd: PROJECT })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}

describe('entitle', () => {
  const running = new Running()
  let control: string
  beforeAll(async () => {
    const [port = 0] = await freePorts(1)
    control = running.add(await startControl({ port, persistTo: state })).url
  })
  afterAll(() => running.close())

  const entitle = (...args: string[]) => script('entitle.ts', '--state', state, '--control', control, ...args)

  test('the first use seeds the control plane and shows who has what', async () => {
    const { code, output } = await entitle('show')
    expect(code).toBe(0)
    expect(output).toContain('Seeded production: catalog, org_acme, org_globex.')
    expect(output).toContain('org_globex (starter): csv-export, new-editor')
  })

  test('a grant changes the document, and what the organization has, and ends', async () => {
    const { code, output } = await entitle('grant', 'org_globex', 'sso', '--source', 'beta', '--for', '30d')
    expect(code).toBe(0)
    expect(output).toContain('+sso')
    expect(output).toContain('at most 5 s')
    expect(output).toMatch(/until {3}20/)
    const documents = await openDocuments('production', state)
    const org = await documents.org('org_globex').finally(() => documents.close())
    expect(org?.version).toBeGreaterThan(1)
    expect(org?.grants).toContainEqual(
      expect.objectContaining({ flag: 'sso', effect: 'allow', source: 'beta' }),
    )
  })

  test('a denial wins over the grant, and revoking it brings the contract back', async () => {
    expect((await entitle('deny', 'org_acme', 'sso')).output).toContain('-sso')
    expect((await entitle('show', 'org_acme')).output).toMatch(/off\s+sso\s+denied/)
    expect((await entitle('revoke', 'org_acme', 'sso')).output).toContain('+sso')
    expect((await entitle('show', 'org_acme')).output).toMatch(/on\s+sso\s+contract/)
  })

  test('a killed flag is off for every organization until it is revived', async () => {
    expect((await entitle('rule', 'csv-export', '--kill')).output.match(/-csv-export/g)).toHaveLength(2)
    expect((await entitle('rule', 'csv-export', '--revive')).output.match(/\+csv-export/g)).toHaveLength(2)
  })

  test('an organization that nobody has heard of is registered', async () => {
    expect((await entitle('grant', 'org_new', 'scim')).output).toContain('+scim')
  })

  test('an unknown flag is refused with the name that was meant, and nothing is written', async () => {
    const { code, output } = await entitle('grant', 'org_acme', 'advanced-analytic')
    expect(code).toBe(1)
    expect(output).toContain('There is no flag "advanced-analytic"')
    expect(output).toContain('Did you mean advanced-analytics?')
    const documents = await openDocuments('production', state)
    const org = await documents.org('org_acme').finally(() => documents.close())
    expect(org?.grants).toEqual([])
  })

  test.each([
    {
      what: 'a percentage over 100',
      args: ['rule', 'new-editor', '--percentage', '101'],
      says: 'from 0 to 100',
    },
    { what: 'a duration without a unit', args: ['grant', 'org_acme', 'sso', '--for', '30'], says: '30d' },
    {
      what: 'an unknown source',
      args: ['grant', 'org_acme', 'sso', '--source', 'gift'],
      says: 'beta, support',
    },
    { what: 'a rule without a change', args: ['rule', 'sso'], says: 'Say what changes' },
    {
      what: 'a bad environment',
      args: ['--environment', 'No', 'show'],
      says: 'not the name of an environment',
    },
    {
      what: 'an environment that there is not',
      args: ['--environment', 'moon', 'grant', 'org_acme', 'sso'],
      says: 'no such environment',
    },
  ])('$what is refused with what would be right', async ({ args, says }) => {
    const { code, output } = await entitle(...args)
    expect(code).toBe(1)
    expect(output).toContain(says)
    expect(output).not.toContain('    at ')
  })

  test('without a running control plane, one is started for the command', async () => {
    const own = await mkdtemp(join(tmpdir(), 'remint-dev-test-'))
    const { code, output } = await script('entitle.ts', '--state', own, 'grant', 'org_globex', 'sso')
    await rm(own, { recursive: true, force: true })
    expect(output).toContain('+sso')
    expect(code).toBe(0)
  })

  test('every change is in the audit log, which verifies offline, and not once it was altered', async () => {
    const file = join(state, 'audit.jsonl')
    const exported = await script('audit.ts', '--state', state, '--control', control, 'export', '--out', file)
    expect(exported.output).toMatch(/\d+ rows/)
    const log = await readFile(file, 'utf8')
    expect(log).toContain('npm run entitle -- deny org_acme sso')
    expect(log).toContain('user:developer')
    expect((await script('audit.ts', 'verify', file)).output).toContain('The chain is intact')
    await writeFile(file, log.replace('deny org_acme sso', 'deny org_acme scim'))
    const altered = await script('audit.ts', 'verify', file)
    expect(altered.code).toBe(1)
    expect(altered.output).toContain('altered')
  })

  test('a rebuild restores a document that was lost', async () => {
    const documents = await openDocuments('production', state)
    const before = await documents.org('org_globex')
    if (!before) throw new Error('org_globex was not seeded')
    await documents.saveOrg({ ...before, grants: [] })
    const { output } = await script('rebuild.ts', '--state', state, '--control', control)
    expect(output).toMatch(/production: (\d+) of \1 documents/)
    const after = await documents.org('org_globex').finally(() => documents.close())
    expect(after).toEqual(before)
  })

  test.each([
    ['sso', 'ssso'],
    ['priority-support', 'support'],
    ['csv-export', 'CSV-export'],
  ])('%s is suggested for %s', (meant, typed) => {
    expect(nearNames(typed, ['sso', 'scim', 'priority-support', 'csv-export'])).toContain(meant)
  })

  test('a duration is a number and a unit', () => {
    expect(parseDuration('90s')).toBe(90_000)
    expect(parseDuration('2w')).toBe(1_209_600_000)
    expect(() => parseDuration('0d')).toThrow('30d')
  })
})

test.each(['entitle.ts', 'gateway.ts', 'start.ts', 'demo.ts', 'migrate.ts', 'audit.ts', 'rebuild.ts'])(
  '%s explains itself with --help',
  async (name) => {
    const { code, output } = await script(name, '--help')
    expect(code).toBe(0)
    expect(output).toMatch(/npm (run|start)/)
  },
)

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
      expect(output).not.toContain('"d"')
      expect((await stat(join(state, 'signing-keys.env'))).mode & 0o777).toBe(0o600)
      expect((await stat(join(state, 'control-key'))).mode & 0o777).toBe(0o600)
      expect((await fetch(`http://localhost:${gateway}/healthz`)).status).toBe(200)
      expect((await fetch(`http://localhost:${control}/docs`)).status).toBe(200)
      expect(await (await fetch(`http://localhost:${app}/`)).text()).toContain('Remint demo')

      expect((await reports(app)).status).toBe(401)
      expect((await reports(app, 'not-a-token')).status).toBe(401)
      const denied = await reports(app, await accessToken(gateway, app, 'user_grace'))
      expect(denied.status).toBe(403)
      expect(denied.headers.get('content-type')).toBe('application/problem+json')
      expect(await denied.json()).toMatchObject({ code: 'flag_missing', missing: ['advanced-analytics'] })
      expect((await reports(app, await accessToken(gateway, app, 'user_ada'))).status).toBe(200)
    } finally {
      const exited = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGINT')
      await exited
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
    expect(output).toContain('--idp-port')
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

/** What the child has printed once it has printed `text`. */
function printed(child: ChildProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    const take = (chunk: Buffer) => {
      output += chunk
      if (output.includes(text)) resolve(output)
    }
    child.stdout?.on('data', take)
    child.stderr?.on('data', take)
    child.once('exit', (code) => reject(new Error(`exited with ${code}:\n${output}`)))
  })
}
