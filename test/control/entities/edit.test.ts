/** The descriptors of all tables: what the audit log has called rows since the first version, and what follows from an edit. */
import { getTableConfig } from 'drizzle-orm/sqlite-core'
import { describe, expect, test } from 'vitest'
import type { ApiKeyRow, ContractRow, FlagRow, PlanRow, RuleRow } from '../../../src/control/db/rows.ts'
import {
  documentsOf,
  type Edit,
  ENTITIES,
  environmentsOf,
  filingOf,
  flagsInQuestion,
  guardedEnvironments,
  isUnchanged,
  publicRow,
  type Table,
} from '../../../src/control/entities/edit.ts'
import { defaultPolicy } from '../../../src/control/entities/policy.ts'

const ALL = ['staging', 'production']
const NOWHERE = { environment: null, flag: null, org: null, user: null }
const edit = (table: Table, after: object, before: object | null = null) => ({ table, before, after }) as Edit

/** By table: a row, what it is filed under, the environments it is about, the documents that it changes. */
const TABLES: Record<Table, [row: object, filing: object, environments: string[], documents: string[]]> = {
  flags: [
    { key: 'a' },
    { entity: 'flag:a', flag: 'a' },
    ALL,
    ['catalog staging staging', 'catalog production production'],
  ],
  rules: [
    { flag: 'a', environment: 'staging' },
    { entity: 'rule:staging:a', flag: 'a', environment: 'staging' },
    ...[['staging'], ['catalog staging staging']],
  ] as never,
  plans: [
    { key: 'team' },
    { entity: 'plan:team' },
    ALL,
    ['catalog staging staging', 'catalog production production'],
  ],
  organizations: [
    { id: 'o' },
    { entity: 'organization:o', org: 'o' },
    ALL,
    ['org staging o', 'org production o'],
  ],
  contracts: [
    { id: 'C-9~2', org: 'o' },
    { entity: 'contract:C-9~2', org: 'o' },
    ALL,
    ['org staging o', 'org production o'],
  ],
  grants: [
    { id: 'g', environment: 'production', flag: 'a', subject_kind: 'user', subject_id: 'u' },
    { entity: 'grant:g', environment: 'production', flag: 'a', user: 'u' },
    ['production'],
    ['user production u'],
  ],
  api_keys: [{ id: 'k', environments: ['staging'] }, { entity: 'api_key:k' }, ['staging'], []],
  policies: [
    { environment: 'production' },
    { entity: 'policy:production', environment: 'production' },
    ['production'],
    [],
  ],
  change_requests: [
    { id: 'c', environments: ['staging'] },
    { entity: 'change:c', environment: 'staging' },
    ['staging'],
    [],
  ],
  mappings: [
    { source: 'stripe', kind: 'org', external_id: 'cus:1' },
    { entity: 'mapping:stripe:org:cus:1' },
    ALL,
    [],
  ],
  findings: [
    { id: 'f', environment: null, flag: 'a', org: 'o' },
    { entity: 'finding:f', flag: 'a', org: 'o' },
    ALL,
    [],
  ],
  people: [{ subject: 'user:ada' }, { entity: 'person:user:ada' }, ALL, []],
}

describe.each(Object.entries(TABLES))('%s', (name, [row, filing, environments, documents]) => {
  const table = name as Table
  test('are filed as they always were', () => {
    expect(filingOf(edit(table, row))).toEqual({ ...NOWHERE, ...filing })
  })
  test('are about environments and documents', () => {
    expect(environmentsOf(edit(table, row), ALL)).toEqual(environments)
    expect(
      documentsOf(edit(table, row), ALL).map((ref) => `${ref.kind} ${ref.environment} ${ref.subject}`),
    ).toEqual(documents)
  })
  test('are found by their primary key', () => {
    const { columns, primaryKeys } = getTableConfig(ENTITIES[table].table)
    const key = primaryKeys[0]?.columns ?? columns.filter(({ primary }) => primary)
    expect([...ENTITIES[table].key].sort()).toEqual(key.map(({ name }) => name).sort())
  })
})

test('a change request about several environments is filed under none, and about those that it left too', () => {
  const change = edit('change_requests', { id: 'c', environments: ALL }, { id: 'c', environments: ['old'] })
  expect(filingOf(change).environment).toBeNull()
  expect(environmentsOf(change, ALL)).toEqual(['old', ...ALL])
})

test('a key for every environment is about every environment', () => {
  expect(environmentsOf(edit('api_keys', { id: 'k', environments: null }), ALL)).toEqual(ALL)
})

test.each([
  ['api_keys', { id: 'k', secret_hash: 'h' } satisfies Partial<ApiKeyRow>, { id: 'k' }],
  ['change_requests', { id: 'c', effect: {} }, { id: 'c' }],
] as const)('what %s do not show', (table, row, shown) => {
  expect(publicRow(edit(table, row, row), 'after')).toEqual(shown)
  expect(publicRow(edit(table, row, row), 'before')).toEqual(shown)
  expect(publicRow(edit(table, row), 'before')).toBeNull()
})

