/** `npm run entitle`: what it changes, and what it says where nothing changes. On a state folder of its own. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { program as audit } from '../../dev/audit.ts'
import { Running } from '../../dev/cli.ts'
import { explainNoChange } from '../../dev/entitle/reasons.ts'
import { nearNames, parseDuration } from '../../dev/entitle/words.ts'
import { program } from '../../dev/entitle.ts'
import { program as rebuild } from '../../dev/rebuild.ts'
import { PROJECT, wranglerSettings } from '../../dev/wrangler.ts'
import { type OrgDocument, orgKey } from '../../src/core/documents.ts'
import { runCommand } from '../support/command.ts'
import { script } from './support/scripts.ts'
import { openStack, type Stack } from './support/stack.ts'

const running = new Running()
let stack: Stack
let state: string
let local: string[]
beforeAll(async () => {
  stack = await openStack(running, { bundles: inject('bundles'), seeded: false })
  state = stack.state
  local = ['--state', state, '--control', stack.control.url]
}, 120_000)
afterAll(() => running.close())

const entitle = (...args: string[]) => runCommand(program(), [...local, ...args])
const ORG_GLOBEX = orgKey('production', 'org_globex')
const documentOf = async (key: string): Promise<OrgDocument> =>
  JSON.parse((await stack.env.ENTITLEMENTS.get(key)) ?? 'null')

test('the first use seeds the control plane and shows who has what', async () => {
  const { code, output } = await entitle('show')
  expect(code).toBe(0)
  expect(output).toContain('Seeded production: catalog, org_acme, org_globex.')
  expect(output).toContain('org_globex (starter): csv-export, new-editor')
})

test('a grant changes the document, its version, and what the organization has', async () => {
  const { code, output } = await entitle('grant', 'org_globex', 'sso', '--source', 'beta', '--for', '30d')
  expect(code).toBe(0)
  expect(output).toContain('+sso')
  expect(output).toContain('at most 5 s')
  const org = await documentOf(ORG_GLOBEX)
  expect(org.version).toBeGreaterThan(1)
  expect(org.grants).toContainEqual(expect.objectContaining({ flag: 'sso', effect: 'allow', source: 'beta' }))
})

test('a denial wins over the grant, and revoking it brings the contract back', async () => {
  expect((await entitle('deny', 'org_acme', 'sso')).output).toContain('-sso')
  expect((await entitle('show', 'org_acme')).output).toMatch(/off\s+sso\s+denied by a grant \(denied\)/)
  expect((await entitle('revoke', 'org_acme', 'sso')).output).toContain('+sso')
  expect((await entitle('show', 'org_acme')).output).toMatch(
    /on\s+sso\s+the contract pays for it \(contract\)/,
  )
})

test('a killed flag is off for every organization until it is revived', async () => {
  expect((await entitle('rule', 'csv-export', '--kill')).output.match(/-csv-export/g)).toHaveLength(2)
  expect((await entitle('rule', 'csv-export', '--revive')).output.match(/\+csv-export/g)).toHaveLength(2)
})

test('a grant of a killed flag says that it is killed, and which command revives it', async () => {
  await entitle('rule', 'advanced-analytics', '--kill')
  const { output } = await entitle('grant', 'org_globex', 'advanced-analytics')
  expect(output).toContain('no change')
  expect(output).toContain('advanced-analytics is killed for everybody')
  expect(output).toContain(`npm run entitle -- --state ${state} rule advanced-analytics --revive`)
  expect(output).not.toContain('next refresh')
  expect((await entitle('show', 'org_globex')).output).toMatch(/killed for everybody \(killed\)/)
  expect((await entitle('rule', 'advanced-analytics', '--revive')).output).toContain('+advanced-analytics')
  await entitle('revoke', 'org_globex', 'advanced-analytics')
})

test.each([
  [false, 'killed', true, 'whatever grants and contracts say (killed)', 'rule sso --revive'],
  [false, 'rule_none', true, 'sso stays off: its rule gives it to nobody (rule_none)', 'rule sso some'],
  [true, 'contract', true, 'sso was already on: the contract pays for it (contract)', undefined],
  [false, 'default', false, 'sso was already off: no rule, grant or contract gives it (default)', undefined],
  [true, 'contract', undefined, 'sso stays on', 'deny org_acme sso'],
  [true, 'rule_all', undefined, 'its rule gives it to everybody', 'deny org_acme sso'],
  [false, 'default', undefined, 'sso stays off', 'grant org_acme sso'],
  [false, 'killed', undefined, 'is killed for everybody', 'rule sso --revive'],
] as const)('on: %s (%s), asked for %s: says "%s" and offers %s', (on, reason, asked, why, remedy) => {
  const explained = explainNoChange({ flag: 'sso', on, reason }, asked, { id: 'org_acme', option: '' })
  expect(explained.why).toContain(why)
  expect(explained.remedy?.command).toBe(remedy)
})

test('a rule that already was like this is named', async () => {
  const { output } = await entitle('rule', 'sso', '--revive')
  expect(output).toContain('The rule of sso was already like this')
  expect(output).toContain('org_acme: on, the contract pays for it (contract)')
  expect(output).not.toContain('next refresh')
})

test('revoking what is not there says so, and creates no organization', async () => {
  const { output } = await entitle('revoke', 'org_globx', 'sso')
  expect(output).toContain('There is no organization org_globx. Did you mean org_globex?')
  expect(output).toContain('org_globx has no grant and no denial of sso')
  expect(output).not.toContain('next refresh')
  expect((await entitle('show')).output).not.toContain('org_globx')
})

test('a typing error creates no organization; --create does', async () => {
  const mistyped = await entitle('grant', 'org_globx', 'scim')
  expect(mistyped.code).toBe(1)
  expect(mistyped.output).toContain('There is no organization org_globx. Did you mean org_globex?')
  expect((await entitle('show')).output).not.toContain('org_globx')
  expect((await entitle('grant', 'user_ada', 'scim')).output).toContain('For a user, add --user.')
  const created = await entitle('grant', 'org_globx', 'scim', '--create')
  expect(created.code).toBe(0)
  expect(created.output).toContain('+scim')
})

test('reason and ticket are in the grant, and an override without a ticket is refused', async () => {
  const refused = await entitle('grant', 'org_globex', 'scim', '--source', 'override')
  expect(refused.code).toBe(1)
  expect(refused.output).toContain('needs a ticket: --ticket SUP-123')
  await entitle('grant', 'org_globex', 'scim', '--ticket', 'SUP-7', '--reason', 'Outage credit')
  const { output } = await entitle('show', 'org_globex')
  expect(output).toMatch(/on\s+scim\s+granted by hand \(override\)/)
  await entitle('revoke', 'org_globex', 'scim')
})

test('a user has grants of their own', async () => {
  expect(
    (await entitle('grant', 'user_grace', 'scim', '--user', '--source', 'support', '--ticket', 'SUP-8'))
      .output,
  ).toContain('+scim')
  expect((await entitle('show', 'user_grace', '--user')).output).toMatch(
    /on\s+scim\s+granted by support \(support\)/,
  )
})

test('a denial of a user says that the next refresh shows it, though the user alone had nothing', async () => {
  expect((await entitle('deny', 'user_grace', 'sso', '--user')).output).toContain('next refresh')
})

test('an unknown flag is refused with the name that was meant, and nothing is written', async () => {
  const { code, output } = await entitle('grant', 'org_acme', 'advanced-analytic')
  expect(code).toBe(1)
  expect(output).toContain('There is no flag "advanced-analytic"')
  expect(output).toContain('Did you mean advanced-analytics?')
  expect((await documentOf(orgKey('production', 'org_acme'))).grants).toEqual([])
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
  { what: 'a rule without a change', args: ['rule', 'sso'], says: 'Nothing to change' },
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
  {
    what: 'a grant for longer than a year',
    args: ['grant', 'org_acme', 'scim', '--for', '60w'],
    says: 'within 365 days',
  },
])('$what is refused with what would be right', async ({ args, says }) => {
  const { code, output } = await entitle(...args)
  expect(code).toBe(1)
  expect(output).toContain(says)
  expect(output).not.toContain('    at ')
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

test('every change is in the audit log, which verifies offline, and not once it was altered', async () => {
  const file = join(state, 'audit.jsonl')
  expect((await runCommand(audit(), [...local, 'export', '--out', file])).output).toMatch(/\d+ rows/)
  const log = await readFile(file, 'utf8')
  expect(log).toContain('deny org_acme sso')
  expect(log).toContain('user:developer')
  expect((await runCommand(audit(), ['verify', file])).output).toContain('The chain is intact')
  await writeFile(file, log.replace('deny org_acme sso', 'deny org_acme scim'))
  const altered = await runCommand(audit(), ['verify', file])
  expect(altered.code).toBe(1)
  expect(altered.output).toContain('altered')
})

test('a rebuild restores a document that was lost', async () => {
  const before = await documentOf(ORG_GLOBEX)
  await stack.env.ENTITLEMENTS.put(ORG_GLOBEX, JSON.stringify({ ...before, grants: [] }))
  const { output } = await runCommand(rebuild(), local)
  expect(output).toMatch(/production: (\d+) of \1 documents/)
  expect(await documentOf(ORG_GLOBEX)).toEqual(before)
})

test('without a running control plane, one is started for the command, on a database that wrangler knows', async () => {
  const own = await mkdtemp(join(tmpdir(), 'remint-dev-test-'))
  running.add({ close: () => rm(own, { recursive: true, force: true }) })
  const { code, output } = await runCommand(program(), ['--state', own, 'grant', 'org_globex', 'sso'])
  expect(output).toContain('+sso')
  expect(code).toBe(0)
  const migrated = await script('migrate.ts', '--state', own)
  expect(migrated.output).toContain('No migrations to apply')
  expect(migrated.code).toBe(0)
  const args = ['d1', 'migrations', 'apply', 'DB', '--local', '--config', 'wrangler.control.toml']
  const { stdout } = await promisify(execFile)('wrangler', [...args, '--persist-to', own], {
    cwd: PROJECT,
    env: { ...process.env, ...wranglerSettings(own) },
  })
  expect(stdout).toContain('No migrations to apply')
})
