/** A flag's life, from draft to tombstone. */
import { beforeEach, describe, expect, test } from 'vitest'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

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

  test('that is a rollout must end, by default in 40 days', async () => {
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
  const none = await control.must('PUT', '/flags/reports/rules/production', { access: 'none' }, 1)
  expect(none.effect.changes[0].lost.organizations.ids).toEqual(['org_a'])
  expect((await move('retired', 3)).body.effect.changes).toEqual([])
  await control.published()
  expect((await control.catalog())?.flags).toEqual({})

  expect((await create()).body.code).toBe('flag_key_retired')
  expect((await move('live', 4)).body.code).toBe('flag_retired')
  const rule = await control.call('PUT', '/flags/reports/rules/production', {
    body: { access: 'all', reason: 'x' },
    ifMatch: 2,
  })
  expect(rule.body.code).toBe('flag_retired')
  expect((await control.get('/flags/reports')).body.state).toBe('retired')
})

describe('a flag that is on its way out and that somebody has', () => {
  beforeEach(async () => {
    await control.organization('org_a')
    await control.must('POST', '/plans', { key: 'team', name: 'Team' })
  })

  const setRule = (rule: Record<string, unknown>, revision: number, environment = 'production') =>
    control.must('PUT', `/flags/reports/rules/${environment}`, rule, revision)
  const grant = (members: Record<string, unknown> = {}) =>
    control.must('POST', '/grants', {
      ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports' },
      ...{ source: 'beta', to: control.in(3), ...members },
    })
  const contract = (members: Record<string, unknown>) =>
    control.must('PUT', '/orgs/org_a/contracts/C-9', {
      ...{ plan: 'team', status: 'active', revision: 1, from: control.in(-1), ...members },
    })
  const sell = () => control.must('PATCH', '/plans/team', { flags: ['reports'] }, 1)

  const ROLLOUT = { kind: 'rollout', no_plan_reason: undefined }
  const ENTITLEMENT = { kind: 'entitlement' }
  const HOLDERS: [string, object, Record<string, unknown>, () => Promise<unknown>, string][] = [
    ['everybody', ROLLOUT, { access: 'all' }, async () => {}, 'flag_on_for_all'],
    [
      'everybody in another environment',
      ROLLOUT,
      { access: 'none' },
      () => setRule({ access: 'all' }, 0, 'staging'),
      'flag_on_for_all',
    ],
    [
      'everybody, but for an incident',
      ENTITLEMENT,
      { access: 'all' },
      () => control.must('POST', '/flags/reports/rules/production/kill', {}),
      'flag_on_for_all',
    ],
    ['a percentage', ROLLOUT, { access: 'some', percentage: 0.5 }, async () => {}, 'flag_on_by_percentage'],
    ['an organization by a grant', ROLLOUT, { access: 'some' }, () => grant(), 'flag_granted'],
    [
      'a user by a grant without an end',
      ENTITLEMENT,
      { access: 'some' },
      () => grant({ subject: { kind: 'user', id: 'user_a' }, source: 'import', to: null }),
      'flag_granted',
    ],
    [
      'an organization from tomorrow on',
      ROLLOUT,
      { access: 'some' },
      () => grant({ from: control.in(1), to: control.in(2) }),
      'flag_granted',
    ],
    [
      'an organization by its plan',
      ENTITLEMENT,
      { access: 'some' },
      () => sell().then(() => contract({})),
      'flag_paid_for',
    ],
    [
      'an organization by an add-on, on trial',
      ROLLOUT,
      { access: 'some' },
      () => contract({ plan: null, add: ['reports'], status: 'trialing' }),
      'flag_paid_for',
    ],
    [
      'an organization that is late, within its grace',
      ENTITLEMENT,
      { access: 'some' },
      () => sell().then(() => contract({ status: 'past_due', grace_until: control.in(3) })),
      'flag_paid_for',
    ],
  ]

  test.each(HOLDERS)('is not retired while it is held by %s', async (_, members, rule, hold, code) => {
    await control.liveFlag('reports', rule, members)
    await hold()
    await move('retiring', 2)
    const rows = (await control.auditRows()).length
    for (const query of ['', '?dry_run=true']) {
      const answer = await control.call('POST', `/flags/reports/state${query}`, {
        ...{ body: { state: 'retired', reason: 'x' }, ifMatch: 3 },
      })
      expect(answer).toMatchObject({ status: 409, body: { code } })
      expect(answer.body.detail).toMatch(/\bfirst\b/i)
    }
    const asked = await control.call('POST', '/changes', {
      body: { items: [{ action: 'flag.move', input: { flag: 'reports', state: 'retired' } }], reason: 'x' },
    })
    expect(asked).toMatchObject({ status: 409, body: { code } })
    expect((await control.auditRows()).length).toBe(rows)
    await control.published()
    expect(Object.keys((await control.catalog())?.flags ?? {})).toEqual(['reports'])
    expect((await move('live', 3)).status, 'and it goes back').toBe(200)
  })

  test.each<[string, () => Promise<unknown>]>([
    ['a rule that gives it to nobody', () => setRule({ access: 'none' }, 1)],
    [
      'a grant that is revoked',
      async () => {
        const { data } = await grant()
        control.clock.now += 1000
        await control.must('POST', `/grants/${data.id}/revoke`, {})
      },
    ],
    [
      'a grant that has ended',
      async () => {
        await grant({ to: control.in(1) })
        control.clock.now += 2 * DAY_MS
      },
    ],
    ['a denial', () => grant({ effect: 'deny' })],
    [
      'a grant where nobody has it by any',
      () => setRule({ access: 'none' }, 1).then(() => grant({ source: 'import', to: null })),
    ],
    ['a grant in another environment, where access is none', () => grant({ environment: 'staging' })],
    ['a plan that nobody bought', sell],
    ['a contract that is cancelled', () => sell().then(() => contract({ status: 'cancelled' }))],
    ['a contract that has ended', () => sell().then(() => contract({ to: control.in(-0.5) }))],
    [
      'a contract past its grace',
      () => sell().then(() => contract({ status: 'past_due', grace_until: control.in(-0.5) })),
    ],
    ['a percentage of nobody', () => setRule({ access: 'some', percentage: 0 }, 1)],
  ])('is retired where there is only %s', async (_, make) => {
    await control.liveFlag('reports', { access: 'some' })
    await make()
    await move('retiring', 2)
    const retired = await move('retired', 3)
    expect(retired.status).toBe(200)
    expect(retired.body.effect.changes).toEqual([])
  })

  test('is taken away and retired by one request', async () => {
    await control.liveFlag('reports', { access: 'some' })
    const { data } = await grant()
    await move('retiring', 2)
    control.clock.now += 1000
    const retire = { action: 'flag.move', input: { flag: 'reports', state: 'retired' } }
    const revoke = { action: 'grant.revoke', input: { grant: data.id } }
    const ask = (items: object[]) => control.call('POST', '/changes', { body: { items, reason: 'x' } })
    expect((await ask([retire, revoke])).body.code).toBe('flag_granted')
    const { status, body } = await ask([revoke, retire])
    expect(status).toBe(201)
    expect(body.data.effect.changes).toMatchObject([{ lost: { organizations: { ids: ['org_a'] } } }])
    expect((await control.call('POST', `/changes/${body.data.id}/apply`, { body: {} })).status).toBe(200)
    expect((await control.get('/flags/reports')).body.state).toBe('retired')
  })

  test('and got by more than one request can take back, is not retired by one', async () => {
    await control.liveFlag('reports', { access: 'some' })
    await bindings.DB.prepare(
      `INSERT INTO grants (id, environment, subject_kind, subject_id, flag, effect, source, reason, "from", created_by,
         created_at, updated_at, revision)
       SELECT 'grant_' || value, 'production', 'user', 'user_' || value, 'reports', 'allow', 'import', 'x', ?1, 'user:a',
         ?1, ?1, 1 FROM json_each(?2)`,
    )
      .bind(control.in(-1), JSON.stringify(Array.from({ length: 500 }, (_, n) => n)))
      .run()
    await move('retiring', 2)
    expect((await move('retired', 3)).body.code).toBe('flag_granted')
  })

  test('since its retirement was approved, makes that stale, and says why', async () => {
    await control.liveFlag('reports', { access: 'some' })
    await move('retiring', 2)
    const { body } = await control.call('POST', '/changes', {
      body: { items: [{ action: 'flag.move', input: { flag: 'reports', state: 'retired' } }], reason: 'x' },
    })
    expect(body.data.state).toBe('approved')
    await setRule({ access: 'all' }, 1)
    const applied = await control.call('POST', `/changes/${body.data.id}/apply`, { body: {} })
    expect(applied.body.code).toBe('change_stale')
    expect((await control.get(`/changes/${body.data.id}`)).body).toMatchObject({
      ...{ state: 'stale', problem: 'flag_on_for_all' },
    })
    expect((await control.get('/flags/reports')).body.state).toBe('retiring')
  })
})

test('a rollout is extended, and every extension is counted', async () => {
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
