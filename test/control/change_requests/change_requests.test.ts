/**
 * Change requests: what requires approval is requested, approved by somebody else, and applied only if it is still exactly
 * what was approved.
 */
import { runDurableObjectAlarm } from 'cloudflare:test'
import { beforeEach, describe, expect, test } from 'vitest'
import { SCHEDULER_NAME } from '../../../src/control/config.ts'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.must('POST', '/plans', { key: 'team', name: 'Team' })
  await control.liveFlag('reports')
  await control.liveFlag('exports')
  await control.organization('org_a', 'team')
  await control.organization('org_b', 'team')
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

const grant = (org: string, flag = 'reports', environment = 'production') => ({
  ...{ environment, subject: { kind: 'org', id: org }, flag, source: 'support' },
  to: new Date(control.clock.now + 30 * DAY_MS).toISOString(),
})

async function ask(role: 'editor' | 'admin' | 'break-glass' = 'editor', body: object = grant('org_a')) {
  const answer = await control.call('POST', '/grants', {
    role,
    body: { ...body, reason: 'they asked', ticket: 'SUP-1' },
  })
  expect(answer.status).toBe(202)
  return answer.body.data
}

const act = (
  id: string,
  verb: string,
  role: 'editor' | 'approver' | 'admin' | 'break-glass' | 'viewer',
  body: Record<string, unknown> = {},
) => control.call('POST', `/changes/${id}/${verb}`, { role, body: { reason: 'a test', ...body } })

const read = async (id: string) => (await control.get(`/changes/${id}`)).body
const has = async (org: string, flag = 'reports') => {
  const { body } = await control.get(`/orgs/${org}/entitlements?environment=production`)
  return body.flags.find((one: { flag: string }) => one.flag === flag)?.on
}

