/** What commands read of D1: every row once, with those that earlier commands have made in place of the old. */
import { beforeEach, expect, test } from 'vitest'
import { type Connection, connect } from '../../../src/control/db/client.ts'
import { byContract, byOrg, payingFor } from '../../../src/control/entities/contract.ts'
import type { EditOf, RowOf } from '../../../src/control/entities/edit.ts'
import { bySource, giving } from '../../../src/control/entities/grant.ts'
import { holding } from '../../../src/control/entities/plan.ts'
import { State } from '../../../src/control/ledger/state.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
let connection: Connection
let state: State
const seed = async (control: ControlUnderTest) => {
  await control.liveFlag('reports')
  await control.liveFlag('exports')
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await control.must('POST', '/plans', { key: 'pro', name: 'Pro', flags: ['reports', 'exports'] })
  await control.organization('org_a', 'team')
  await control.organization('org_b')
  const contract = { plan: 'pro', status: 'active', revision: 1, from: '2026-01-01T00:00:00.000Z' }
  for (const id of ['C-9', 'C-9~2', 'C-9~10', 'C-91']) {
    await control.must('PUT', `/orgs/org_b/contracts/${id}`, contract)
  }
  await control.must('POST', '/grants', {
    ...{
      environment: 'production',
      subject: { kind: 'org', id: 'org_a' },
      flag: 'exports',
      source: 'import',
    },
  })
}
beforeEach(async () => {
  control = await setUp({}, { seed })
  connection = connect(bindings.DB)
  state = new State(connection.db)
})

const ids = (rows: readonly { id: string }[]) => rows.map(({ id }) => id).sort()
const keys = (rows: readonly { key: string }[]) => rows.map(({ key }) => key).sort()
const contractOf = async (id: string) => (await state.rows('contracts').load(id)) as RowOf<'contracts'>
const moved = (before: RowOf<'contracts'>, change: Partial<RowOf<'contracts'>>): EditOf<'contracts'> => ({
  table: 'contracts',
  before,
  after: { ...before, ...change },
})

test('a row is found by its key, of one column or of several', async () => {
  expect(await state.rows('flags').load('reports')).toMatchObject({ key: 'reports' })
  expect(await state.rows('rules').load(['production', 'exports'])).toMatchObject({ flag: 'exports' })
  expect(await state.rows('rules').load(['staging', 'exports'])).toBeUndefined()
  expect(await state.rows('flags').load("'); DROP TABLE flags; --")).toBeUndefined()
})

test('a row is read once, and what is not there is known not to be there', async () => {
  await state.rows('flags').loadMany(['reports', 'exports', 'none'])
  const read = connection.statements()
  expect(keys(await state.rows('flags').loadMany(['none', 'exports', 'reports', 'reports']))).toEqual([
    'exports',
    'reports',
  ])
  expect(await state.rows('flags').load('none')).toBeUndefined()
  expect(connection.statements()).toBe(read)
  expect(read).toBe(1)
})

test('readings at the same time are one statement for each row', async () => {
  await Promise.all(['reports', 'reports', 'reports'].map((key) => state.rows('flags').load(key)))
  expect(connection.statements()).toBe(1)
})

test('rows that an index has found are found by their keys without another statement', async () => {
  const rows = await state.rows('contracts').by(byContract, ['C-9'])
  expect(ids(rows)).toEqual(['C-9', 'C-9~10', 'C-9~2'])
  expect(await state.rows('contracts').load('C-9~10')).toMatchObject({ id: 'C-9~10' })
  expect(connection.statements()).toBe(1)
})

test('several keys of an index are one statement, and each is kept', async () => {
  expect(ids(await state.rows('contracts').by(byContract, ['C-9', 'C-91', 'C-0']))).toEqual([
    'C-9',
    'C-91',
    'C-9~10',
    'C-9~2',
  ])
  expect(ids(await state.rows('contracts').by(byContract, ['C-91']))).toEqual(['C-91'])
  expect(await state.rows('contracts').by(byContract, ['C-0'])).toEqual([])
  expect(connection.statements()).toBe(1)
})

test.each([
  ['plans by a flag', () => state.rows('plans').by(holding, ['exports']).then(keys), ['pro']],
  [
    'plans by any of two',
    () => state.rows('plans').by(holding, ['exports', 'reports']).then(keys),
    ['pro', 'team'],
  ],
  [
    'contracts by organization',
    () => state.rows('contracts').by(byOrg, ['org_a']).then(ids),
    ['contract-org_a'],
  ],
  [
    'grants by three columns',
    async () => (await state.rows('grants').by(bySource, [['import', 'exports', 'production']])).length,
    1,
  ],
  [
    'no grant of another source',
    () => state.rows('grants').by(bySource, [['beta', 'exports', 'production']]),
    [],
  ],
])('%s', async (_, found, expected) => {
  expect(await found()).toEqual(expected)
})

test('an edit stands in the place of the row, and leaves the index that it no longer belongs to', async () => {
  const before = await contractOf('C-9')
  const after = state.after([moved(before, { org: 'org_a', status: 'paused' })])
  expect(await after.rows('contracts').load('C-9')).toMatchObject({ org: 'org_a', status: 'paused' })
  expect(ids(await after.rows('contracts').by(byOrg, ['org_a']))).toEqual(['C-9', 'contract-org_a'])
  expect(ids(await after.rows('contracts').by(byOrg, ['org_b']))).toEqual(['C-91', 'C-9~10', 'C-9~2'])
  expect(ids(await state.rows('contracts').by(byOrg, ['org_b'])), 'of the state before').toEqual([
    'C-9',
    'C-91',
    'C-9~10',
    'C-9~2',
  ])
})

test('a row that was made is there, in the last of its states', async () => {
  const before = await contractOf('C-9')
  const made: EditOf<'contracts'> = { table: 'contracts', before: null, after: { ...before, id: 'C-9~3' } }
  const again = moved(made.after, { status: 'unpaid' })
  const after = state.after([made]).after([again])
  expect(await after.rows('contracts').load('C-9~3')).toMatchObject({ status: 'unpaid' })
  expect(ids(await after.rows('contracts').by(byContract, ['C-9']))).toContain('C-9~3')
})

test('a selection finds rows of D1 and edited ones, by the same condition', async () => {
  const at = new Date(control.clock.now).toISOString()
  const paying = payingFor('exports', ['pro'], at)
  expect(ids(await state.rows('contracts').where(paying, 200))).toEqual(['C-9', 'C-91', 'C-9~10', 'C-9~2'])
  expect(await state.rows('grants').where(giving('exports', at), 200)).toHaveLength(1)
  const [first, second] = [await contractOf('C-9'), await contractOf('contract-org_a')]
  const after = state.after([moved(first, { status: 'cancelled' }), moved(second, { add: ['exports'] })])
  expect(ids(await after.rows('contracts').where(paying, 200))).toEqual([
    'C-91',
    'C-9~10',
    'C-9~2',
    'contract-org_a',
  ])
})
