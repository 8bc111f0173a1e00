/** Who is behind an API key's request: by an identity token of the CI system, mapped to a person. */
import { beforeEach, describe, expect, test } from 'vitest'
import { parseConfig } from '../../../src/control/config.ts'
import { type ControlUnderTest, setUp } from '../support/control.ts'
import { CI_AUDIENCE, type TokenOptions } from '../support/operators.ts'

const CI = { CI_PROVIDER: 'github', CI_AUDIENCE, CI_PROJECTS: 'acme/infra,acme/flags' }

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.liveFlag('reports')
  await control.organization('org_a')
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}
beforeEach(async () => {
  control = await setUp(CI, { seed })
})

async function makeKey() {
  const { secret } = await control.must('POST', '/api-keys', {
    ...{ name: 'ci', owner: 'system:ci', role: 'editor', ends_at: control.in(9) },
  })
  return secret as string
}
const token = (options: TokenOptions = {}) => control.operators.ciToken(options, control.clock.now)

async function request(behind: string | undefined, key?: string) {
  return control.call('POST', '/grants', {
    role: null,
    headers: {
      authorization: `Bearer ${key ?? (await makeKey())}`,
      ...(behind !== undefined && { 'remint-on-behalf-of': behind }),
    },
    body: {
      ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports' },
      ...{ source: 'support', to: control.in(30), reason: 'a test' },
    },
  })
}
const approve = async (sub: string, { id, digest }: { id: string; digest: string }) => {
  const bearer = await control.operators.token({ roles: ['approver'], sub }, control.clock.now)
  return control.call('POST', `/changes/${id}/approve`, {
    ...{ role: null, headers: { authorization: `Bearer ${bearer}` }, body: { digest } },
  })
}
const octocat = (identities = ['github:octocat']) =>
  control.must('PUT', '/people/user:ada', { identities }, 0)

describe('a person whom the CI system names', () => {
  test('is on record, in the request and in the audit log, and cannot approve it', async () => {
    await octocat()
    const change = (await request(await token())).body.data
    expect(change).toMatchObject({
      ...{ author: 'system:ci', required: 1 },
      on_behalf_of: { identity: 'github:octocat', person: 'user:ada' },
    })
    const own = await approve('ada', change)
    expect([own.status, own.body.code]).toEqual([403, 'self_approval'])
    expect((await approve('ben', change)).body.data.state).toBe('approved')
    const bearer = await control.operators.token({ roles: ['approver'], sub: 'ben' }, control.clock.now)
    await control.call('POST', `/changes/${change.id}/apply`, {
      ...{ role: null, headers: { authorization: `Bearer ${bearer}` }, body: {} },
    })
    const rows = (await control.auditRows()).filter((row) => row.change === change.id)
    expect(rows.map(({ action, on_behalf_of }) => [action, on_behalf_of])).toEqual([
      ['change.open', 'user:ada'],
      ['change.approve', null],
      ['grant.create', 'user:ada'],
      ['change.apply', null],
    ])
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
  })

  test('who is unknown here makes one more approval necessary', async () => {
    const change = (await request(await token())).body.data
    expect(change).toMatchObject({ required: 2, on_behalf_of: { identity: 'github:octocat', person: null } })
    expect((await approve('ben', change)).body.data.state).toBe('in_review')
    expect((await approve('cleo', change)).body.data.state).toBe('approved')
  })

  test('who becomes known after the request cannot approve it either', async () => {
    const change = (await request(await token())).body.data
    await octocat()
    expect((await approve('ada', change)).body.code).toBe('self_approval')
  })

  test('has no case in the login, nor has the repository', async () => {
    await octocat(['github:OctoCat'])
    const behind = await token({ claims: { actor: 'OCTOCAT', repository: 'Acme/Flags' } })
    expect((await request(behind)).body.data.on_behalf_of.person).toBe('user:ada')
  })

  test('who has left is refused, and what they started becomes stale', async () => {
    await octocat()
    const key = await makeKey()
    const change = (await request(await token(), key)).body.data
    await approve('ben', change)
    await control.must('POST', '/people/user:ada/leave', {})
    expect((await request(await token(), key)).body.code).toBe('person_gone')
    const applied = await control.call('POST', `/changes/${change.id}/apply`, { body: { reason: 'x' } })
    expect(applied.body.code).toBe('change_stale')
    expect((await control.get(`/changes/${change.id}`)).body.problem).toBe('author_gone')
  })
})

