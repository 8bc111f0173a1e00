/** Plans, organizations and contracts: what is paid for. */
import { beforeEach, describe, expect, test } from 'vitest'
import { type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.liveFlag('reports')
  await control.liveFlag('sso')
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['sso', 'reports'] })
  await control.organization('org_a')
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

const contract = (members: Record<string, unknown> = {}) => ({
  ...{ plan: 'team', status: 'active', from: control.in(-1), revision: 1, reason: 'sold' },
  ...members,
})
const put = (members: Record<string, unknown> = {}, org = 'org_a', id = 'C-1') =>
  control.call('PUT', `/orgs/${org}/contracts/${id}`, { body: contract(members) })

test('a contract gives what its plan and add-ons hold, in every environment', async () => {
  await control.liveFlag('scim')
  const { status, body } = await put({ add: ['scim'] })
  expect(status).toBe(201)
  expect(body.effect.changes.map(({ flag }: { flag: string }) => flag)).toEqual(['reports', 'scim', 'sso'])
  await control.published()
  for (const environment of ['staging', 'production']) {
    expect((await control.org('org_a', environment))?.contracts).toEqual([
      {
        ...{ id: 'C-1', plan: 'team', status: 'active', from: control.in(-1), to: null },
        add: ['scim'],
      },
    ])
  }
  expect((await control.catalog())?.plans).toEqual({ team: ['reports', 'sso'] })
})

describe('a contract’s revision', () => {
  beforeEach(async () => {
    await put({ revision: 5 })
  })

  test.each([
    ['a later one is taken', { revision: 9, status: 'cancelled' }, 200, undefined, 'cancelled'],
    [
      'an earlier one is refused',
      { revision: 4, status: 'cancelled' },
      409,
      'contract_revision_stale',
      'active',
    ],
    [
      'the same with other content is refused',
      { revision: 5, status: 'cancelled' },
      409,
      'contract_revision_conflict',
      'active',
    ],
    ['the same with the same content changes nothing', { revision: 5 }, 200, undefined, 'active'],
  ])('%s', async (_, members, status, code, kept) => {
    const rows = (await control.auditRows()).length
    const answer = await put(members)
    expect(answer.status).toBe(status)
    expect(answer.body.code).toBe(code)
    expect((await control.get('/orgs/org_a/contracts/C-1')).body.status).toBe(kept)
    expect((await control.auditRows()).length - rows).toBe(answer.body.seq ? 1 : 0)
  })

  test('goes up even where nothing else changed, so that an old one stays old', async () => {
    await put({ revision: 7 })
    expect((await put({ revision: 6, status: 'cancelled' })).status).toBe(409)
  })
})

describe('a contract that is past due', () => {
  test('grants until the plan’s grace ends, counted from when we learned of it', async () => {
    await put()
    const due = await put({ status: 'past_due', revision: 2 })
    expect(due.body.data.grace_until).toBe(control.in(7))
    expect(due.body.effect.changes).toEqual([
      expect.objectContaining({ environment: 'production', flag: 'reports', at: control.in(7) }),
      expect.objectContaining({ environment: 'production', flag: 'sso', at: control.in(7) }),
    ])
    const until = due.body.data.grace_until
    control.clock.now += DAY_MS
    expect((await put({ status: 'past_due', revision: 3 })).body.data.grace_until).toBe(until)
  })
})

test('cancelling at the end of the period is visible now, and acts then', async () => {
  await put()
  const cancelled = await put({ revision: 2, to: control.in(20) })
  expect(cancelled.body.effect.changes.length).toBeGreaterThan(0)
  for (const { at, lost } of cancelled.body.effect.changes) {
    expect(at).toBe(control.in(20))
    expect(lost.organizations.ids).toEqual(['org_a'])
  }
})

test('what another contract pays for as well is not lost', async () => {
  await put()
  await put({}, 'org_a', 'C-2')
  const cancelled = await put({ revision: 2, status: 'cancelled' })
  expect(cancelled.body.effect.changes).toEqual([])
})