describe('a write that the policy wants approved', () => {
  test('is not done, and becomes a change request with its effective diff', async () => {
    const answer = await control.call('POST', '/grants', {
      role: 'editor',
      body: { ...grant('org_a'), reason: 'they asked', ticket: 'SUP-1' },
    })
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toBe(`/api/v1/changes/${answer.body.data.id}`)
    expect(answer.body.data).toMatchObject({
      ...{ kind: 'change', state: 'in_review', author: 'user:editor', ticket: 'SUP-1', required: 1 },
      items: [{ action: 'grant.create', input: { flag: 'reports' } }],
      effect: { changes: [{ flag: 'reports', gained: { organizations: { ids: ['org_a'] } } }] },
      environments: ['production'],
    })
    expect(await has('org_a')).toBe(false)
  })

  test('is shown by a dry run, with who would have to agree', async () => {
    const { status, body } = await control.call('POST', '/grants?dry_run=true', {
      role: 'editor',
      body: { ...grant('org_a'), reason: 'they asked' },
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({ dry_run: true, requires_approval: ['production'], seq: null })
    expect((await control.get('/changes')).body.data).toEqual([])
  })

  test('sent again with the same Idempotency-Key is one request', async () => {
    const options = {
      ...{ role: 'editor' as const, headers: { 'idempotency-key': 'k1' } },
      body: { ...grant('org_a'), reason: 'they asked' },
    }
    const [first, second] = [
      await control.call('POST', '/grants', options),
      await control.call('POST', '/grants', options),
    ]
    expect([first.status, second.status]).toEqual([202, 202])
    expect(second.body.data.id).toBe(first.body.data.id)
    expect((await control.get('/changes')).body.data).toHaveLength(1)
  })

  const kill = () => control.must('POST', '/flags/reports/rules/production/kill', {})
  const retiring = () => approved('flag.move', { flag: 'reports', state: 'retiring' })
  const nothing = async () => {}
  test.each([
    ['a rule', nothing, 'PUT', '/flags/reports/rules/production', { access: 'all' }, 1],
    ['a revival', kill, 'POST', '/flags/reports/rules/production/revive', {}, undefined],
    ['a plan’s flags', nothing, 'PATCH', '/plans/team', { flags: ['reports'] }, 1],
    ['a plan’s grace', nothing, 'PATCH', '/plans/team', { grace_days: 30 }, 1],
    ['a contract', nothing, 'PUT', '/orgs/org_a/contracts/C-9', CONTRACT, undefined],
    ['a flag that leaves the catalog', retiring, 'POST', '/flags/reports/state', { state: 'retired' }, 3],
    ['a policy', nothing, 'PUT', '/policies/production', { approvals: 0 }, 2],
  ])('%s is asked for', async (_, before, method, path, body, ifMatch) => {
    await before()
    const answer = await control.call(method, path, {
      body: { ...body, reason: 'a test' },
      ...(ifMatch !== undefined && { ifMatch }),
    })
    expect(answer.status).toBe(202)
    expect(answer.body.data.state).toBe('in_review')
  })

  test.each([
    [
      'in an environment whose policy asks for nothing',
      'PUT',
      '/flags/reports/rules/staging',
      { access: 'all' },
      0,
      200,
    ],
    ['that changes what a flag says about itself', 'PATCH', '/flags/reports', { name: 'Reports' }, 2, 200],
    ['that changes what a plan says about itself', 'PATCH', '/plans/team', { name: 'Teams' }, 1, 200],
    ['that registers an organization', 'POST', '/orgs', { id: 'org_new', name: 'New' }, undefined, 201],
    ['that kills', 'POST', '/flags/reports/rules/production/kill', {}, undefined, 200],
  ])('one %s is done at once', async (_, method, path, body, ifMatch, status) => {
    const answer = await control.call(method, path, {
      body: { ...body, reason: 'a test' },
      ...(ifMatch !== undefined && { ifMatch }),
    })
    expect(answer.status).toBe(status)
    expect(answer.body.seq).toBeGreaterThan(0)
  })

  test('a grant’s end is asked for too', async () => {
    const { input } = (await approved('grant.create', grant('org_a'))).items[0]
    const answer = await control.call('POST', `/grants/${input.id}/revoke`, {
      role: 'editor',
      body: { reason: 'over' },
    })
    expect(answer.status).toBe(202)
    expect(await has('org_a')).toBe(true)
  })

  test('where nobody has set a policy, the last environment requires one approval', async () => {
    const fresh = await setUp({}, { guarded: true })
    expect((await fresh.get('/policies')).body.data).toEqual([
      { environment: 'staging', approvals: 0, ...DEFAULTS },
      { environment: 'production', approvals: 1, ...DEFAULTS },
    ])
    await fresh.must('POST', '/flags', { key: 'x', name: 'x', kind: 'rollout', owner: 'team-a' })
    const answer = await fresh.call('PUT', '/flags/x/rules/production', {
      body: { access: 'all', reason: 'a test' },
      ifMatch: 0,
    })
    expect(answer.status).toBe(202)
  })
})

const DEFAULTS = { owner_approves: false, exclusive: [], kinds: {}, flags: {}, revision: 0 }
const CONTRACT = { plan: 'team', status: 'active', from: '2026-01-01T00:00:00.000Z', revision: 1 }

/** Requested by an editor, approved by the approver, applied. */
async function approved(action: string, input: object) {
  const asked = await control.call('POST', '/changes', {
    role: 'editor',
    body: { items: [{ action, input }], reason: 'a test' },
  })
  expect(asked.status).toBe(201)
  const { id, digest } = asked.body.data
  await act(id, 'approve', 'approver', { digest })
  const applied = await act(id, 'apply', 'editor')
  expect(applied.body.data.state).toBe('applied')
  return applied.body.data
}

describe('approval', () => {
  test('by another is what lets it be applied, and both are on record', async () => {
    const { id, digest } = await ask()
    expect((await act(id, 'apply', 'editor')).body.code).toBe('approvals_missing')
    const answer = await act(id, 'approve', 'approver', { digest, reason: 'agreed' })
    expect(answer.body.data).toMatchObject({
      state: 'approved',
      approvals: [{ actor: 'user:approver', digest }],
    })
    expect(await has('org_a')).toBe(false)
    expect((await act(id, 'apply', 'editor')).body.data.state).toBe('applied')
    expect(await has('org_a')).toBe(true)
    const rows = (await control.auditRows()).filter((row) => row.change === id)
    expect(rows.map(({ action, actor }) => `${action} ${actor}`)).toEqual([
      'change.open user:editor',
      'change.approve user:approver',
      'grant.create user:editor',
      'change.apply user:editor',
    ])
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
  })

  test.each([
    ['its author', 'admin', 'self_approval', 403],
    ['somebody with another digest', 'approver', 'digest_mismatch', 409],
    ['a viewer', 'viewer', 'role_missing', 403],
    ['an editor', 'editor', 'role_missing', 403],
  ] as const)('by %s is refused', async (_, role, code, status) => {
    const { id, digest } = await ask('admin')
    const sent = code === 'digest_mismatch' ? '0'.repeat(64) : digest
    const answer = await act(id, 'approve', role, { digest: sent })
    expect([answer.status, answer.body.code]).toEqual([status, code])
    expect((await read(id)).approvals).toEqual([])
  })

  test('counts once for each person', async () => {
    await approvedPolicy({ approvals: 2 })
    const { id, digest } = await ask()
    expect((await act(id, 'approve', 'approver', { digest })).body.data.state).toBe('in_review')
    expect((await act(id, 'approve', 'approver', { digest })).body.code).toBe('already_approved')
    expect((await act(id, 'approve', 'admin', { digest })).body.data.state).toBe('approved')
  })

  test('is void after an edit, which only the author can make', async () => {
    const { id, digest } = await ask()
    await act(id, 'approve', 'approver', { digest })
    const edit = (role: 'editor' | 'admin', revision: number) =>
      control.call('PATCH', `/changes/${id}`, {
        role,
        body: { items: [{ action: 'grant.create', input: grant('org_b') }], reason: 'the other one' },
        ifMatch: revision,
      })
    expect((await edit('admin', 2)).body.code).toBe('change_not_yours')
    expect((await edit('editor', 2)).body.data).toMatchObject({ state: 'in_review', approvals: [] })
    expect((await act(id, 'apply', 'editor')).body.code).toBe('approvals_missing')
    expect((await act(id, 'approve', 'approver', { digest })).body.code).toBe('digest_mismatch')
  })

  test('is not enough when the policy has come to ask for more', async () => {
    const { id, digest } = await ask()
    await act(id, 'approve', 'approver', { digest })
    await approvedPolicy({ approvals: 2 })
    expect((await act(id, 'apply', 'editor')).body.code).toBe('approvals_missing')
    expect(await has('org_a')).toBe(false)
  })

  test('needs the flag’s owner where the policy says so, and a team’s member speaks for the team', async () => {
    await approvedPolicy({ approvals: 1, owner_approves: true })
    const { id, digest } = await ask()
    expect((await act(id, 'approve', 'approver', { digest })).body.data.state).toBe('in_review')
    const owner = await control.operators.token(
      { roles: ['approver'], sub: 'olga', claims: { remint_teams: ['team-a'] } },
      control.clock.now,
    )
    const answer = await approveAs(owner, id, digest)
    expect(answer.body.data.state).toBe('approved')
  })

  test('of who takes over a flag is asked for where owners approve', async () => {
    await approvedPolicy({ approvals: 1, owner_approves: true })
    const answer = await control.call('PATCH', '/flags/reports', {
      role: 'editor',
      body: { owner: 'user:editor', reason: 'mine now' },
      ifMatch: 2,
    })
    expect(answer.status).toBe(202)
  })

  async function approvedPolicy(policy: Record<string, unknown>) {
    const asked = await control.call('PUT', '/policies/production', {
      body: { ...policy, reason: 'a test' },
      ifMatch: 2,
    })
    const { id, digest } = asked.body.data
    await act(id, 'approve', 'approver', { digest })
    expect((await act(id, 'apply', 'admin')).body.data.state).toBe('applied')
  }
})

const approveAs = (token: string, id: string, digest: string) =>
  control.send(`/api/v1/changes/${id}/approve`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ digest }),
  })

