/** Flags as code against a real control plane: `npm run flags` as people and pipelines run it. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { ControlClient } from '../../dev/control_client.ts'
import { program } from '../../dev/flags.ts'
import { operators } from '../../dev/idp/accounts.ts'
import { PROJECT } from '../../dev/wrangler.ts'
import { runCommand } from '../support/command.ts'
import { openStack } from './support/stack.ts'

const running = new Running()
let control: ControlClient
let approver: ControlClient
let approverToken: string
let folder: string
let file: string
let local: string[]

beforeAll(async () => {
  const stack = await openStack(running, { bundles: inject('bundles') })
  control = stack.control
  folder = stack.state
  file = join(folder, 'flags.yaml')
  local = ['--state', folder, '--control', control.url]
  const account = operators.find(({ operatorRole }) => operatorRole === 'approver')?.id ?? ''
  approverToken = await stack.tokenOf(account)
  approver = new ControlClient(control.url, approverToken)
}, 120_000)
afterAll(() => running.close())

const flags = (...args: string[]) => runCommand(program(), [...local, ...args])
const edit = async (change: (text: string) => string) => writeFile(file, change(await readFile(file, 'utf8')))
const rule = (flag: string, environment: string) =>
  control.get<{ access: string; percentage: number | null; revision: number }>(
    `/flags/${flag}/rules/${environment}`,
  )

test('the command of the documentation leaves nothing but YAML in the file', async () => {
  const command = `npm run flags -- ${local.join(' ')} export > ${file}`
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', command], { cwd: PROJECT })
  expect(stdout).toBe('')
  expect(stderr).toContain('8 flags and 3 plans.')
  expect(await readFile(file, 'utf8')).toMatch(/^# Flags and plans as code[\s\S]*\nplans:/)
})

test('of what was just exported there is no difference, and it can be exported again', async () => {
  const { code, output } = await flags('plan', file)
  expect([code, output]).toEqual([0, expect.stringContaining('No difference')])
  expect(output).toContain('legacy-export is killed in production')
  const again = join(folder, 'again.yaml')
  await flags('export', '--out', again)
  expect(await readFile(again, 'utf8')).toBe(await readFile(file, 'utf8'))
})

test('a change made elsewhere is exactly what the plan shows, with who loses by it', async () => {
  const { revision } = await rule('csv-export', 'production')
  await control.write(
    ...['PUT' as const, '/flags/csv-export/rules/production', { access: 'none', reason: 'x' }],
    revision,
  )
  const { code, output } = await flags('plan', file)
  expect(code).toBe(2)
  expect(output).toMatch(/~ flag csv-export\n\s+rules.production\s+none → all\n/)
  expect(output.match(/^[~+]/gm)).toHaveLength(1)
  expect(output).toMatch(/production: csv-export\n\s+gained by 2 organizations: org_acme, org_globex/)
  expect(output).toContain('No policy requires approval')
  expect((await rule('csv-export', 'production')).access).toBe('none')
})

test('applying makes it so at once, and then there is no difference', async () => {
  const { code, output } = await flags('apply', file, '--reason', 'as it was', '--ticket', 'T-1')
  expect([code, output]).toEqual([0, expect.stringMatching(/Applied as change_/)])
  expect((await rule('csv-export', 'production')).access).toBe('all')
  expect((await flags('plan', file)).code).toBe(0)
  const { data } = await control.get<{ data: { reason: string; ticket: string }[] }>('/audit?limit=1')
  expect(data[0]).toMatchObject({ reason: 'as it was', ticket: 'T-1' })
})

test('a new flag goes live in a plan, another leaves it, all in one request', async () => {
  await edit((text) =>
    text
      .replace(
        '\n  scim:',
        '\n  reports: { name: Reports, kind: entitlement, owner: team-a, state: live, rules: { production: { access: some } } }\n  scim:',
      )
      .replace(/( {2}team:[\s\S]*?)- audit-log/, '$1- reports')
      .replace(/( {2}new-editor:[\s\S]*?state: )live/, '$1retiring'),
  )
  const { code, output } = await flags('plan', file)
  expect(code).toBe(2)
  expect(output).toContain('+ flag reports')
  expect(output).toContain('+reports -audit-log')
  expect(output).toMatch(/state\s+live → retiring/)
  expect((await flags('apply', file)).code).toBe(0)
  expect((await flags('plan', file)).output).toContain('No difference')
})

test('a fault is reported with its line, and is not a difference', async () => {
  const wrong = join(folder, 'wrong.yaml')
  await writeFile(wrong, 'format: 1\nflags:\n  sso: { name: SSO, knd: entitlement }\n')
  const { code, output } = await flags('plan', wrong)
  expect(code).toBe(1)
  expect(output).toContain(`${wrong}:3: flags.sso.knd: is unknown`)
  expect(output).not.toContain('    at ')
  expect((await flags('plan', join(folder, 'none.yaml'))).output).toContain('There is no file')
  await writeFile(wrong, 'format: 1\nplans:\n  starter: { name: starter, flags: [ssso] }\n')
  const unknown = await flags('plan', wrong)
  expect([unknown.code, unknown.output]).toEqual([1, expect.stringContaining('wrong.yaml:3: plans.starter')])
})

test('with REMINT_API_KEY no state folder is needed; for whom it differs is shown to those who may ask for it', async () => {
  await edit((text) => text.replace('name: sso', 'name: SSO'))
  const remote = (key: string) =>
    runCommand(program(), ['--control', control.url, 'plan', file], { REMINT_API_KEY: key })
  const refused = await remote('remint_nothing')
  expect([refused.code, refused.output]).toEqual([1, expect.stringContaining('credentials')])
  const reader = await remote(approverToken)
  expect([reader.code, reader.output]).toEqual([2, expect.stringContaining('shown to editors only')])
  const key = (await readFile(join(folder, 'control-key'), 'utf8')).trim()
  const { code, output } = await remote(key)
  expect([code, output]).toEqual([2, expect.stringContaining('sso → SSO')])
  expect((await flags('apply', file)).code).toBe(0)
})

test('rules are promoted to the next environment, but for what is left out', async () => {
  for (const key of ['sso', 'scim']) {
    const { revision } = await rule(key, 'staging')
    const body = { access: 'some', percentage: 10, reason: 'x' }
    await control.write('PUT', `/flags/${key}/rules/staging`, body, revision)
  }
  const dry = await flags('promote', 'staging', 'production', '--dry-run')
  expect(dry.output).toMatch(/~ sso\s+some → some 10 %/)
  const { code, output } = await flags('promote', 'staging', 'production', '--leave-out', 'sso')
  expect([code, output]).toEqual([0, expect.stringContaining('Left out: sso')])
  expect((await rule('scim', 'production')).percentage).toBe(10)
  expect((await rule('sso', 'production')).percentage).toBeNull()
  expect((await flags('promote', 'production', 'staging')).code).toBe(1)
  await flags('export', '--out', file)
})

test('where the policy asks, applying is asking: the same plan until another has agreed and it is applied', async () => {
  const policy = { approvals: 1, reason: 'grown up' }
  await control.write('PUT', '/policies/production', policy, 1)
  await edit((text) => text.replaceAll('{ access: all }', '{ access: some }'))
  const planned = await flags('plan', file)
  expect([planned.code, planned.output]).toEqual([2, expect.stringContaining('The policy of production')])

  const asked = await flags('apply', file)
  expect(asked.code).toBe(0)
  const id = /change_[\w-]+/.exec(asked.output)?.[0] ?? ''
  expect(asked.output).toContain(`${id} waits for approval`)
  const twice = await flags('apply', file)
  expect(twice.output).toContain(`It was already requested, as ${id}`)
  expect((await flags('plan', file)).output).toBe(planned.output)
  expect((await rule('csv-export', 'production')).access).toBe('all')

  const { digest } = await control.get<{ digest: string }>(`/changes/${id}`)
  const own = control.write('POST', `/changes/${id}/approve`, { digest })
  await expect(own).rejects.toMatchObject({ code: 'person_required' })
  const waiting = flags('apply', file, '--wait', '1m')
  await approver.write('POST', `/changes/${id}/approve`, { digest })
  const applied = await waiting
  expect([applied.code, applied.output]).toEqual([0, expect.stringContaining(`Applied as ${id}`)])
  expect((await flags('plan', file)).code).toBe(0)
})