describe('a contract is refused', () => {
  test.each([
    ['of an unknown organization', {}, 'org_x', 422, 'org_unknown'],
    ['for an unknown plan', { plan: 'gold' }, 'org_a', 422, 'plan_unknown'],
    ['with an unknown add-on', { add: ['nothing'] }, 'org_a', 422, 'flag_unknown'],
    ['that ends before it begins', { to: '2000-01-01T00:00:00Z' }, 'org_a', 400, 'request_invalid'],
    ['of an unknown status', { status: 'happy' }, 'org_a', 400, 'request_invalid'],
  ])('%s', async (_, members, org, status, code) => {
    const answer = await put(members, org)
    expect(answer.status).toBe(status)
    expect(answer.body.code).toBe(code)
  })

  test('whose id another organization has', async () => {
    await control.organization('org_b')
    await put()
    expect((await put({}, 'org_b')).body.code).toBe('contract_elsewhere')
    expect((await control.get('/orgs/org_b/contracts/C-1')).status).toBe(404)
  })
})

describe('a plan', () => {
  test('that changes, changes what all its contracts pay for', async () => {
    await control.organization('org_b', 'team')
    await control.organization('org_c', 'team')
    const { effect } = await control.must('PATCH', '/plans/team', { flags: ['reports'] }, 1)
    const production = effect.changes.filter(
      ({ environment }: { environment: string }) => environment === 'production',
    )
    expect(production).toEqual([
      expect.objectContaining({
        flag: 'sso',
        lost: { organizations: { count: 2, ids: ['org_b', 'org_c'] }, users: { count: 0, ids: [] } },
      }),
    ])
  })

  test.each([
    ['with an unknown flag', { flags: ['nothing'] }, 422, 'flag_unknown'],
    ['with the same flag twice', { flags: ['sso', 'sso'] }, 400, 'request_invalid'],
  ])('%s is refused', async (_, change, status, code) => {
    const answer = await control.call('PATCH', '/plans/team', {
      body: { ...change, reason: 'x' },
      ifMatch: 1,
    })
    expect(answer.status).toBe(status)
    expect(answer.body.code).toBe(code)
  })

  test('is created once', async () => {
    const again = await control.call('POST', '/plans', { body: { key: 'team', name: 'T', reason: 'x' } })
    expect(again.body.code).toBe('plan_exists')
    expect((await control.get('/plans/team')).body).toMatchObject({
      flags: ['reports', 'sso'],
      grace_days: 7,
    })
    expect((await control.get('/plans/gold')).status).toBe(404)
    expect((await control.get('/plans')).body.data).toHaveLength(1)
  })
})

describe('an organization', () => {
  test('can have its tokens revoked for live verification, and not un-revoked', async () => {
    const now = Math.floor(control.clock.now / 1000)
    await control.must('PATCH', '/orgs/org_a', { not_before: now }, 1)
    await control.published()
    expect((await control.org('org_a'))?.not_before).toBe(now)
    for (const not_before of [now - 1, now + 60]) {
      const answer = await control.call('PATCH', '/orgs/org_a', {
        body: { not_before, reason: 'x' },
        ifMatch: 2,
      })
      expect(answer.body.code).toBe('not_before_backwards')
    }
  })

  test('is registered once, and shown with its contracts', async () => {
    const again = await control.call('POST', '/orgs', { body: { id: 'org_a', name: 'A', reason: 'x' } })
    expect(again.body.code).toBe('org_exists')
    await put()
    const { body } = await control.get('/orgs?plan=team')
    expect(body.data).toEqual([
      expect.objectContaining({ id: 'org_a', contracts: [expect.objectContaining({ id: 'C-1' })] }),
    ])
    expect((await control.get('/orgs/org_x')).status).toBe(404)
  })
})