describe('a request whose base moved', () => {
  test('is stale when what it would do is no longer what was approved, and can be submitted again', async () => {
    const { id, digest } = await ask()
    await act(id, 'approve', 'approver', { digest })
    // The organization gets the flag in another way, so that the grant would give it nothing any more.
    await approved('contract.put', {
      ...{ org: 'org_a', contract: 'C-9', ...CONTRACT, plan: null, add: ['reports'] },
    })
    const answer = await act(id, 'apply', 'editor')
    expect([answer.status, answer.body.code]).toEqual([409, 'change_stale'])
    expect(await read(id)).toMatchObject({ state: 'stale', problem: 'moved' })
    const again = await act(id, 'submit', 'editor')
    expect(again.body.data).toMatchObject({ state: 'in_review', approvals: [] })
    expect(again.body.data.digest).not.toBe(digest)
  })

  test('is still good when something else changed', async () => {
    const { id, digest } = await ask()
    await act(id, 'approve', 'approver', { digest })
    await approved('grant.create', grant('org_b'))
    expect((await act(id, 'apply', 'editor')).body.data.state).toBe('applied')
  })

  test('is stale also where nobody gains or loses by the difference', async () => {
    await approved('plan.create', { key: 'unsold', name: 'Unsold' })
    const asked = await control.call('PATCH', '/plans/unsold', {
      role: 'editor',
      body: { flags: ['reports'], reason: 'a test' },
      ifMatch: 1,
    })
    const { id, digest } = asked.body.data
    await act(id, 'approve', 'approver', { digest })
    await approved('plan.update', { plan: 'unsold', flags: ['exports'] })
    expect((await act(id, 'apply', 'editor')).body.code).toBe('change_stale')
  })

  test('is found stale by the approver', async () => {
    const { id, digest } = await ask()
    await approved('flag.move', { flag: 'reports', state: 'retiring' })
    await approved('flag.move', { flag: 'reports', state: 'retired' })
    expect((await act(id, 'approve', 'approver', { digest })).body.code).toBe('change_stale')
  })

  test('is found stale by the cron, with nobody asking', async () => {
    const { id } = await ask()
    await approved('contract.put', {
      ...{ org: 'org_a', contract: 'C-9', ...CONTRACT, plan: null, add: ['reports'] },
    })
    await bindings.SCHEDULER.getByName(SCHEDULER_NAME).tick()
    expect((await read(id)).state).toBe('stale')
  })
})

