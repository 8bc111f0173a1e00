/** Read-only routes: each once with a result, and once for something that does not exist. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
let grant: string
beforeAll(async () => {
  control = await setUp()
  await control.liveFlag('reports')
  await control.must('POST', '/plans', { key: 'team', name: 'T', flags: ['reports'] })
  await control.organization('org_a', 'team')
  const { data } = await control.must('POST', '/grants', {
    ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports' },
    ...{ source: 'beta', to: control.in(3) },
  })
  grant = data.id
})

describe('there is', () => {
  test.each<[string, () => string, Record<string, unknown>]>([
    ['who asks', () => '/me', { actor: 'user:viewer', roles: ['viewer'], environments: null }],
    [
      'the environments',
      () => '/environments',
      {
        data: [
          { name: 'staging', protected: false },
          // The policy of this test's production requires no approval.
          { name: 'production', protected: false },
        ],
      },
    ],
    ['a flag', () => '/flags/reports', { key: 'reports', plans: ['team'] }],
    ['a rule', () => '/flags/reports/rules/production', { access: 'some', revision: 1 }],
    ['a rule that nobody set', () => '/flags/reports/rules/staging', { access: 'none', revision: 0 }],
    ['a plan', () => '/plans/team', { key: 'team', flags: ['reports'] }],
    ['an organization', () => '/orgs/org_a', { id: 'org_a', not_before: 0 }],
    ['a contract', () => '/orgs/org_a/contracts/contract-org_a', { plan: 'team', status: 'active' }],
    ['a grant', () => `/grants/${grant}`, { flag: 'reports', source: 'beta' }],
  ])('%s', async (_, path, expected) => {
    const answer = await control.get(path())
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject(expected)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const { revision } = answer.body
    expect(answer.headers.get('etag')).toBe(revision === undefined ? null : `"${revision}"`)
  })
})

test.each([
  ['/flags/nothing', 404, 'not_found'],
  ['/flags/NO', 400, 'request_invalid'],
  ['/flags/nothing/rules/production', 404, 'not_found'],
  ['/flags/reports/rules/moon', 404, 'environment_unknown'],
  ['/plans/gold', 404, 'not_found'],
  ['/orgs/org_x', 404, 'not_found'],
  ['/orgs/org_a/contracts/C-9', 404, 'not_found'],
  ['/grants/nothing', 404, 'not_found'],
  ['/audit?cursor=YWJj', 400, 'cursor_invalid'],
  ['/audit/verify?from=0', 400, 'request_invalid'],
])('%s is refused', async (path, status, code) => {
  const answer = await control.get(path)
  expect(answer.status).toBe(status)
  expect(answer.body.code).toBe(code)
})

test('a rebuild of an environment that there is not is refused', async () => {
  const answer = await control.call('POST', '/publishing/moon/rebuild', { body: {} })
  expect(answer.status).toBe(404)
  expect(answer.body.code).toBe('environment_unknown')
})

test('an effective diff reads only those whom a rule can touch', async () => {
  const statements = async (access: string) => {
    const answer = await control.call('PUT', '/flags/reports/rules/production?dry_run=true', {
      body: { access, reason: 'x' },
      ifMatch: 1,
    })
    expect(answer.status).toBe(200)
    return Number(answer.headers.get('server-timing')?.match(/(\d+) statements/)?.[1])
  }
  expect(await statements('all')).toBe((await statements('none')) + 1)
})
