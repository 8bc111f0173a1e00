/** What an API key cannot do: create others, or see and change what it does not cover. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
  await control.liveFlag('reports')
  await control.must('PUT', '/flags/reports/rules/staging', { access: 'all' }, 0)
  await control.organization('org_a')
  for (const environment of ['staging', 'production']) {
    await control.must('POST', '/grants', {
      ...{ environment, subject: { kind: 'org', id: 'org_a' }, flag: 'reports', source: 'beta' },
      to: control.in(3),
    })
  }
})

const make = (members: Record<string, unknown> = {}) =>
  control.must('POST', '/api-keys', {
    ...{ name: 'ci', owner: 'system:ci', role: 'admin', ends_at: control.in(3), ...members },
  })
const stagingKey = async () => {
  const { secret } = await make({ environments: ['staging'] })
  return (method: string, path: string, body?: object) =>
    control.call(method, path, {
      ...{ role: null, headers: { authorization: `Bearer ${secret}` } },
      ...(body && { body }),
    })
}
const audited = async () => (await control.auditRows()).length

test.each([[null], [['staging']]])(
  'an admin’s key for %j makes no other, which would outlive or exceed it',
  async (environments) => {
    const { secret } = await make({ environments })
    const before = await audited()
    for (const dryRun of ['', '?dry_run=true']) {
      const answer = await control.call('POST', `/api-keys${dryRun}`, {
        ...{ role: null, headers: { authorization: `Bearer ${secret}` } },
        body: { name: 'b', owner: 'user:ceo', role: 'admin', ends_at: control.in(300), reason: 'x' },
      })
      expect(answer.status).toBe(403)
      expect(answer.body.code).toBe('person_required')
      expect(answer.body.secret).toBeUndefined()
    }
    expect(await audited()).toBe(before)
  },
)

describe('a key for staging', () => {
  test('revokes a key for staging, and none that reaches further', async () => {
    const call = await stagingKey()
    const [near, far] = [await make({ environments: ['staging'] }), await make()]
    expect((await call('POST', `/api-keys/${near.data.id}/revoke`, { reason: 'x' })).status).toBe(200)
    const answer = await call('POST', `/api-keys/${far.data.id}/revoke`, { reason: 'x' })
    expect(answer.body.code).toBe('environment_forbidden')
  })

  test.each([
    ['POST', '/publishing/production/rebuild'],
    ['GET', '/flags/reports/rules/production'],
    ['GET', '/orgs/org_a/entitlements?environment=production'],
    ['GET', '/grants?environment=production'],
    ['GET', '/audit?environment=production'],
  ])('is refused %s %s', async (method, path) => {
    const call = await stagingKey()
    const body = method === 'POST' ? { body: {} } : {}
    expect((await control.call(method, path, body)).status).toBeLessThan(300)
    const refused = await call(method, path, method === 'POST' ? {} : undefined)
    expect(refused.status).toBe(403)
    expect(refused.body.code).toBe('environment_forbidden')
    expect((await call('GET', path.replace('production', 'staging'))).status).not.toBe(403)
  })

  test.each([['/grants'], ['/audit'], ['/publishing'], ['/flags'], ['/flags/reports']])(
    'sees nothing of production at %s',
    async (path) => {
      const call = await stagingKey()
      const answer = await call('GET', path)
      expect(answer.status).toBe(200)
      const text = JSON.stringify(answer.body)
      expect(text).toContain('"environment":"staging"')
      expect(text).not.toContain('"environment":"production"')
    },
  )

  test('does not find a grant of production by its id', async () => {
    const call = await stagingKey()
    const { data } = (await control.get('/grants?environment=production')).body
    expect((await call('GET', `/grants/${data[0].id}`)).status).toBe(404)
  })
})
