/** Flags as code, the pure parts: the file, the difference, and the order of the commands. */
import { expect, test } from 'vitest'
import { type Difference, differenceOf, firstPart, pathOf } from '../../../dev/flags/difference.ts'
import { parseFlagsFile, printFlagsFile } from '../../../dev/flags/file.ts'
import { asFile, type Governed, type GovernedFlag } from '../../../dev/flags/governed.ts'
import { npmBanner } from '../../../dev/flags/stdout.ts'

const flag = (key: string, members: Partial<GovernedFlag> = {}): GovernedFlag => ({
  ...{ key, name: key, description: '', kind: 'entitlement', owner: 'team-a', tags: [], state: 'live' },
  ...{ no_plan_reason: null, review_every_days: 90, retire_by: null, revoke_on_loss: false },
  rules: ['staging', 'production'].map((environment) => ({
    ...{ environment, access: 'some', percentage: null, killed: false },
  })),
  ...members,
})
const plan = (key: string, flags: string[]) => ({ key, name: key, description: '', flags, grace_days: 7 })
const governed = (members: Partial<Governed> = {}): Governed => ({
  environments: ['staging', 'production'],
  flags: [
    flag('sso', { description: 'Two\nlines: "quoted"', tags: ['b', 'a'], revoke_on_loss: true }),
    flag('editor', { kind: 'rollout', review_every_days: null, retire_by: '2027-01-31T00:00:00.000Z' }),
    flag('1e3', { no_plan_reason: 'yes' }),
  ],
  plans: [plan('team', ['sso'])],
  ...members,
})