describe('several commands in one request', () => {
  const items = [
    { action: 'flag.create', input: { key: 'maps', name: 'Maps', kind: 'entitlement', owner: 'team-a' } },
    { action: 'plan.update', input: { plan: 'team', flags: ['maps'] } },
    { action: 'flag.move', input: { flag: 'maps', state: 'live' } },
    { action: 'rule.set', input: { flag: 'maps', environment: 'production', access: 'some' } },
  ]

  test('build on each other, are shown together, and are applied together', async () => {
    const asked = await control.call('POST', '/changes', { role: 'editor', body: { items, reason: 'maps' } })
    expect(asked.body.data.effect.changes).toMatchObject([
      { flag: 'maps', environment: 'production', gained: { organizations: { ids: ['org_a', 'org_b'] } } },
    ])
    const { id, digest } = asked.body.data
    expect((await control.get('/flags/maps')).status).toBe(404)
    await act(id, 'approve', 'approver', { digest })
    const applied = await act(id, 'apply', 'approver')
    expect(applied.body.effect.changes).toMatchObject([{ flag: 'maps' }])
    expect(await has('org_a', 'maps')).toBe(true)
    await control.published()
    expect((await control.catalog())?.flags.maps).toMatchObject({ access: 'some' })
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
  })

  test.each([
    ['one that is none', [{ action: 'change.approve', input: {} }], 'change_item_invalid'],
    [
      'one with a member that it does not know',
      [{ action: 'rule.kill', input: { flag: 'reports', environment: 'production', x: 1 } }],
      'change_item_invalid',
    ],
    [
      'one that would be refused',
      [{ action: 'flag.move', input: { flag: 'nothing', state: 'live' } }],
      'not_found',
    ],
    [
      'one that the author’s role may not give',
      [{ action: 'policy.set', input: { environment: 'production', approvals: 0 } }],
      'role_missing',
    ],
    [
      'nothing that would change anything',
      [{ action: 'flag.move', input: { flag: 'reports', state: 'live' } }],
      'change_empty',
    ],
  ])('with %s are refused as a whole', async (_, refused, code) => {
    const answer = await control.call('POST', '/changes', {
      role: 'editor',
      body: { items: refused, reason: 'a test' },
    })
    expect(answer.body.code).toBe(code)
    expect(
      (await control.get('/changes')).body.data.filter((one: { state: string }) => one.state === 'in_review'),
    ).toEqual([])
  })

  test('where no policy asks, they are approved at once, and a key of one environment stays in it', async () => {
    const rule = (environment: string) => [
      { action: 'rule.set', input: { flag: 'reports', environment, access: 'all' } },
    ]
    const asked = await control.call('POST', '/changes', {
      role: 'editor',
      body: { items: rule('staging'), reason: 'a test' },
    })
    expect(asked.body.data).toMatchObject({ state: 'approved', required: 0 })
    expect((await act(asked.body.data.id, 'apply', 'editor')).body.data.state).toBe('applied')
    const { secret } = await control.must('POST', '/api-keys', {
      ...{
        name: 'ci',
        owner: 'system:ci',
        role: 'editor',
        environments: ['staging'],
        ends_at: control.in(9),
      },
    })
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ items: rule('production'), reason: 'a test' })
    const answer = await control.send('/api/v1/changes', { method: 'POST', headers, body })
    expect(answer.body.code).toBe('environment_forbidden')
  })
})

