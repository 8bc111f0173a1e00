/** Rules by environment: access, percentage, kill and revive, under optimistic locking. */
import { beforeEach, describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp()
})

test('a rule that is set is in the catalog of its environment, and only there', async () => {
  await control.liveFlag('reports', { access: 'some', percentage: 25 })
  await control.published()
  expect((await control.catalog())?.flags.reports).toEqual({
    kind: 'entitlement',
    access: 'some',
    percentage: 25,
  })
  expect((await control.catalog('staging'))?.flags.reports).toEqual({ kind: 'entitlement', access: 'none' })
})

test('killing a flag takes it from every organization with one KV write, and reviving gives it back', async () => {
  await control.liveFlag('reports', { access: 'all' })
  for (const id of ['org_a', 'org_b', 'org_c']) await control.organization(id)
  await control.published()
  const before = await control.catalog()
  const written = await control.writes()

  const killed = await control.call('POST', '/flags/reports/rules/production/kill', {
    role: 'break-glass',
    body: { reason: 'incident', ticket: 'INC-1' },
  })
  expect(killed.status).toBe(200)
  expect(killed.body.effect.changes).toEqual([
    expect.objectContaining({
      flag: 'reports',
      lost: { organizations: { count: 3, ids: ['org_a', 'org_b', 'org_c'] }, users: { count: 0, ids: [] } },
    }),
  ])
  await control.published()
  expect((await control.writes()).filter((row) => !written.includes(row))).toEqual([
    `catalog:production ${killed.body.seq}`,
  ])
  const after = await control.catalog()
  expect(after?.flags.reports).toMatchObject({ killed: true })
  expect(after?.version).toBeGreaterThan(before?.version ?? 0)

  const revived = await control.must('POST', '/flags/reports/rules/production/revive', {})
  expect(revived.effect.changes[0].gained.organizations.count).toBe(3)
})

describe('optimistic locking', () => {
  test('a change to a revision that somebody else has changed meanwhile is refused', async () => {
    await control.liveFlag('reports')
    await control.must('PUT', '/flags/reports/rules/production', { access: 'all' }, 1)
    const late = await control.call('PUT', '/flags/reports/rules/production', {
      body: { access: 'none', reason: 'late' },
      ifMatch: 1,
    })
    expect(late.status).toBe(412)
    expect(late.body.code).toBe('revision_conflict')
    const rule = await control.get('/flags/reports/rules/production')
    expect(rule.body).toMatchObject({ access: 'all', revision: 2 })
    expect(rule.headers.get('etag')).toBe('"2"')
  })

  test('a change without a revision is refused', async () => {
    await control.liveFlag('reports')
    const blind = await control.call('PUT', '/flags/reports/rules/production', {
      body: { access: 'all', reason: 'blind' },
    })
    expect(blind.status).toBe(428)
    expect((await control.get('/flags/reports/rules/production')).body.access).toBe('some')
  })
})

test.each([
  ['an unknown environment', '/flags/reports/rules/moon', 404, 'environment_unknown'],
  ['an unknown flag', '/flags/nothing/rules/production', 404, 'not_found'],
])('a rule for %s is refused', async (_, path, status, code) => {
  await control.liveFlag('reports')
  const answer = await control.call('PUT', path, { body: { access: 'all', reason: 'x' }, ifMatch: 0 })
  expect(answer.status).toBe(status)
  expect(answer.body.code).toBe(code)
})

test('what changes nothing writes nothing', async () => {
  await control.liveFlag('reports', { access: 'some' })
  const rows = (await control.auditRows()).length
  const same = await control.must('PUT', '/flags/reports/rules/production', { access: 'some' }, 1)
  expect(same).toMatchObject({ seq: null, effect: { changes: [] } })
  expect((await control.auditRows()).length).toBe(rows)
})
