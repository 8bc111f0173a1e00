/** People: roles assigned here, other names of one person, who has left, and what can be erased. */
import { beforeEach, describe, expect, test } from 'vitest'
import { SCHEDULER_NAME } from '../../../src/control/config.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.liveFlag('reports')
  await control.organization('org_a')
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

const as = async (sub: string, method: string, path: string, body?: object, roles: string[] = []) => {
  const token = await control.operators.token({ roles, sub }, control.clock.now)
  return control.call(method, path, {
    ...{ role: null, headers: { authorization: `Bearer ${token}` } },
    ...(body && { body: { reason: 'a test', ...body } }),
  })
}
const put = (subject: string, body: object = {}, revision = 0) =>
  control.call('PUT', `/people/${encodeURIComponent(subject)}`, {
    body: { reason: 'a test', ...body },
    ifMatch: revision,
  })
const verb = (subject: string, name: string) =>
  control.call('POST', `/people/${encodeURIComponent(subject)}/${name}`, { body: { reason: 'a test' } })
const grant = () => ({
  ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports', source: 'support' },
  to: control.in(30),
})
const makeKey = async (owner: string) => {
  const { secret } = await control.must('POST', '/api-keys', {
    ...{ name: 'a key', owner, role: 'editor', ends_at: control.in(9) },
  })
  return { authorization: `Bearer ${secret}` }
}
const read = async (id: string) => (await control.get(`/changes/${id}`)).body

describe('roles that are assigned here', () => {
  test('count besides those of the identity provider, for exactly that subject', async () => {
    expect((await as('ada', 'GET', '/me')).status).toBe(403)
    expect((await put('user:ada', { roles: ['editor', 'approver'] })).status).toBe(201)
    const { body } = await as('ada', 'GET', '/me', undefined, ['viewer'])
    expect(body.roles).toEqual(['viewer', 'editor', 'approver'])
    expect((await as('ADA', 'GET', '/me')).status).toBe(403)
    await put('user:ada', { roles: [] }, 1)
    expect((await as('ada', 'GET', '/me')).status).toBe(403)
  })

  test('count for the other log-in of the same person, who cannot approve by one what they requested by the other', async () => {
    await put('user:ada', { roles: ['editor', 'approver'], identities: ['user:ada@example.com'] })
    const change = (await as('ada', 'POST', '/grants', grant())).body.data
    const approve = { digest: change.digest }
    const own = await as('ada@example.com', 'POST', `/changes/${change.id}/approve`, approve)
    expect([own.status, own.body.code]).toEqual([403, 'self_approval'])
    expect((await as('ben', 'POST', `/changes/${change.id}/approve`, approve, ['approver'])).status).toBe(200)
  })

  test.each([
    ['the subject of another', 'user:ben', []],
    ['a spelling of another', 'user:BEN', []],
    ['an identity of another', 'user:cleo', ['github:BenB']],
    ['another as an identity', 'user:cleo', ['user:Ben']],
  ])('%s is not given twice', async (_, subject, identities) => {
    await put('user:ben', { identities: ['github:benb'] })
    const answer = await put(subject, { identities }, 0)
    const code = subject === 'user:ben' ? 'revision_conflict' : 'identity_taken'
    expect(answer.body.code).toBe(code)
  })
})

