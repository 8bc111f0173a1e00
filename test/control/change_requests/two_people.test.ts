/**
 * Two people are two people: an API key is nobody, one name in two spellings is one person, and what a key requested does
 * not happen once the key is revoked or has expired.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import { SCHEDULER_NAME } from '../../../src/control/config.ts'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.liveFlag('reports')
  await control.organization('org_a')
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

type KeyRole = 'viewer' | 'editor' | 'admin' | 'approver'

/** `approver`: as the versions before could make one. */
async function makeKey(owner: string, role: KeyRole, days = 300) {
  const body = {
    name: 'a key',
    owner,
    role: role === 'approver' ? 'viewer' : role,
    ends_at: control.in(days),
  }
  const { data, secret } = await control.must('POST', '/api-keys', body)
  await bindings.DB.prepare('UPDATE api_keys SET role = ? WHERE id = ?').bind(role, data.id).run()
  return { id: data.id as string, secret: secret as string }
}

const personToken = (sub: string, role: string, claims = {}) =>
  control.operators.token({ roles: [role], sub, claims }, control.clock.now)

const post = (bearer: string, path: string, body: object) =>
  control.send(`/api/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'a test', ...body }),
  })

const grant = () => ({
  ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports', source: 'support' },
  to: control.in(30),
})

async function request(bearer: string) {
  const answer = await post(bearer, '/grants', grant())
  expect(answer.status).toBe(202)
  return answer.body.data
}

const editor = () => personToken('edith', 'editor')
const approver = () => personToken('anna', 'approver')
const read = async (id: string) => (await control.get(`/changes/${id}`)).body
const act = async (bearer: string, verb: string, { id, digest }: { id: string; digest: string }) =>
  post(bearer, `/changes/${id}/${verb}`, verb === 'approve' ? { digest } : {})
const grants = async () => (await control.get('/grants')).body.data

describe('an API key is nobody', () => {
  const roles: KeyRole[] = ['admin', 'approver']

  test.each(['approve', 'reject'].flatMap((verb) => roles.map((role) => [verb, role] as const)))(
    'to %s takes a person: a key of role %s is refused',
    async (verb, role) => {
      const change = await request(await editor())
      const { secret } = await makeKey('user:somebody', role)
      const answer = await act(secret, verb, change)
      expect([answer.status, answer.body.code]).toEqual([403, 'person_required'])
      expect(await read(change.id)).toMatchObject({ state: 'in_review', approvals: [], revision: 1 })
    },
  )

  test.each(roles)('a break-glass change is not reviewed with a key of role %s', async (role) => {
    const { environment, subject, flag } = grant()
    const glass = await personToken('gwen', 'break-glass')
    const broken = await post(glass, '/break-glass', { environment, subject, flag, ticket: 'INC-1' })
    const { secret } = await makeKey('user:somebody', role)
    expect((await act(secret, 'review', broken.body.data)).body.code).toBe('person_required')
    expect((await read(broken.body.data.id)).reviewed_at).toBeNull()
  })

  test('in the owner’s name it does not speak for the owner', async () => {
    await control.must('PATCH', '/flags/reports', { owner: 'user:olga' }, 2)
    const set = await control.call('PUT', '/policies/production', {
      body: { approvals: 1, owner_approves: true, reason: 'owners' },
      ifMatch: 2,
    })
    await act(await approver(), 'approve', set.body.data)
    await act(await approver(), 'apply', set.body.data)
    const change = await request((await makeKey('user:olga', 'editor')).secret)
    expect(change.flags).toEqual(['reports'])
  })

  test('what it approved under an earlier version counts no longer', async () => {
    const change = await request(await editor())
    await act(await approver(), 'approve', change)
    await bindings.DB.prepare(
      `UPDATE change_requests SET approvals = json_replace(approvals, '$[0].api_key', 'a-key')`,
    ).run()
    expect((await act(await editor(), 'apply', change)).body.code).toBe('approvals_missing')
    expect(await read(change.id)).toMatchObject({ state: 'in_review', problem: 'approvals_missing' })
    expect(await grants()).toEqual([])
    expect((await act(await approver(), 'approve', change)).body.data).toMatchObject({
      ...{ state: 'approved', problem: null },
    })
    expect((await act(await editor(), 'apply', change)).body.data.state).toBe('applied')
  })

  test('a new one cannot be made to approve, and those of before are listed', async () => {
    const body = { name: 'x', owner: 'user:x', role: 'approver', ends_at: control.in(9), reason: 'x' }
    expect((await control.call('POST', '/api-keys', { body })).status).toBe(400)
    const { id } = await makeKey('user:bot', 'approver')
    await makeKey('system:ci', 'editor')
    const { data } = (await control.get('/api-keys?role=approver', 'admin')).body
    expect(data.map((key: { id: string }) => key.id)).toEqual([id])
  })
})

describe('who is behind a key', () => {
  test.each([
    ['its owner', 'owner'],
    ['who made it', 'admin'],
    ['its owner, in another spelling', 'OWNER'],
  ])('%s does not approve what it requested, nor rejects it', async (_, sub) => {
    const { secret } = await makeKey('user:owner', 'editor')
    const change = await request(secret)
    expect(change).toMatchObject({ author: 'user:owner', author_key: expect.any(String) })
    const token = await personToken(sub, 'approver')
    expect((await act(token, 'approve', change)).body.code).toBe('self_approval')
    expect((await act(token, 'reject', change)).body.code).toBe('self_rejection')
    expect((await act(await approver(), 'approve', change)).body.data.state).toBe('approved')
  })

  test('if nobody knows who made it, nobody approves what it requested', async () => {
    const { secret } = await makeKey('system:old', 'editor')
    await bindings.DB.prepare('UPDATE api_keys SET created_by = NULL').run()
    const change = await request(secret)
    expect((await act(await approver(), 'approve', change)).body.code).toBe('author_unknown')
  })
})

describe('one person in two spellings', () => {
  const spellings = [
    ['edith', 'Edith'],
    ['zoë', 'zoe\u0308'],
    ['straße', 'STRASSE'],
    ['ﬁona', 'FIONA'],
  ] as const

  test.each(spellings)('%s and %s are one where that forbids something', async (one, other) => {
    const change = await request(await personToken(one, 'editor'))
    const same = await personToken(other, 'approver')
    expect((await act(same, 'approve', change)).body.code).toBe('self_approval')
    expect((await act(same, 'reject', change)).body.code).toBe('self_rejection')
  })

  test.each(spellings)('%s and %s do not approve twice', async (one, other) => {
    const set = await control.call('PUT', '/policies/production', {
      body: { approvals: 2, reason: 'two' },
      ifMatch: 2,
    })
    await act(await approver(), 'approve', set.body.data)
    await act(await approver(), 'apply', set.body.data)
    const change = await request(await personToken('edgar', 'editor'))
    await act(await personToken(one, 'approver'), 'approve', change)
    const again = await act(await personToken(other, 'approver'), 'approve', change)
    expect(again.body.code).toBe('already_approved')
    expect((await read(change.id)).state).toBe('in_review')
  })

  test.each(spellings)('%s and %s are two where it permits something', async (one, other) => {
    const change = await request(await personToken(one, 'editor'))
    const another = await personToken(other, 'editor')
    expect((await act(another, 'cancel', change)).body.code).toBe('change_not_yours')
  })

  test('does not renew break-glass before somebody has reviewed it', async () => {
    const { environment, subject, flag } = grant()
    const body = { environment, subject, flag, ticket: 'INC-1' }
    const first = await personToken('gwen', 'break-glass')
    expect((await post(first, '/break-glass', body)).status).toBe(201)
    control.clock.now += 3_600_000
    const again = await post(await personToken('Gwen', 'break-glass'), '/break-glass', body)
    expect(again.body.code).toBe('break_glass_unreviewed')
  })
})

describe('what a key requested', () => {
  const revoke = (id: string) => control.must('POST', `/api-keys/${id}/revoke`, {})
  const expire = async () => {
    control.clock.now += 20 * DAY_MS
  }
  const ends = [
    ['author_key_revoked', revoke],
    ['author_key_expired', expire],
  ] as const

  test.each(ends)('is not applied once it has ended: %s', async (problem, end) => {
    const { id, secret } = await makeKey('system:ci', 'editor', 10)
    const change = await request(secret)
    await act(await approver(), 'approve', change)
    await end(id)
    expect((await act(await editor(), 'apply', change)).body.code).toBe('change_stale')
    expect(await read(change.id)).toMatchObject({ state: 'stale', problem })
    expect(await grants()).toEqual([])
  })

  test.each(ends)('is not approved once it has ended: %s', async (problem, end) => {
    const { id, secret } = await makeKey('system:ci', 'editor', 10)
    const change = await request(secret)
    await end(id)
    expect((await act(await approver(), 'approve', change)).body.code).toBe('change_stale')
    expect(await read(change.id)).toMatchObject({ state: 'stale', problem, approvals: [] })
  })

  test('becomes stale by the cron, and another credential of the same author can request it again', async () => {
    const { id, secret } = await makeKey('system:ci', 'editor')
    const change = await request(secret)
    await act(await approver(), 'approve', change)
    await revoke(id)
    await bindings.SCHEDULER.getByName(SCHEDULER_NAME).tick()
    expect(await read(change.id)).toMatchObject({ state: 'stale', problem: 'author_key_revoked' })

    const next = await makeKey('system:ci', 'editor')
    const again = (await act(next.secret, 'submit', change)).body.data
    expect(again).toMatchObject({ state: 'in_review', author_key: next.id, approvals: [] })
    await act(await approver(), 'approve', again)
    expect((await act(next.secret, 'apply', again)).body.data.state).toBe('applied')
  })

  test('and is scheduled is not applied at its time', async () => {
    const { id, secret } = await makeKey('system:ci', 'editor')
    const asked = await post(secret, '/changes', {
      items: [{ action: 'grant.create', input: grant() }],
      apply_at: new Date(control.clock.now + 1_000).toISOString(),
    })
    const approved = await act(await approver(), 'approve', asked.body.data)
    expect(approved.body.data.state).toBe('scheduled')
    await revoke(id)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    await bindings.SCHEDULER.getByName(SCHEDULER_NAME).tick()
    expect(await read(asked.body.data.id)).toMatchObject({ state: 'stale', problem: 'author_key_revoked' })
    expect(await grants()).toEqual([])
  })
})

test.each([
  ...['scheduler', 'inbox', 'stripe', 'standard', 'workos', 'contract:C-9', 'drift', 'bootstrap', 'policies'],
  ...['Scheduler', 'standard/market', 'contract'],
])('system:%s is no owner of a key', async (name) => {
  const body = { name: 'x', owner: `system:${name}`, role: 'editor', ends_at: control.in(9), reason: 'x' }
  const answer = await control.call('POST', '/api-keys', { body })
  // A slash is in no owner's name.
  expect(answer.body.code).toBe(name.includes('/') ? 'request_invalid' : 'key_owner_reserved')
})