describe('a policy that requires approval in production', () => {
  const policies = ALL.map((name) => defaultPolicy(name, ALL))
  const asksOwners = policies.map((policy) => ({
    ...policy,
    owner_approves: policy.environment === 'production',
  }))
  const flag = (change: Partial<FlagRow> = {}) => ({ key: 'a', state: 'live', owner: 'team-a', ...change })
  const plan = (change: Partial<PlanRow> = {}) => ({ key: 'team', flags: ['a'], grace_days: 7, ...change })
  const GUARDED: [string, Edit, string[]][] = [
    ['a rule there', edit('rules', { flag: 'a', environment: 'production' }), ['production']],
    ['a rule elsewhere', edit('rules', { flag: 'a', environment: 'staging' }), []],
    ['a grant', edit('grants', { environment: 'production', subject_kind: 'org' }), ['production']],
    ['a contract', edit('contracts', { id: 'C', org: 'o', add: [] }), ['production']],
    ['a mapping', edit('mappings', {}), ['production']],
    ['its own change', edit('policies', { environment: 'production' }), ['production']],
    ['the policy of another environment', edit('policies', { environment: 'staging' }), []],
    ['a new draft', edit('flags', flag({ state: 'draft' })), []],
    ['a flag that is new in the catalog', edit('flags', flag(), flag({ state: 'draft' })), ['production']],
    [
      'a flag that leaves it',
      edit('flags', flag({ state: 'retired' }), flag({ state: 'retiring' })),
      ['production'],
    ],
    ['a flag with another name', edit('flags', flag({ name: 'b' }), flag()), []],
    ['a flag with another owner', edit('flags', flag({ owner: 'team-b' }), flag()), []],
    ['a new plan', edit('plans', plan()), ['production']],
    ['a plan with another name', edit('plans', plan({ name: 'b' }), plan()), []],
    ['a plan with other flags', edit('plans', plan({ flags: [] }), plan()), ['production']],
    ['a plan with another grace', edit('plans', plan({ grace_days: 8 }), plan()), ['production']],
    ['an organization', edit('organizations', { id: 'o' }), []],
    ['an API key', edit('api_keys', { id: 'k', environments: null }), []],
    ['a change request', edit('change_requests', { id: 'c', environments: ['production'] }), []],
    ['a finding', edit('findings', { id: 'f', environment: 'production' }), []],
  ]
  test.each(GUARDED)('guards, or not: %s', (_, change, guarded) => {
    expect(guardedEnvironments([change], policies)).toEqual(guarded)
  })
  test('guards who owns a flag, where owners approve', () => {
    expect(guardedEnvironments([edit('flags', flag({ owner: 'team-b' }), flag())], asksOwners)).toEqual([
      'production',
    ])
  })
  test('guards edits together, each environment once, in their order', () => {
    const both = policies.map((policy) => ({ ...policy, approvals: 1 }))
    const edits = [edit('mappings', {}), edit('rules', { environment: 'staging' })]
    expect(guardedEnvironments(edits, both)).toEqual(ALL)
  })
})

test.each([
  ['a flag', edit('flags', { key: 'a' }), ['a']],
  ['a rule', edit('rules', { flag: 'a' } satisfies Partial<RuleRow>), ['a']],
  ['a plan', edit('plans', { flags: ['a', 'b'] }, { flags: ['b', 'c'] }), ['c', 'a']],
  ['a contract', edit('contracts', { add: ['a'] } satisfies Partial<ContractRow>), ['a']],
  ['a grant', edit('grants', { flag: 'a' }), ['a']],
  ['a mapping', edit('mappings', {}), []],
] as const)('the flags in question of %s', (_, change, flags) => {
  expect(flagsInQuestion(change)).toEqual(flags)
})

test.each([
  ['is new', edit('flags', { key: 'a' }), false],
  [
    'differs in when it was touched',
    edit('flags', { key: 'a', updated_at: '2', revision: 2 }, { key: 'a', updated_at: '1', revision: 1 }),
    true,
  ],
  ['differs', edit('flags', { key: 'a', name: 'b' }, { key: 'a', name: 'a' }), false],
  [
    'is a contract of a later revision',
    edit('contracts', { id: 'C', revision: 2 }, { id: 'C', revision: 1 }),
    false,
  ],
  [
    'is a contract that was touched',
    edit('contracts', { id: 'C', updated_at: '2', revision: 1 }, { id: 'C', updated_at: '1', revision: 1 }),
    true,
  ],
])('whether a row is unchanged that %s', (_, change, unchanged) => {
  expect(isUnchanged(change)).toBe(unchanged)
})
