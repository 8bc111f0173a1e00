/** Explain: every flag on or off, why, the other candidates, what pays for it and until when. */
import { beforeEach, describe, expect, test } from 'vitest'
import { type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

describe('over the API', () => {
  let control: ControlUnderTest
  const seed = async (control: ControlUnderTest) => {
    await control.liveFlag('reports')
    await control.liveFlag('sso', { access: 'none' })
    await control.must('POST', '/plans', { key: 'team', name: 'T', flags: ['reports', 'sso'] })
    await control.organization('org_a', 'team')
  }
  beforeEach(async () => {
    control = await setUp({}, { seed })
  })

  const explain = async (query = '') =>
    (await control.get(`/orgs/org_a/entitlements?environment=production${query}`)).body
  const grant = (members: Record<string, unknown> = {}) =>
    control.must('POST', '/grants', {
      ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports' },
      ...{ source: 'beta', to: control.in(30) },
      ...members,
    })
  const flagOf = (body: { flags: { flag: string; on: boolean; reason: string }[] }, flag = 'reports') =>
    body.flags.find((one) => one.flag === flag)

  test('says what pays for a flag, and who lost', async () => {
    const { data } = await grant()
    const flag = flagOf(await explain())
    expect(flag).toMatchObject({
      ...{ on: true, reason: 'beta', ends_at: control.in(30) },
      funded_by: { id: data.id, to: control.in(30) },
      lost: [
        { reason: 'contract', id: 'contract-org_a', through: 'team', counts: true },
        { reason: 'default', on: false },
      ],
    })
    expect(flagOf(await explain(), 'sso')).toMatchObject({
      ...{ on: false, reason: 'rule_none', funded_by: null },
      lost: [{ reason: 'contract', id: 'contract-org_a' }, { reason: 'default' }],
    })
  })

  test('hears what does not count, and says so', async () => {
    await grant({ from: control.in(5) })
    const contractOnly = flagOf(await explain())
    expect(contractOnly).toMatchObject({ reason: 'contract', ends_at: null })
    expect(contractOnly).toMatchObject({ lost: [{ reason: 'beta', counts: false }, { reason: 'default' }] })
  })

  test('counts a user’s own grants', async () => {
    await grant({ subject: { kind: 'user', id: 'u1' }, effect: 'deny' })
    expect(flagOf(await explain())?.on).toBe(true)
    expect(flagOf(await explain('&user=u1'))).toMatchObject({ on: false, reason: 'denied' })
  })

  test('tells the future', async () => {
    await grant({ source: 'support', to: control.in(10) })
    expect(flagOf(await explain(`&at=${control.in(9)}`))?.reason).toBe('support')
    expect(flagOf(await explain(`&at=${control.in(10)}`))?.reason).toBe('contract')
  })

  test('tells the past from the audit log, rule, plan, contract and grant alike', async () => {
    const times: string[] = []
    const seen: unknown[] = []
    const later = async () => {
      const body = await explain()
      times.push(body.at)
      seen.push(body)
      control.clock.now += DAY_MS
    }
    await later()
    const { data } = await grant()
    await later()
    await control.must('POST', '/flags/reports/rules/production/kill', {})
    await later()
    await control.must('POST', '/flags/reports/rules/production/revive', {})
    await control.must('POST', `/grants/${data.id}/revoke`, {})
    await later()
    await control.must('PUT', '/orgs/org_a/contracts/contract-org_a', {
      ...{ plan: 'team', status: 'cancelled', revision: 2, from: times[0] },
    })
    await control.must('PATCH', '/plans/team', { flags: ['sso'] }, 1)
    await control.must('POST', '/flags/sso/state', { state: 'retiring' }, 2)
    await control.must('POST', '/flags/sso/state', { state: 'retired' }, 3)
    await later()
    for (const [index, at] of times.entries()) expect(await explain(`&at=${at}`)).toEqual(seen[index])
    const reasons = seen.map((body) => flagOf(body as never)?.reason)
    expect(reasons).toEqual(['contract', 'beta', 'killed', 'contract', 'default'])
  })

  test.each([
    ['an unknown organization', '/orgs/org_x/entitlements?environment=production', 404],
    ['an unknown environment', '/orgs/org_a/entitlements?environment=moon', 404],
    ['no environment', '/orgs/org_a/entitlements', 400],
    ['a time that is none', '/orgs/org_a/entitlements?environment=production&at=yesterday', 400],
  ])('of %s is refused', async (_, path, status) => {
    expect((await control.get(path)).status).toBe(status)
  })

  test('of a time before the organization existed is not found', async () => {
    const answer = await control.get(`/orgs/org_a/entitlements?environment=production&at=${control.in(-9)}`)
    expect(answer.status).toBe(404)
  })
})