const parse = (text: string) => parseFlagsFile(text, 'flags.yaml')
const faultsOf = (text: string): string => {
  try {
    parse(text)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}
/** What the file has, after a change of its text. */
const difference = (from: Governed, change: (text: string) => string = (text) => text): Difference =>
  differenceOf(parse(change(printFlagsFile(asFile(from)))).file, from)
const actions = ({ items }: Difference) =>
  items.map(({ action, input }) => `${action} ${input.flag ?? input.plan ?? input.key}`)

test('what was exported is what there is, to the byte and in any order', () => {
  const text = printFlagsFile(asFile(governed()))
  expect(difference(governed())).toMatchObject({ entries: [], items: [], faults: [] })
  const { flags, plans } = parse(text).file
  expect(printFlagsFile({ flags, plans })).toBe(text)
  const reversed = Object.fromEntries(Object.entries(flags).toReversed())
  expect(printFlagsFile({ flags: reversed, plans })).toBe(text)
  expect(text).toContain('production: { access: some }')
})

test('what npm prints before the output of a script is read over, and lines are counted as they are', () => {
  const banner = '\n> remint@0.1.0 flags\n> node dev/flags.ts export\n\n'
  const printed = printFlagsFile(asFile(governed()))
  expect(parse(banner + printed).file).toEqual(parse(printed).file)
  expect(faultsOf(`${banner}format: 1\nflagz: {}\n`)).toBe('flags.yaml:6: flagz: is unknown')
})

test('the banner of npm is known to the byte', () => {
  const env = {
    ...{ npm_package_name: 'remint', npm_package_version: '0.1.0' },
    ...{ npm_lifecycle_event: 'flags', npm_lifecycle_script: 'node dev/flags.ts' },
  }
  expect(npmBanner(env, ['export'])).toBe('\n> remint@0.1.0 flags\n> node dev/flags.ts export\n\n')
  expect(npmBanner({ ...env, npm_config_loglevel: 'silent' }, ['export'])).toBeUndefined()
  expect(npmBanner({}, ['export'])).toBeUndefined()
})

const FLAG = 'name: A, kind: entitlement, owner: o, state: live'
test.each([
  ['format: 2', '1: format: must be 1'],
  ['flags: {}', '1: format: must be 1'],
  ['', '1: format: must be 1'],
  ['- a', '1: Invalid input: expected object'],
  ['format: 1\nflags:\n  a: { name: A }', '3: flags.a.owner: is missing'],
  [`format: 1\nflags:\n  a: { ${FLAG}, kil: true }`, '3: flags.a.kil: is unknown'],
  [`format: 1\nflags:\n  a: { ${FLAG} }\n  a: { ${FLAG} }`, '4: Map keys must be unique'],
  [`format: 1\nflags:\n  A b: { ${FLAG} }`, '3: flags.A b: Invalid string'],
  [
    `format: 1\nflags:\n  a: { ${FLAG}, retire_by: "2027-01-31T00:00:00Z" }`,
    'Only a rollout has a retire_by',
  ],
  [
    'format: 1\nflags:\n  a: { name: A, kind: rollout, owner: o, state: live }',
    'needs a date by which it must end',
  ],
  [
    `format: 1\nflags:\n  a:\n    ${FLAG.replaceAll(', ', '\n    ')}\n    rules:\n      staging:\n        access: most`,
    '10: flags.a.rules.staging.access: Invalid option',
  ],
  [
    'format: 1\nplans:\n  p:\n    name: P\n    flags:\n      - a\n      - A',
    '7: plans.p.flags.1: Invalid string',
  ],
  ['format: 1\nflags:\n  a: "x\n', 'Missing closing'],
])('%j is refused: %s', (text, message) => {
  expect(faultsOf(text)).toContain(message)
})

test('a change is reported as before and after, with its command', () => {
  const changed = difference(governed(), (text) =>
    text
      .replace('owner: team-a', 'owner: team-b')
      .replace('{ access: some }', '{ access: some, percentage: 5 }'),
  )
  expect(changed.entries).toEqual([
    {
      ...{ kind: 'flag', key: '1e3', isNew: false },
      members: [
        { name: 'owner', before: 'team-a', after: 'team-b' },
        { name: 'rules.staging', before: 'some', after: 'some 5 %' },
      ],
    },
  ])
  expect(changed.items).toEqual([
    { action: 'flag.update', input: { flag: '1e3', owner: 'team-b' } },
    { action: 'rule.set', input: { flag: '1e3', environment: 'staging', access: 'some', percentage: 5 } },
  ])
})

test('what the file does not name is left alone, and told; retired flags are not even told', () => {
  const from = governed({
    flags: [...governed().flags, flag('old', { state: 'retired' })],
    plans: [...governed().plans, plan('free', [])],
  })
  expect(printFlagsFile(asFile(from))).not.toContain('old')
  const empty = differenceOf(parse('format: 1').file, from)
  expect(empty).toMatchObject({ entries: [], items: [] })
  expect(empty.leftAlone).toEqual({ flags: ['sso', 'editor', '1e3'], plans: ['team', 'free'] })
})

test('rules of an environment that the file leaves out are left alone; a reason that is gone is taken out', () => {
  const left = difference(governed(), (text) =>
    text.replaceAll(/^ {6}production: .*\n/gm, '').replace(/^ {4}no_plan_reason.*\n/m, ''),
  )
  expect(actions(left)).toEqual(['flag.update 1e3'])
  expect(left.items[0]?.input.no_plan_reason).toBeNull()
  expect(left.faults.map(({ message }) => message)).toEqual([
    'A live entitlement needs a plan that holds it, or a no_plan_reason',
  ])
})

test('a kill switch is no difference, but told', () => {
  const killed = flag('sso')
  const from = governed({
    flags: [{ ...killed, rules: killed.rules.map((rule) => ({ ...rule, killed: true })) }],
  })
  expect(difference(from)).toMatchObject({
    items: [],
    killed: [
      { flag: 'sso', environment: 'staging' },
      { flag: 'sso', environment: 'production' },
    ],
  })
})

test.each([
  [flag('a', { state: 'retired' }), 'state', 'never used again'],
  [flag('a', { kind: 'rollout', retire_by: '2027-01-31T00:00:00.000Z' }), 'kind', 'cannot change its kind'],
])('an impossible change is a fault at its place', (existing, member, message) => {
  const file = parse(`format: 1\nflags:\n  a: { ${FLAG}, no_plan_reason: x }`).file
  const { faults, items } = differenceOf(file, governed({ flags: [existing] }))
  expect(faults).toEqual([{ path: ['flags', 'a', member], message: expect.stringContaining(message) }])
  expect(items).toEqual([])
})

test('a rollout is extended by its own command, and never shortened', () => {
  const to = (day: string) => difference(governed(), (text) => text.replace('2027-01-31', day))
  expect(actions(to('2027-02-28'))).toEqual(['flag.extend editor'])
  expect(to('2027-01-30').faults[0]?.message).toContain('only be extended')
})

test('an unknown flag of a plan is reported with the one that was meant', () => {
  const { faults } = difference(governed(), (text) => text.replace('- sso', '- ssoo'))
  expect(faults.at(-1)?.message).toContain('Did you mean sso?')
})

test.each([
  ['draft', 'live', ['live']],
  ['draft', 'retiring', ['live', 'retiring']],
  ['draft', 'retired', ['retired']],
  ['live', 'retired', ['retiring', 'retired']],
  ['retiring', 'live', ['live']],
  ['retiring', 'retired', ['retired']],
  ['live', 'draft', undefined],
  ['retired', 'live', undefined],
] as const)('from %s to %s it goes by %j', (from, to, path) => {
  expect(pathOf(from, to)).toEqual(path)
})

test('commands come in the order in which each is allowed', () => {
  const from = governed({
    flags: [flag('moves'), flag('leaves'), flag('joins', { no_plan_reason: 'soon' }), flag('ends')],
    plans: [plan('one', ['moves', 'leaves', 'ends']), plan('two', [])],
  })
  const changed = difference(from, (text) =>
    text
      .replace(/( {2}ends:[\s\S]*?state: )live/, '$1retired')
      .replace(/( {2}leaves:[\s\S]*?state: live\n)/, '$1    no_plan_reason: free now\n')
      .replace(/ {4}no_plan_reason: soon\n/, '')
      .replace(/( {2}moves:)/, `  born: { ${FLAG} }\n$1`)
      .replace(/flags:\n {6}- ends\n {6}- leaves\n {6}- moves/, 'flags: [born]')
      .replace('flags: []', 'flags: [moves, joins]'),
  )
  expect(changed.faults).toEqual([])
  expect(actions(changed)).toEqual([
    'flag.create born',
    'flag.update leaves',
    'plan.update one',
    'plan.update two',
    'flag.move born',
    'flag.move ends',
    'plan.update one',
    'flag.update joins',
    'flag.move ends',
  ])
})

test('what is too much for one request goes in parts, from the front', () => {
  const items = Array.from({ length: 150 }, (_, n) => ({ action: 'flag.update', input: { flag: `f${n}` } }))
  expect(firstPart(items)).toEqual(items.slice(0, 100))
  const long = items.map((item) => ({ ...item, input: { ...item.input, description: 'x'.repeat(4000) } }))
  expect(firstPart(long)).toEqual(long.slice(0, 14))
})