test('without a token, a key’s request is as before', async () => {
  const change = (await request(undefined)).body.data
  expect(change).toMatchObject({ required: 1, on_behalf_of: null })
  expect((await approve('ben', change)).body.data.state).toBe('approved')
})

describe('refused is a token', () => {
  const cases: [string, (now: number) => TokenOptions][] = [
    ['of another repository', () => ({ claims: { repository: 'mallory/flags' } })],
    ['of a repository whose name begins like ours', () => ({ claims: { repository: 'acme/flags-2' } })],
    ['without a repository', () => ({ claims: { repository: undefined } })],
    ['without a login', () => ({ claims: { actor: undefined } })],
    ['whose login is none', () => ({ claims: { actor: 'a b' } })],
    ['for another audience', () => ({ audience: 'https://elsewhere.test' })],
    ['of another issuer', () => ({ issuer: 'https://operators.test' })],
    ['that has expired', (now) => ({ exp: now / 1000 - 60 })],
    ['of the future', (now) => ({ claims: { iat: now / 1000 + 600 } })],
    ['of another algorithm', () => ({ header: { alg: 'ES256', kid: 'es' } })],
  ]
  test.each(cases)('%s, and nothing is requested', async (_, options) => {
    const made = token(options(control.clock.now)).catch(() => 'a.b.c')
    const answer = await request(await made)
    expect([answer.status, answer.body.code]).toEqual([403, 'on_behalf_of_refused'])
    expect((await control.get('/changes')).body.data).toEqual([])
  })

  test('that is none', async () => {
    for (const text of ['', 'a.b.c', 'Bearer x']) {
      expect((await request(text)).body.code).toBe('on_behalf_of_refused')
    }
  })

  test('of a person, who speaks for themselves', async () => {
    const answer = await control.call('GET', '/me', {
      role: 'editor',
      headers: { 'remint-on-behalf-of': await token() },
    })
    expect(answer.body.code).toBe('on_behalf_of_refused')
  })

  test('where no CI system is configured', async () => {
    control = await setUp({}, { seed })
    expect((await request(await token())).body.code).toBe('on_behalf_of_refused')
  })

  test('as a bearer token', async () => {
    const headers = { authorization: `Bearer ${await token()}` }
    expect((await control.call('GET', '/me', { role: null, headers })).body.code).toBe('token_refused')
  })
})

test.each([
  [
    { CI_PROVIDER: 'github' },
    ['CI_AUDIENCE: is required with CI_PROVIDER', 'CI_PROJECTS: is required with CI_PROVIDER'],
  ],
  [{ ...CI, CI_PROVIDER: 'jenkins' }, ['CI_PROVIDER: must be one of github, gitlab']],
  [
    { ...CI, CI_PROJECTS: 'acme' },
    ['CI_PROJECTS: must be repositories or projects such as acme/flags,acme/infra'],
  ],
  [{ CI_ISSUER: 'https://ci.test' }, ['CI_PROVIDER: is required with CI_ISSUER']],
])('configuration %j has problems', (vars, problems) => {
  const parsed = parseConfig({ ...control.environment, ...noCi, ...vars })
  expect(parsed.ok ? [] : parsed.problems).toEqual(problems)
})
const noCi = { CI_PROVIDER: undefined, CI_AUDIENCE: undefined, CI_PROJECTS: undefined }
