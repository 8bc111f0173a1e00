/** Grants: who gets what in spite of plan and rule, why, and until when. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Role } from '../../../src/control/roles.ts'
import { type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.liveFlag('reports')
  await control.organization('org_a')
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

const grant = (members: Record<string, unknown> = {}, role: Role = 'admin') =>
  control.call('POST', '/grants', {
    role,
    body: {
      ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports' },
      ...{ source: 'beta', to: control.in(30), reason: 'pilot' },
      ...members,
    },
  })

test('a grant is in the organization’s document, and the answer says when it ends', async () => {
  const { status, body } = await grant({ ticket: 'SUP-1' })
  expect(status).toBe(201)
  expect(body.data).toMatchObject({
    ...{ to: control.in(30), created_by: 'user:admin', reason: 'pilot', ticket: 'SUP-1' },
    subject: { kind: 'org', id: 'org_a' },
  })
  expect(body.effect.changes).toEqual([
    expect.objectContaining({ environment: 'production', flag: 'reports', at: null }),
  ])
  await control.published()
  expect(await control.org('org_a')).toMatchObject({
    version: body.seq,
    grants: [{ id: body.data.id, flag: 'reports', effect: 'allow', source: 'beta', to: control.in(30) }],
  })
  expect((await control.org('org_a', 'staging'))?.grants).toEqual([])
})

test('a grant to a user is in the user’s document', async () => {
  const { body } = await grant({ subject: { kind: 'user', id: 'auth0|u1' } })
  expect(body.effect.changes[0].gained.users).toEqual({ count: 1, ids: ['auth0|u1'] })
  await control.published()
  expect((await control.user('auth0|u1'))?.grants).toHaveLength(1)
})

test('a denial takes what the contract gives', async () => {
  await control.must('POST', '/plans', { key: 'team', name: 'T', flags: ['reports'] })
  await control.organization('org_b', 'team')
  const { body } = await grant({ subject: { kind: 'org', id: 'org_b' }, effect: 'deny' })
  expect(body.effect.changes[0].lost.organizations.ids).toEqual(['org_b'])
})

describe('a grant is refused', () => {
  test.each([
    ['without an end', { to: null }, 422, 'grant_needs_end'],
    [
      'for longer than a year',
      { to: new Date(Date.now() + 366 * DAY_MS).toISOString() },
      422,
      'grant_too_long',
    ],
    ['that has ended', { to: '2020-01-01T00:00:00Z' }, 422, 'window_invalid'],
    ['that ends before it begins', { from: '2099-01-01T00:00:00Z' }, 422, 'window_invalid'],
    ['of an unknown flag', { flag: 'nothing' }, 422, 'flag_unknown'],
    ['to an unknown organization', { subject: { kind: 'org', id: 'org_x' } }, 422, 'org_unknown'],
    ['in an unknown environment', { environment: 'moon' }, 404, 'environment_unknown'],
    ['without a reason', { reason: '' }, 400, 'request_invalid'],
    ['to an id that fits no key', { subject: { kind: 'org', id: 'a/b' } }, 400, 'request_invalid'],
  ])('%s', async (_, members, status, code) => {
    const rows = (await control.auditRows()).length
    const answer = await grant(members)
    expect(answer.status).toBe(status)
    expect(answer.body.code).toBe(code)
    expect((await control.auditRows()).length).toBe(rows)
  })

  test('an import, which need not end, comes from no break-glass role', async () => {
    const answer = await grant({ source: 'import', to: null }, 'break-glass')
    expect(answer.status).toBe(403)
    expect(answer.body.code).toBe('grant_import_forbidden')
  })

  test('one that begins in a year and lasts another', async () => {
    const answer = await grant({ from: control.in(364), to: control.in(728) })
    expect(answer.body.code).toBe('grant_too_long')
  })

  test('but an import may stay open', async () => {
    expect((await grant({ source: 'import', to: null })).status).toBe(201)
  })
})

describe('revoking', () => {
  test('ends a grant now, once', async () => {
    const { data } = (await grant()).body
    control.clock.now += 5_000
    const revoked = await control.must('POST', `/grants/${data.id}/revoke`, { reason: 'over' })
    expect(revoked.data).toMatchObject({
      ...{ to: new Date(control.clock.now).toISOString(), revoked_by: 'user:admin' },
    })
    expect(revoked.effect.changes[0].lost.organizations.ids).toEqual(['org_a'])
    await control.published()
    expect((await control.org('org_a'))?.grants).toEqual([])
    const again = await control.call('POST', `/grants/${data.id}/revoke`, { body: { reason: 'x' } })
    expect(again.status).toBe(409)
    expect(again.body.code).toBe('grant_ended')
  })

  test('keeps a grant that has not begun from ever beginning', async () => {
    const { data } = (await grant({ from: control.in(5) })).body
    const revoked = await control.must('POST', `/grants/${data.id}/revoke`, {})
    expect(revoked.data.to).toBe(revoked.data.from)
    expect(revoked.effect.changes).toEqual([
      expect.objectContaining({ at: control.in(5), lost: expect.anything() }),
    ])
  })

  test('of nothing is not found', async () => {
    expect((await control.call('POST', '/grants/x/revoke', { body: { reason: 'x' } })).status).toBe(404)
    expect((await control.get('/grants/x')).status).toBe(404)
  })
})

test('what begins later is shown with the moment when it does', async () => {
  const { body } = await grant({ from: control.in(5) })
  expect(body.effect.changes).toEqual([expect.objectContaining({ at: control.in(5) })])
})

test('a dry run shows the effect and changes nothing', async () => {
  const rows = (await control.auditRows()).length
  const answer = await control.call('POST', '/grants?dry_run=true', {
    body: {
      ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports' },
      ...{ source: 'beta', to: control.in(30), reason: 'pilot' },
    },
  })
  expect(answer.status).toBe(200)
  expect(answer.body).toMatchObject({ dry_run: true, seq: null })
  expect(answer.body.effect.changes[0].gained.organizations.ids).toEqual(['org_a'])
  expect((await control.auditRows()).length).toBe(rows)
  expect((await control.get('/grants')).body.data).toEqual([])
})

test('grants are listed by what they are about', async () => {
  await grant()
  await grant({ subject: { kind: 'user', id: 'u1' }, source: 'support' })
  await grant({ environment: 'staging', from: control.in(1) })
  for (const [query, expected] of [
    ['', 3],
    ['org=org_a', 2],
    ['user=u1', 1],
    ['user=org_a', 0],
    ['environment=staging', 1],
    ['flag=reports&source=support', 1],
    ['active=true', 2],
  ] as const) {
    expect((await control.get(`/grants?${query}`)).body.data.length, query).toBe(expected)
  }
})