describe('a person who has left', () => {
  test('opens nothing, in any spelling and by any name, until they are back', async () => {
    await put('user:ada', { roles: ['editor'], identities: ['user:ada@example.com'] })
    const key = await makeKey('user:ada')
    expect((await verb('user:ada', 'leave')).body.data.gone_at).not.toBeNull()
    for (const name of ['ada', 'ADA', 'ada@example.com']) {
      const answer = await as(name, 'GET', '/me', undefined, ['admin'])
      expect([name, answer.status, answer.body.code]).toEqual([name, 403, 'person_gone'])
    }
    const assertion = await control.operators.assertion('ada@example.com', control.clock.now)
    const access = { role: null, headers: { 'cf-access-jwt-assertion': assertion } }
    expect((await control.call('GET', '/me', access)).body.code).toBe('person_gone')
    expect((await control.call('GET', '/me', { role: null, headers: key })).body.code).toBe('person_gone')
    await verb('user:ada', 'return')
    expect((await as('ada', 'GET', '/me')).status).toBe(200)
    expect((await control.call('GET', '/me', { role: null, headers: key })).status).toBe(200)
  })

  test('need not have been known before', async () => {
    expect((await verb('user:nobody', 'leave')).status).toBe(200)
    expect((await as('nobody', 'GET', '/me', undefined, ['admin'])).body.code).toBe('person_gone')
  })

  test('is never oneself, in any spelling', async () => {
    for (const subject of ['user:admin', 'user:ADMIN']) {
      expect((await verb(subject, 'leave')).body.code).toBe('person_self')
    }
    expect((await control.get('/me', 'admin')).status).toBe(200)
  })

  test('has requested nothing that is still done: approved, scheduled or in review', async () => {
    const open = async (body: object = {}) =>
      (
        await as(
          'ada',
          'POST',
          '/changes',
          { items: [{ action: 'grant.create', input: grant() }], ...body },
          ['editor'],
        )
      ).body.data
    const approve = (change: { id: string; digest: string }) =>
      as('ben', 'POST', `/changes/${change.id}/approve`, { digest: change.digest }, ['approver'])
    const [approved, scheduled, inReview] = [
      await open(),
      await open({ apply_at: control.in(1) }),
      await open(),
    ]
    expect((await approve(approved)).body.data.state).toBe('approved')
    expect((await approve(scheduled)).body.data.state).toBe('scheduled')
    await verb('user:ada', 'leave')
    expect((await as('ben', 'POST', `/changes/${approved.id}/apply`, {}, ['approver'])).body.code).toBe(
      'change_stale',
    )
    expect((await approve(inReview)).body.code).toBe('change_stale')
    await bindings.SCHEDULER.getByName(SCHEDULER_NAME).tick()
    for (const { id } of [approved, scheduled, inReview]) {
      expect(await read(id)).toMatchObject({ state: 'stale', problem: 'author_gone' })
    }
    expect((await control.get('/grants')).body.data).toEqual([])
  })

  test('has approved nothing that is still to be applied', async () => {
    const change = (await as('ada', 'POST', '/grants', grant(), ['editor'])).body.data
    await as('ben', 'POST', `/changes/${change.id}/approve`, { digest: change.digest }, ['approver'])
    await verb('user:ben', 'leave')
    const answer = await as('ada', 'POST', `/changes/${change.id}/apply`, {}, ['editor'])
    expect(answer.body.code).toBe('approvals_missing')
    expect(await read(change.id)).toMatchObject({ state: 'in_review', problem: 'approvals_missing' })
  })
})

test('names and addresses are in no audit row, and are erased; the subject stays', async () => {
  const name = { name: 'Ada Lovelace', email: 'ada.l@example.com' }
  await put('user:ada', { ...name, roles: ['viewer'] })
  expect((await control.call('GET', '/people/user:ada')).body).toMatchObject(name)
  await verb('user:ada', 'erase')
  expect((await control.call('GET', '/people')).body.data).toMatchObject([
    { subject: 'user:ada', name: null, email: null, roles: ['viewer'] },
  ])
  const rows = (await control.auditRows()).filter(({ entity }) => entity === 'person:user:ada')
  expect(rows.map(({ action }) => action)).toEqual(['person.put', 'person.erase'])
  expect(JSON.stringify(rows)).not.toMatch(/Lovelace|ada\.l/)
  expect((await control.get('/audit/verify')).body.intact).toBe(true)
})

test.each([
  ['PUT', '/people/user:ada', { roles: ['admin'] }],
  ['POST', '/people/user:ada/leave', {}],
  ['POST', '/people/user:ada/return', {}],
  ['POST', '/people/user:ada/erase', {}],
])('%s %s takes a person', async (method, path, body) => {
  const { secret } = await control.must('POST', '/api-keys', {
    ...{ name: 'a key', owner: 'system:ci', role: 'admin', ends_at: control.in(9) },
  })
  const answer = await control.call(method, path, {
    ...{ role: null, headers: { authorization: `Bearer ${secret}` }, ifMatch: 0 },
    body: { reason: 'a test', ...body },
  })
  expect([answer.status, answer.body.code]).toEqual([403, 'person_required'])
})