describe('a scheduled request', () => {
  /** On the real clock, as the alarm is: long enough for the calls before it. */
  const SOON_MS = 3_000

  async function scheduled(items: object[], inMs: number) {
    const asked = await control.call('POST', '/changes', {
      role: 'editor',
      body: {
        ...{ items, reason: 'on Monday' },
        apply_at: new Date(control.clock.now + inMs).toISOString(),
      },
    })
    const { id, digest } = asked.body.data
    return { id, answer: await act(id, 'approve', 'approver', { digest }) }
  }
  const items = () => [{ action: 'grant.create', input: grant('org_a') }]
  const RULE = [{ action: 'rule.set', input: { flag: 'reports', environment: 'production', access: 'all' } }]
  const stub = () => bindings.SCHEDULER.getByName(SCHEDULER_NAME)

  test('is applied by the alarm at its time, and not before', async () => {
    const { id, answer } = await scheduled(items(), SOON_MS)
    expect(answer.body.data.state).toBe('scheduled')
    expect((await act(id, 'apply', 'editor')).body.code).toBe('change_not_due')
    await new Promise((resolve) => setTimeout(resolve, SOON_MS))
    await runDurableObjectAlarm(stub())
    expect((await read(id)).state).toBe('applied')
    const rows = (await control.auditRows()).filter((row) => row.change === id)
    expect(rows.map(({ actor }) => actor)).toEqual([
      ...['user:editor', 'user:approver', 'user:editor', 'system:scheduler'],
    ])
  })

  test('is checked again at that moment: what has become another thing is stale', async () => {
    const { id } = await scheduled(items(), SOON_MS)
    await approved('contract.put', {
      ...{ org: 'org_a', contract: 'C-9', ...CONTRACT, plan: null, add: ['reports'] },
    })
    await new Promise((resolve) => setTimeout(resolve, SOON_MS))
    await runDurableObjectAlarm(stub())
    expect((await read(id)).state).toBe('stale')
  })

  test.each([-1000, 91 * DAY_MS])('%i ms from now is refused', async (inMs) => {
    const asked = await control.call('POST', '/changes', {
      role: 'editor',
      body: { items: RULE, reason: 'x', apply_at: new Date(control.clock.now + inMs).toISOString() },
    })
    expect(asked.body.code).toBe('apply_at_invalid')
  })
})

describe('ends', () => {
  test.each([
    ['reject', 'approver', 'rejected'],
    ['cancel', 'editor', 'cancelled'],
    ['cancel', 'admin', 'cancelled'],
  ] as const)('%s by the %s: %s, and nothing follows', async (verb, role, state) => {
    const { id, digest } = await ask()
    expect((await act(id, verb, role)).body.data.state).toBe(state)
    for (const next of ['approve', 'apply', 'submit', 'reject', 'cancel']) {
      const role = next === 'submit' || next === 'cancel' ? 'editor' : 'approver'
      expect((await act(id, next, role, next === 'approve' ? { digest } : {})).body.code).toBe('change_state')
    }
    expect(await has('org_a')).toBe(false)
  })

  test('somebody else’s is not taken back by just anybody', async () => {
    const { id } = await ask('admin')
    expect((await act(id, 'cancel', 'editor')).body.code).toBe('change_not_yours')
  })

  test('a draft waits for nobody until it is submitted', async () => {
    const asked = await control.call('POST', '/changes', {
      role: 'editor',
      body: { items: [{ action: 'grant.create', input: grant('org_a') }], draft: true, reason: 'x' },
    })
    const { id, digest, state } = asked.body.data
    expect(state).toBe('draft')
    expect((await act(id, 'approve', 'approver', { digest })).body.code).toBe('change_state')
    expect((await act(id, 'submit', 'editor')).body.data.state).toBe('in_review')
  })
})

