/** From the names of other systems to contract rows: order decides nothing, and deltas add up. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applyDelta, snapshotOfRows } from '../../../../src/control/contract_sync/contracts/delta.ts'
import {
  type ContractPut,
  entitlementsStatus,
  projectContract,
  type Resolve,
  rowsOver,
} from '../../../../src/control/contract_sync/contracts/projection.ts'
import {
  type ContractDelta,
  type ContractSnapshot,
  type External,
  externalsOf,
} from '../../../../src/control/contract_sync/events.ts'
import type { ContractRow } from '../../../../src/control/db/rows.ts'
import { isRowOf } from '../../../../src/control/entities/contract.ts'

const MAPPINGS: Readonly<Record<string, string>> = {
  'plan enterprise_monthly': 'enterprise',
  'plan price_team': 'team',
  'plan price_hours': 'nothing',
  'flag price_scim': 'scim',
  'flag price_sso': 'sso',
  'plan PRO-2026': 'enterprise',
}
const resolve: Resolve = ({ candidates, ours }, kind) =>
  candidates.map((name) => MAPPINGS[`${kind} ${name}`]).find((name) => name !== undefined) ?? ours

const price = (...candidates: string[]): External => ({ kind: 'price', candidates })
const plan = (id: string): External => ({ kind: 'plan', candidates: [id], ours: id })
const flag = (id: string): External => ({ kind: 'flag', candidates: [id], ours: id })
const FROM = '2026-01-01T00:00:00.000Z'
const THEN = '2027-01-01T00:00:00.000Z'

const snapshot = (members: Partial<ContractSnapshot> = {}): ContractSnapshot => ({
  ...{ type: 'contract.snapshot', source: 'stripe', system: null, contract: 'sub_1', revision: 5 },
  customer: null,
  org: { kind: 'org', candidates: ['sub_1', 'cus_1'] },
  phases: [
    { status: 'active', from: FROM, to: null, items: [price('enterprise_monthly', 'price_1', 'prod_1')] },
  ],
  ...members,
})

const items = (...all: External[]) =>
  snapshot({ phases: [{ status: 'active', from: FROM, to: null, items: all }] })

const rowsOf = (event: ContractSnapshot, known: readonly ContractRow[] = []): readonly ContractPut[] => {
  const { rows, unresolved } = projectContract(event, event.contract, 'org_acme', resolve)
  if (unresolved.length > 0) throw new Error(unresolved[0]?.kind)
  return [...rows, ...rowsOver(event.contract, rows, known)]
}

const stored = (rows: readonly ContractPut[], revision = 5): ContractRow[] =>
  rows.map((row) => ({ ...row, revision, grace_until: row.grace_until ?? null, updated_at: FROM }))

describe('a snapshot', () => {
  test('of one plan is one row, as the command takes it', () => {
    expect(rowsOf(snapshot())).toEqual([
      {
        id: 'sub_1',
        org: 'org_acme',
        plan: 'enterprise',
        status: 'active',
        from: FROM,
        to: null,
        add: [],
        grace_until: undefined,
        source: 'stripe',
      },
    ])
  })

  test.each([
    ['a plan and an add-on', [price('price_team'), price('price_scim')], [['sub_1', 'team', ['scim']]]],
    ['an add-on alone', [price('price_scim'), price('price_sso')], [['sub_1', null, ['scim', 'sso']]]],
    ['nothing', [], [['sub_1', null, []]]],
    ['the same plan twice', [price('price_team'), price('price_team')], [['sub_1', 'team', []]]],
    [
      'two plans: a row each, add-ons on the first',
      [price('price_team'), price('price_scim'), price('enterprise_monthly')],
      [
        ['sub_1', 'enterprise', ['scim']],
        ['sub_1~2', 'team', []],
      ],
    ],
    [
      'what gives nothing, mapped to a plan without flags',
      [price('price_team'), price('price_hours')],
      [
        ['sub_1', 'nothing', []],
        ['sub_1~2', 'team', []],
      ],
    ],
  ])('of %s', (_, all, expected) => {
    expect(rowsOf(items(...all)).map(({ id, plan, add }) => [id, plan, add])).toEqual(expected)
    expect(rowsOf(items(...all.toReversed())).map(({ id, plan, add }) => [id, plan, add])).toEqual(expected)
  })

  test('with a downgrade is a row for each phase, the later one dated to its beginning', () => {
    const phases = [
      { status: 'active', from: FROM, to: THEN, items: [price('enterprise_monthly')] },
      { status: 'active', from: THEN, to: null, items: [price('price_team')] },
    ] as const
    expect(rowsOf(snapshot({ phases }))).toMatchObject([
      { id: 'sub_1', plan: 'enterprise', from: FROM, to: THEN },
      { id: 'sub_1~2', plan: 'team', from: THEN, to: null },
    ])
  })

  test('takes back the rows that it has no more, whatever is withdrawn', () => {
    const phases = [
      { status: 'active', from: FROM, to: THEN, items: [price('enterprise_monthly')] },
      { status: 'active', from: THEN, to: null, items: [price('price_team')] },
    ] as const
    const before = stored(rowsOf(snapshot({ phases })))
    const other = { ...before[1], id: 'sub_10~2' } as ContractRow
    const after = rowsOf(snapshot({ revision: 6 }), [...before, other])
    expect(after).toMatchObject([
      { id: 'sub_1', plan: 'enterprise', to: null },
      { id: 'sub_1~2', status: 'cancelled', from: THEN, to: THEN },
    ])
    expect(after[1]).not.toHaveProperty('updated_at')
  })

  test.each([
    ['a price', items(price('price_team'), price('price_9', 'prod_9')), 'price_9'],
    ['a plan', items({ kind: 'plan', candidates: ['gold'] }), 'gold'],
    ['a flag', items({ kind: 'flag', candidates: ['feat_9'] }), 'feat_9'],
  ])('with %s that is not mapped says which', (_, event, name) => {
    const { unresolved } = projectContract(event, 'sub_1', 'org_acme', resolve)
    expect(unresolved).toMatchObject([{ candidates: expect.arrayContaining([name]) }])
  })

  test('a name that exists here stands unless it is mapped', () => {
    expect(rowsOf(items(plan('team')))).toMatchObject([{ org: 'org_acme', plan: 'team' }])
    expect(rowsOf(items(plan('PRO-2026')))).toMatchObject([{ plan: 'enterprise' }])
  })

  test('all names that are to be looked up are known before', () => {
    expect(externalsOf(items(price('a'), price('b'))).map(({ candidates }) => candidates[0])).toEqual([
      'sub_1',
      'a',
      'b',
    ])
  })
})

test.each([
  ['sub_1', true],
  ['sub_1~2', true],
  ['sub_1~12', true],
  ['sub_1~', false],
  ['sub_1~x', false],
  ['sub_1~2~3', false],
  ['sub_12', false],
  ['sub_', false],
])('%s is a row of sub_1: %s', (id, expected) => {
  expect(isRowOf('sub_1', id)).toBe(expected)
})

test.each([
  [[], 'active'],
  [['paused'], 'paused'],
  [['cancelled', 'paused'], 'paused'],
  [['cancelled', 'unpaid'], 'unpaid'],
  [['paused', 'active'], 'active'],
  [['expired', 'trialing'], 'trialing'],
  [['past_due', 'cancelled'], 'past_due'],
] as const)('entitlements of subscriptions that are %j stand as %s', (statuses, expected) => {
  expect(entitlementsStatus(statuses)).toBe(expected)
})

describe('a delta', () => {
  const base = {
    ...items(plan('enterprise'), flag('scim')),
    source: 'standard',
    org: { kind: 'org', candidates: ['org_acme'], ours: 'org_acme' },
  } as const
  const [first] = base.phases
  const two = {
    ...base,
    phases: [
      { ...first, to: THEN },
      { ...first, from: THEN, items: [plan('team')] },
    ],
  } as ContractSnapshot
  const delta = (changes: ContractDelta['changes'], members: Partial<ContractDelta> = {}): ContractDelta => ({
    ...{ type: 'contract.delta', source: 'standard', system: null, contract: 'sub_1' },
    revision: 6,
    base_revision: 5,
    changes,
    ...members,
  })
  const outcome = (known: ContractSnapshot | undefined, change: ContractDelta) => {
    const applied = applyDelta(known, change, resolve)
    return applied.ok ? rowsOf(applied.value) : applied.reason
  }

  test.each([
    ['another plan', { plan: plan('team') }, { plan: 'team', add: ['scim'] }],
    ['a plan by a mapped name', { plan: plan('PRO-2026') }, { plan: 'enterprise' }],
    ['no plan', { plan: null }, { plan: null, add: ['scim'] }],
    ['one more add-on', { add: [flag('sso')] }, { add: ['scim', 'sso'] }],
    ['an add-on that it has', { add: [flag('scim')] }, { add: ['scim'] }],
    ['one add-on less', { remove: [flag('scim')] }, { add: [] }],
    ['an add-on less that it never had', { remove: [flag('sso')] }, { add: ['scim'] }],
    ['a status', { status: 'paused' }, { status: 'paused', plan: 'enterprise' }],
    ['an end', { to: THEN }, { to: THEN }],
    ['a grace of its own', { status: 'past_due', grace_until: THEN }, { grace_until: THEN }],
  ] as const)('of %s', (_, changes, expected) => {
    expect(outcome(base, delta(changes))).toMatchObject([expected])
  })

  test('of a phase leaves the others as they are', () => {
    expect(outcome(two, delta({ phase: 2, add: [flag('sso')] }))).toMatchObject([
      { plan: 'enterprise', add: ['scim'] },
      { plan: 'team', add: ['sso'] },
    ])
  })

  test('of add-ons or status alone is of every phase', () => {
    expect(outcome(two, delta({ status: 'paused', add: [flag('sso')] }))).toMatchObject([
      { status: 'paused', add: ['scim', 'sso'] },
      { status: 'paused', add: ['sso'] },
    ])
  })

  test.each([
    ['nothing that is known', undefined, delta({ status: 'paused' }), 'base_missing'],
    ['what has not come yet', base, delta({ status: 'paused' }, { base_revision: 6 }), 'base_missing'],
    ['what is past', base, delta({ status: 'paused' }, { base_revision: 4 }), 'base_passed'],
    ['a plan of two phases', two, delta({ plan: plan('team') }), 'delta_ambiguous'],
    ['an end of two phases', two, delta({ to: null }), 'delta_ambiguous'],
    ['a phase that there is not', base, delta({ phase: 2, status: 'paused' }), 'delta_ambiguous'],
    [
      'a window that ends before it begins',
      base,
      delta({ to: '2025-01-01T00:00:00.000Z' }),
      'window_invalid',
    ],
    ['a window that overlaps', two, delta({ phase: 1, to: null }), 'window_invalid'],
  ])('based on %s: %s', (_, known, change, reason) => {
    expect(outcome(known, change)).toBe(reason)
  })

  test('of the rows is that of the snapshot they were made of', () => {
    const known = snapshotOfRows('sub_1', stored(rowsOf(two)).toReversed())
    expect(known && rowsOf({ ...known, source: 'standard' })).toEqual(rowsOf(two))
    const change = delta({ phase: 1, add: [flag('sso')], remove: [flag('scim')] })
    expect(outcome(known, change)).toEqual(outcome(two, change))
  })

  test('does not bring back a phase that was taken back', () => {
    const before = stored(rowsOf(two))
    const after = stored(rowsOf({ ...base, revision: 6 }, before), 6)
    expect(snapshotOfRows('sub_1', after)).toMatchObject({ revision: 6, phases: { length: 1 } })
  })

  test('of a contract without rows has nothing to change', () => {
    expect(snapshotOfRows('sub_1', [])).toBeUndefined()
  })

  test('a grace that was given goes on while the contract is due, and is not invented when it is not', () => {
    const due = stored(rowsOf({ ...base, phases: [{ ...first, status: 'past_due' }] as never })).map(
      (row) => ({
        ...row,
        grace_until: THEN,
      }),
    )
    expect(outcome(snapshotOfRows('sub_1', due), delta({ add: [flag('sso')] }))).toMatchObject([
      { status: 'past_due', grace_until: THEN },
    ])
    const paid = rowsOf({ ...base })
    const [again] = outcome(
      snapshotOfRows('sub_1', stored(paid)),
      delta({ status: 'past_due' }),
    ) as ContractPut[]
    expect(again?.grace_until).toBeUndefined()
  })
})

describe('whatever the order of arrival', () => {
  const arbitrary = fc.uniqueArray(
    fc.record({
      revision: fc.integer({ min: 1, max: 50 }),
      plans: fc.subarray(['enterprise_monthly', 'price_team', 'price_hours']),
      later: fc.boolean(),
      status: fc.constantFrom('active' as const, 'paused' as const, 'past_due' as const),
    }),
    { selector: ({ revision }) => revision, minLength: 1, maxLength: 8 },
  )

  const put = (rows: Map<string, ContractRow>, event: ContractSnapshot) => {
    const applied = Math.max(0, ...[...rows.values()].map(({ revision }) => revision))
    if (event.revision <= applied) return
    for (const row of stored(rowsOf(event, [...rows.values()]), event.revision)) rows.set(row.id, row)
  }
  const grants = (rows: Map<string, ContractRow>) =>
    [...rows.values()].filter(({ from, to }) => from !== to).toSorted((a, b) => (a.id < b.id ? -1 : 1))

  test('with repetitions, the latest revision is what counts', () => {
    fc.assert(
      fc.property(arbitrary, fc.infiniteStream(fc.nat()), (all, random) => {
        const events = all.map(({ revision, plans, later, status }) =>
          snapshot({
            revision,
            phases: [
              { status, from: FROM, to: later ? THEN : null, items: plans.map((name) => price(name)) },
              ...(later ? [{ status, from: THEN, to: null, items: [price('price_team')] }] : []),
            ],
          }),
        )
        const inOrder = new Map<string, ContractRow>()
        for (const event of events.toSorted((a, b) => a.revision - b.revision)) put(inOrder, event)
        const shuffled = new Map<string, ContractRow>()
        const deliveries = [...events, ...events].map((event) => ({ event, at: random.next().value ?? 0 }))
        for (const { event } of deliveries.toSorted((a, b) => a.at - b.at)) put(shuffled, event)
        expect(grants(shuffled)).toEqual(grants(inOrder))
      }),
      { numRuns: 200 },
    )
  })
})
