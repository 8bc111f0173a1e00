/** A flag's life, from draft to tombstone. */
import { beforeEach, describe, expect, test } from 'vitest'
import { type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp()
})

const flag = (members: Record<string, unknown> = {}) => ({
  ...{ key: 'reports', name: 'Reports', kind: 'entitlement', owner: 'team-a', reason: 'x' },
  ...members,
})
const create = (members: Record<string, unknown> = {}) =>
  control.call('POST', '/flags', { body: flag(members) })
const move = (state: string, ifMatch: number, key = 'reports') =>
  control.call('POST', `/flags/${key}/state`, { body: { state, reason: 'x' }, ifMatch })

describe('a new flag', () => {
  test('is a draft with an owner, reviewed every 90 days, and in no catalog', async () => {
    await control.liveFlag('other')
    const { status, body } = await create({ tags: ['a'] })
    expect(status).toBe(201)
    expect(body.data).toMatchObject({
      ...{ state: 'draft', owner: 'team-a', review_every_days: 90, retire_by: null, extensions: 0 },
      ...{ tags: ['a'], revision: 1 },
    })
    await control.published()
    expect(Object.keys((await control.catalog())?.flags ?? {})).toEqual(['other'])
  })

  test('that is a rollout must end, in 40 days unless told', async () => {
    const { body } = await create({ kind: 'rollout' })
    expect(Date.parse(body.data.retire_by)).toBe(control.clock.now + 40 * DAY_MS)
    expect(body.data.review_every_days).toBeNull()
  })

  test.each([
    ['without an owner', { owner: undefined }, 400, 'request_invalid'],
    ['with an empty owner', { owner: ' ' }, 400, 'request_invalid'],
    ['with a key that is no slug', { key: 'Reports!' }, 400, 'request_invalid'],
    ['without a reason', { reason: undefined }, 400, 'request_invalid'],
    ['that is an entitlement with an end', { retire_by: '2030-01-01T00:00:00Z' }, 422, 'flag_not_rollout'],
    [
      'that is a rollout with reviews',
      { kind: 'rollout', review_every_days: 5 },
      422,
      'flag_not_entitlement',
    ],
    [
      'that is a rollout and ends in the past',
      { kind: 'rollout', retire_by: '2020-01-01T00:00:00Z' },
      422,
      'retire_by_invalid',
    ],
  ])('%s is refused', async (_, members, status, code) => {
    const answer = await create(members)
    expect(answer.status).toBe(status)
    expect(answer.body.code).toBe(code)
    expect(await control.auditRows()).toEqual([])
  })
})

test('an entitlement goes live only with a plan that holds it, or a note why not', async () => {
  await create()
  expect((await move('live', 1)).body.code).toBe('flag_unfunded')
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  expect((await move('live', 1)).status).toBe(200)

  const dropped = await control.call('PATCH', '/plans/team', {
    body: { flags: [], reason: 'x' },
    ifMatch: 1,
  })
  expect(dropped.body.code).toBe('flag_unfunded')
  await control.must('PATCH', '/flags/reports', { no_plan_reason: 'free for all' }, 2)
  await control.must('PATCH', '/plans/team', { flags: [] }, 1)
  const cleared = await control.call('PATCH', '/flags/reports', {
    body: { no_plan_reason: null, reason: 'x' },
    ifMatch: 3,
  })
  expect(cleared.body.code).toBe('flag_unfunded')
})

test('a retired key is a tombstone for ever', async () => {
  await control.liveFlag('reports', { access: 'all' })
  await control.organization('org_a')
  expect((await move('retired', 2)).body.code).toBe('flag_transition')
  await move('retiring', 2)
  const retired = await move('retired', 3)
  expect(retired.body.effect.changes[0].lost.organizations.ids).toEqual(['org_a'])
  await control.published()
  expect((await control.catalog())?.flags).toEqual({})

  expect((await create()).body.code).toBe('flag_key_retired')
  expect((await move('live', 4)).body.code).toBe('flag_retired')
  const rule = await control.call('PUT', '/flags/reports/rules/production', {
    body: { access: 'all', reason: 'x' },
    ifMatch: 1,
  })
  expect(rule.body.code).toBe('flag_retired')
  expect((await control.get('/flags/reports')).body.state).toBe('retired')
})

test('a rollout’s end is put off, and every time is counted', async () => {
  await create({ kind: 'rollout' })
  const extend = (days: number, ifMatch: number) =>
    control.call('POST', '/flags/reports/extend', {
      body: { retire_by: control.in(days), reason: 'not done' },
      ifMatch,
    })
  expect((await extend(60, 1)).body.data.extensions).toBe(1)
  expect((await extend(80, 2)).body.data.extensions).toBe(2)
  expect((await extend(70, 3)).body.code).toBe('retire_by_invalid')
  expect((await extend(900, 3)).body.code).toBe('retire_by_invalid')
  await create({ key: 'forever' })
  const entitlement = await control.call('POST', '/flags/forever/extend', {
    body: { retire_by: control.in(9), reason: 'x' },
    ifMatch: 1,
  })
  expect(entitlement.body.code).toBe('flag_not_rollout')
})

test('an entitlement is reviewed, and a rollout is not', async () => {
  await create()
  const reviewed = await control.must('POST', '/flags/reports/review', {})
  expect(reviewed.data.reviewed_at).toBe(new Date(control.clock.now).toISOString())
  await create({ key: 'rollout', kind: 'rollout' })
  const answer = await control.call('POST', '/flags/rollout/review', { body: { reason: 'x' } })
  expect(answer.body.code).toBe('flag_not_entitlement')
})

describe('the inventory', () => {
  beforeEach(async () => {
    await control.liveFlag('a-live', { access: 'all' }, { tags: ['beta'] })
    await create({ key: 'b-draft', owner: 'team-b' })
    await create({ key: 'c-rollout', kind: 'rollout' })
    await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['b-draft'] })
  })

  test('shows each flag with its rule in every environment and its plans', async () => {
    const { body } = await control.get('/flags')
    expect(body.data[0]).toMatchObject({
      key: 'a-live',
      rules: [
        { environment: 'staging', access: 'none', revision: 0 },
        { environment: 'production', access: 'all', revision: 1 },
      ],
      plans: [],
    })
    expect(body.data[1].plans).toEqual(['team'])
  })

  test.each([
    ['owner=team-b', ['b-draft']],
    ['kind=rollout', ['c-rollout']],
    ['state=live', ['a-live']],
    ['tag=beta', ['a-live']],
    ['plan=team', ['b-draft']],
    ['limit=2', ['a-live', 'b-draft']],
  ])('is filtered by %s', async (query, expected) => {
    const { body } = await control.get(`/flags?${query}`)
    expect(body.data.map(({ key }: { key: string }) => key)).toEqual(expected)
  })

  test('takes as many queries for one flag as for all', async () => {
    const statements = async (query: string) =>
      (await control.get(`/flags?${query}`)).headers.get('server-timing')?.match(/(\d+) statements/)?.[1]
    expect(await statements('limit=1')).toBe(await statements('limit=200'))
  })
})