describe('break-glass', () => {
  const body = () => {
    const { environment, subject, flag } = grant('org_a')
    return { environment, subject, flag, reason: 'customer down', ticket: 'INC-7' }
  }

  test('acts at once, ends within 4 hours, and is listed until somebody else has looked at it', async () => {
    const broken = await control.call('POST', '/break-glass', { role: 'break-glass', body: body() })
    expect(broken.status).toBe(201)
    expect(broken.body.data).toMatchObject({ kind: 'break_glass', state: 'applied', reviewed_at: null })
    expect(await has('org_a')).toBe(true)
    const { data } = (await control.get('/grants?org=org_a')).body
    expect(Date.parse(data[0].to) - control.clock.now).toBe(4 * 3_600_000)

    const { id } = broken.body.data
    const listed = async () =>
      (await control.get('/changes?unreviewed=true')).body.data.map((one: { id: string }) => one.id)
    expect(await listed()).toEqual([id])
    const self = await control.operators.token({ roles: ['approver'], sub: 'break-glass' }, control.clock.now)
    const own = await control.send(`/api/v1/changes/${id}/review`, {
      method: 'POST',
      headers: { authorization: `Bearer ${self}`, 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'all fine' }),
    })
    expect(own.body.code).toBe('self_approval')
    expect((await act(id, 'review', 'approver', { reason: 'it was right' })).body.data).toMatchObject({
      reviewed_by: 'user:approver',
      review: 'it was right',
    })
    expect(await listed()).toEqual([])
    expect((await act(id, 'review', 'admin')).body.code).toBe('change_reviewed')
    control.clock.now += 4 * 3_600_000
    expect(await has('org_a')).toBe(false)
  })

  test.each([
    ['without a ticket', { ticket: undefined }],
    ['for longer', { minutes: 241 }],
    ['without a reason', { reason: '' }],
  ])('%s is refused', async (_, change) => {
    const answer = await control.call('POST', '/break-glass', {
      role: 'break-glass',
      body: { ...body(), ...change },
    })
    expect(answer.status).toBe(400)
    expect(await has('org_a')).toBe(false)
  })

  test('is no way for others, and its role’s other writes are asked for', async () => {
    for (const role of ['editor', 'approver', 'admin'] as const) {
      expect((await control.call('POST', '/break-glass', { role, body: body() })).status).toBe(403)
    }
    await ask('break-glass')
    expect(await has('org_a')).toBe(false)
  })
})

describe('flags that exclude each other', () => {
  beforeEach(async () => {
    const asked = await control.call('PUT', '/policies/production', {
      body: { approvals: 1, exclusive: [['reports', 'exports']], reason: 'duties' },
      ifMatch: 2,
    })
    const { id, digest } = asked.body.data
    await act(id, 'approve', 'approver', { digest })
    await act(id, 'apply', 'admin')
    await approved('grant.create', grant('org_a', 'reports'))
  })

  test('are not asked for together', async () => {
    const answer = await control.call('POST', '/grants', {
      role: 'editor',
      body: { ...grant('org_a', 'exports'), reason: 'they asked' },
    })
    expect([answer.status, answer.body.code]).toEqual([422, 'flags_exclusive'])
    await ask('editor', grant('org_b', 'exports'))
  })

  test('nor given by break-glass, nor by what was approved before', async () => {
    const { environment, subject, flag } = grant('org_a', 'exports')
    const broken = await control.call('POST', '/break-glass', {
      role: 'break-glass',
      body: { environment, subject, flag, reason: 'x', ticket: 'INC-1' },
    })
    expect(broken.body.code).toBe('flags_exclusive')
    const asked = await ask('editor', grant('org_b', 'exports'))
    await act(asked.id, 'approve', 'approver', { digest: asked.digest })
    await approved('grant.create', grant('org_b', 'reports'))
    expect((await act(asked.id, 'apply', 'editor')).body.code).toBe('change_stale')
    expect((await read(asked.id)).problem).toBe('flags_exclusive')
  })
})

describe('what begins later', () => {
  const later = (org: string, flag: string, days = 1) => ({
    ...grant(org, flag),
    from: control.in(days),
  })

  test('is in the diff of what lets it begin', async () => {
    await approved('rule.set', { flag: 'reports', environment: 'production', access: 'none' })
    await approved('grant.create', later('org_a', 'reports'))
    const asked = await control.call('POST', '/changes', {
      role: 'editor',
      body: {
        items: [
          { action: 'rule.set', input: { flag: 'reports', environment: 'production', access: 'some' } },
        ],
        reason: 'a test',
      },
    })
    expect(asked.body.data.effect.changes).toMatchObject([
      { flag: 'reports', at: control.in(1), gained: { organizations: { ids: ['org_a'] } } },
    ])
  })

  test('is in the diff of what outlives a denial', async () => {
    await approved('grant.create', { ...grant('org_a', 'reports'), effect: 'deny', to: control.in(1) })
    const asked = await ask('editor', grant('org_a', 'reports'))
    expect(asked.effect.changes).toMatchObject([{ at: control.in(1) }])
  })

  test.each(['exports', 'reports'])(
    'does not bring together what excludes each other: %s first',
    async (first) => {
      const second = first === 'exports' ? 'reports' : 'exports'
      const set = await control.call('PUT', '/policies/production', {
        body: { approvals: 1, exclusive: [['reports', 'exports']], reason: 'duties' },
        ifMatch: 2,
      })
      await act(set.body.data.id, 'approve', 'approver', { digest: set.body.data.digest })
      await act(set.body.data.id, 'apply', 'admin')
      await approved('grant.create', later('org_a', first))
      const answer = await control.call('POST', '/grants', {
        role: 'editor',
        body: { ...grant('org_a', second), reason: 'x' },
      })
      expect(answer.body.code).toBe('flags_exclusive')
    },
  )
})

describe('a way round', () => {
  test('a policy that asks owners only still asks somebody where no owner is named', async () => {
    const first = await control.call('PUT', '/policies/production', {
      body: { approvals: 0, owner_approves: true, reason: 'owners' },
      ifMatch: 2,
    })
    await act(first.body.data.id, 'approve', 'approver', { digest: first.body.data.digest })
    await act(first.body.data.id, 'apply', 'admin')
    const away = await control.call('PUT', '/policies/production', {
      body: { approvals: 0, reason: 'away with it' },
      ifMatch: 3,
    })
    expect([away.status, away.body.data.state]).toEqual([202, 'in_review'])
    const contract = await control.call('PUT', '/orgs/org_a/contracts/C-9', {
      role: 'editor',
      body: { ...CONTRACT, add: ['reports'], reason: 'x' },
    })
    expect(contract.body.data).toMatchObject({ state: 'in_review', flags: ['reports'] })
  })

  test('break-glass is not given again before it was reviewed', async () => {
    const { environment, subject, flag } = grant('org_a')
    const again = () =>
      control.call('POST', '/break-glass', {
        role: 'break-glass',
        body: { environment, subject, flag, reason: 'down', ticket: 'INC-1' },
      })
    const first = await again()
    control.clock.now += 3_600_000
    expect((await again()).body.code).toBe('break_glass_unreviewed')
    await act(first.body.data.id, 'review', 'approver')
    expect((await again()).status).toBe(201)
  })
})

test('lists are filtered by state, kind, author and environment, and paged', async () => {
  const ids = []
  for (const org of ['org_a', 'org_b']) {
    control.clock.now += 1000
    ids.push((await ask('editor', grant(org))).id)
  }
  const list = async (query: string) =>
    (await control.get(`/changes?${query}`)).body.data.map((one: { id: string }) => one.id)
  expect(await list('state=in_review&author=user:editor')).toEqual(ids.toReversed())
  expect(await list('environment=staging')).toEqual([])
  expect(await list('kind=break_glass')).toEqual([])
  const first = (await control.get('/changes?limit=1')).body
  expect(first.data[0].id).toBe(ids[1])
  const second = (await control.get(`/changes?limit=1&cursor=${first.next_cursor}`)).body
  expect(second.data[0].id).toBe(ids[0])
})
