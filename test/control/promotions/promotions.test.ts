/**
 * Promotion: the differences between an environment and the next are shown with who gains and who loses, requested in one
 * change request, valid only as long as neither side changes, and never against a contract.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Role } from '../../../src/control/roles.ts'
import { type Answer, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.must('POST', '/plans', { key: 'team', name: 'Team' })
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

interface Rule {
  readonly access: 'none' | 'some' | 'all'
  readonly percentage?: number
}

/** A live flag with a rule in each environment. */
async function flag(key: string, staging: Rule, production: Rule, members = {}) {
  await control.liveFlag(key, { ...production }, members)
  await control.must('PUT', `/flags/${key}/rules/staging`, { ...staging }, 0)
}
const sell = (...flags: string[]) => control.must('PATCH', '/plans/team', { flags }, 1)

const promote = (body: object = {}, query = '', role: Role = 'editor'): Promise<Answer> =>
  control.call('POST', `/promotions${query}`, {
    role,
    body: { from: 'staging', to: 'production', reason: 'tested there', ...body },
  })
const look = async (body: object = {}) => {
  const { status, body: answered } = await promote(body, '?dry_run=true')
  expect(status).toBe(200)
  expect(answered).toMatchObject({ dry_run: true, seq: null, data: { change: null } })
  return answered.data
}
const act = (id: string, verb: string, role: Role, body: Record<string, unknown> = {}) =>
  control.call('POST', `/changes/${id}/${verb}`, { role, body: { reason: 'a test', ...body } })
const apply = (answer: Answer) => act(answer.body.data.change.id, 'apply', 'editor')
const set = (key: string, environment: string, rule: Rule, revision: number) =>
  control.must('PUT', `/flags/${key}/rules/${environment}`, { ...rule }, revision)
const production = async (key: string) => {
  const { access, percentage, killed } = (await control.get(`/flags/${key}/rules/production`)).body
  return { access, percentage, killed }
}
const keys = (items: { flag: string }[]) => items.map((item) => item.flag)
const requests = async () => (await control.get('/changes')).body.data

describe('a dry run', () => {
  test('shows both sides, who gains and who loses, and makes nothing', async () => {
    await flag('beta', { access: 'all' }, { access: 'none' }, { kind: 'rollout', no_plan_reason: undefined })
    await flag('same', { access: 'some' }, { access: 'some' })
    await control.organization('org_a', 'team')
    expect(await look()).toMatchObject({
      ...{ from: 'staging', to: 'production', left_out: [], contradictions: [] },
      items: [
        {
          flag: 'beta',
          from: { access: 'all', percentage: null, killed: false, revision: 1 },
          to: { access: 'none', percentage: null, killed: false, revision: 1 },
        },
      ],
      effect: {
        changes: [
          {
            ...{ environment: 'production', flag: 'beta', at: null },
            gained: { organizations: { count: 1, ids: ['org_a'] } },
            lost: { organizations: { count: 0, ids: [] } },
          },
        ],
      },
    })
    expect(await requests()).toEqual([])
    expect(await production('beta')).toMatchObject({ access: 'none' })
  })

  test('shows what is left out, by name or for not being named', async () => {
    for (const key of ['a', 'b', 'c']) await flag(key, { access: 'all' }, { access: 'some' })
    const without = await look({ leave_out: ['b'] })
    expect([keys(without.items), keys(without.left_out)]).toEqual([['a', 'c'], ['b']])
    const only = await look({ flags: ['c', 'b'], leave_out: ['b'] })
    expect([keys(only.items), keys(only.left_out)]).toEqual([['c'], ['a', 'b']])
    expect((await promote({ leave_out: ['d'] }, '?dry_run=true')).body.code).toBe('flag_unknown')
  })

  test('of environments that have the same rules shows that', async () => {
    await flag('same', { access: 'some' }, { access: 'some' })
    expect(await look()).toMatchObject({ items: [], effect: { changes: [] } })
    expect((await promote()).body.code).toBe('change_empty')
  })

  test('leaves out what is no difference to carry on: drafts, and rules that were never set', async () => {
    await control.liveFlag('only-production', { access: 'all' })
    await control.must('POST', '/flags', { key: 'draft', name: 'd', kind: 'rollout', owner: 'team-a' })
    await set('draft', 'staging', { access: 'all' }, 0)
    expect((await look()).items).toEqual([])
    const item = { flag: 'draft', from: 'staging', to: 'production', from_revision: 1, to_revision: 0 }
    const asked = await control.call('POST', '/changes', {
      body: { items: [{ action: 'rule.promote', input: item }], reason: 'x' },
    })
    expect(asked.body.code).toBe('promotion_unpublished')
  })
})

test.each([
  [{ from: 'production', to: 'staging' }, 'promotion_not_next'],
  [{ from: 'staging', to: 'staging' }, 'promotion_not_next'],
  [{ from: 'staging', to: 'moon' }, 'environment_unknown'],
])('%j is refused: %s', async (body, code) => {
  expect((await promote(body)).body.code).toBe(code)
  expect((await promote(body, '?dry_run=true')).body.code).toBe(code)
})

test('of three environments none is jumped over', async () => {
  const three = await setUp({ ENVIRONMENTS: 'dev,staging,production' })
  const from = (from: string, to: string) =>
    three.call('POST', '/promotions?dry_run=true', { body: { from, to, reason: 'x' } })
  expect((await from('dev', 'production')).body.code).toBe('promotion_not_next')
  expect((await from('dev', 'staging')).status).toBe(200)
})

describe('without a policy that asks', () => {
  test('it is approved at once, and applied in one commit', async () => {
    await flag('a', { access: 'all' }, { access: 'some' })
    await flag('b', { access: 'some', percentage: 50 }, { access: 'some' }, { no_plan_reason: 'free' })
    const answer = await promote()
    expect(answer.status).toBe(201)
    expect(answer.body.data.change).toMatchObject({ state: 'approved', environments: ['production'] })
    expect(await production('a')).toMatchObject({ access: 'some' })
    expect((await apply(answer)).body.data.state).toBe('applied')
    expect(await production('a')).toEqual({ access: 'all', percentage: null, killed: false })
    expect(await production('b')).toEqual({ access: 'some', percentage: 50, killed: false })
    expect((await look()).items).toEqual([])
  })

  test('a kill switch stays where it was thrown, on either side', async () => {
    await flag('here', { access: 'all' }, { access: 'some' })
    await flag('there', { access: 'all' }, { access: 'some' })
    await control.must('POST', '/flags/here/rules/staging/kill', {})
    await control.must('POST', '/flags/there/rules/production/kill', {})
    await apply(await promote())
    expect(await production('here')).toMatchObject({ access: 'all', killed: false })
    expect(await production('there')).toMatchObject({ access: 'all', killed: true })
  })
})

describe('in a protected environment', () => {
  beforeEach(async () => {
    await flag('a', { access: 'all' }, { access: 'some' })
    await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
  })

  async function approved() {
    const answer = await promote()
    const { id, digest, state } = answer.body.data.change
    expect([answer.status, state]).toEqual([201, 'in_review'])
    expect(answer.body.requires_approval).toEqual(['production'])
    expect((await apply(answer)).body.code).toBe('approvals_missing')
    expect((await act(id, 'approve', 'approver', { digest })).body.data.state).toBe('approved')
    return answer
  }

  test('it is a change request, done once somebody else has agreed', async () => {
    const answer = await approved()
    expect((await apply(answer)).body.data.state).toBe('applied')
    expect(await production('a')).toMatchObject({ access: 'all' })
  })

  test.each([
    ['where it comes from', () => set('a', 'staging', { access: 'some', percentage: 5 }, 1)],
    [
      'where it comes from, and back again',
      async () => {
        await set('a', 'staging', { access: 'some' }, 1)
        await set('a', 'staging', { access: 'all' }, 2)
      },
    ],
    ['where it goes', () => control.must('POST', '/flags/a/rules/production/kill', {})],
  ])('it is stale when the rule has moved %s', async (_, move) => {
    const answer = await approved()
    await move()
    expect((await apply(answer)).body.code).toBe('change_stale')
    expect((await requests())[0]).toMatchObject({ state: 'stale', problem: 'promotion_moved' })
    expect(await production('a')).toMatchObject({ access: 'some' })
  })

  test('it is stale when a contract that contradicts it came after the approval', async () => {
    const answer = await approved()
    await control.must('POST', '/orgs', { id: 'org_late', name: 'Late' })
    const asked = await control.call('POST', '/changes', {
      role: 'editor',
      body: {
        reason: 'sold',
        items: [
          { action: 'plan.update', input: { plan: 'team', flags: ['a'] } },
          { action: 'plan.create', input: { key: 'small', name: 'Small' } },
          { action: 'contract.put', input: { org: 'org_late', contract: 'C-1', ...contract('small') } },
        ],
      },
    })
    const { id, digest } = asked.body.data
    await act(id, 'approve', 'approver', { digest })
    expect((await act(id, 'apply', 'editor')).body.data.state).toBe('applied')
    expect((await apply(answer)).body.code).toBe('change_stale')
    expect((await requests()).map(({ problem }: { problem: string | null }) => problem)).toContain(
      'contract_contradicts',
    )
    expect(await production('a')).toMatchObject({ access: 'some' })
  })

  test('a revision that was not compared is refused', async () => {
    const input = { flag: 'a', from: 'staging', to: 'production', from_revision: 1, to_revision: 7 }
    const asked = await control.call('POST', '/changes', {
      body: { items: [{ action: 'rule.promote', input }], reason: 'x' },
    })
    expect([asked.status, asked.body.code]).toEqual([409, 'promotion_moved'])
  })
})

const contract = (plan: string | null, members = {}) => ({
  ...{ plan, status: 'active', revision: 1, from: new Date(control.clock.now - DAY_MS).toISOString() },
  ...members,
})
const organization = async (id: string, members: object) => {
  await control.must('POST', '/orgs', { id, name: id })
  await control.must('PUT', `/orgs/${id}/contracts/C-${id}`, { ...contract(null), ...members })
}

describe('a contract contradicts it', () => {
  const contradicted = async (expected: object) => {
    expect((await look()).contradictions).toEqual([expected])
    const before = (await control.auditRows()).length
    const refused = await promote()
    expect([refused.status, refused.body.code]).toEqual([409, 'contract_contradicts'])
    expect(refused.body.contradictions).toEqual([expected])
    expect((await control.auditRows()).length).toBe(before)
  }
  const lost = (ids: string[]) => ({
    ...{ kind: 'paid_lost', environment: 'production', flag: 'sold' },
    organizations: { count: ids.length, ids },
  })
  const given = (ids: string[]) => ({ ...lost(ids), kind: 'unpaid_given' })

  test('where it would take what a plan or an add-on pays for', async () => {
    await flag('sold', { access: 'none' }, { access: 'some' })
    await sell('sold')
    await organization('org_plan', { plan: 'team' })
    await organization('org_addon', { add: ['sold'] })
    await organization('org_ended', { plan: 'team', status: 'cancelled' })
    await organization('org_other', {})
    await contradicted(lost(['org_addon', 'org_plan']))
    expect((await look({ leave_out: ['sold'] })).contradictions).toEqual([])
  })

  test('also behind a kill switch, which ends some day', async () => {
    await flag('sold', { access: 'none' }, { access: 'some' })
    await organization('org_addon', { add: ['sold'] })
    await control.must('POST', '/flags/sold/rules/production/kill', {})
    await contradicted(lost(['org_addon']))
  })

  test.each([
    ['to all', { access: 'all' as const }],
    ['to a percentage', { access: 'some' as const, percentage: 100 }],
  ])(
    'where it would give %s what the contract in force does not hold, though it is sold',
    async (_, rule) => {
      await flag('sold', rule, { access: 'some' })
      await sell('sold')
      await organization('org_pays', { plan: 'team' })
      await organization('org_small', {})
      await organization('org_ended', { status: 'cancelled' })
      await control.must('POST', '/orgs', { id: 'org_free', name: 'No contract' })
      await contradicted(given(['org_small']))
    },
  )

  test('not where nobody buys it, or it is a rollout, or the rule gave it before', async () => {
    await flag('free', { access: 'all' }, { access: 'some' })
    await flag('rollout', { access: 'all' }, { access: 'some' }, { kind: 'rollout' })
    await flag('open', { access: 'some', percentage: 50 }, { access: 'all' })
    await sell('rollout', 'open')
    await organization('org_small', {})
    const { items, contradictions } = await look()
    expect(keys(items)).toEqual(['free', 'open', 'rollout'])
    expect(contradictions).toEqual([])
    expect((await promote()).status).toBe(201)
  })

  test('nor where the same change request ends the contract', async () => {
    await flag('sold', { access: 'none' }, { access: 'some' })
    await sell('sold')
    await organization('org_plan', { plan: 'team' })
    const asked = (items: object[]) =>
      control.call('POST', '/changes', { body: { items, reason: 'end of sale' } })
    const promotion = {
      action: 'rule.promote',
      input: { flag: 'sold', from: 'staging', to: 'production', from_revision: 1, to_revision: 1 },
    }
    const refused = await asked([promotion])
    expect(refused.body).toMatchObject({ code: 'contract_contradicts', contradictions: [lost(['org_plan'])] })
    const ended = contract('team', { status: 'cancelled', revision: 2 })
    const put = { action: 'contract.put', input: { org: 'org_plan', contract: 'C-org_plan', ...ended } }
    expect((await asked([promotion, put])).status).toBe(201)
  })
})

describe('a key', () => {
  const call = async (environments: string[] | null, path: string, body: object) => {
    const { secret } = await control.must('POST', '/api-keys', {
      ...{ name: 'ci', owner: 'system:ci', role: 'editor', ends_at: control.in(3), environments },
    })
    return control.call('POST', path, {
      ...{ role: null, headers: { authorization: `Bearer ${secret}` }, body: { reason: 'x', ...body } },
    })
  }

  test.each([['staging'], ['production']])('for %s alone is refused, and shown nothing', async (name) => {
    await flag('a', { access: 'all' }, { access: 'some' })
    for (const query of ['', '?dry_run=true']) {
      const answer = await call([name], `/promotions${query}`, { from: 'staging', to: 'production' })
      expect([answer.status, answer.body.code]).toEqual([403, 'environment_forbidden'])
    }
    const input = { flag: 'a', from: 'staging', to: 'production', from_revision: 1, to_revision: 1 }
    const items = [{ action: 'rule.promote', input }]
    expect((await call([name], '/changes', { items })).body.code).toBe('environment_forbidden')
    expect(await requests()).toEqual([])
  })

  test('for both may ask', async () => {
    await flag('a', { access: 'all' }, { access: 'some' })
    const both = ['staging', 'production']
    expect((await call(both, '/promotions', { from: 'staging', to: 'production' })).status).toBe(201)
  })
})

test('a request that asks to create a rollout is still the same when it is applied', async () => {
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
  const items = [
    { action: 'flag.create', input: { key: 'new', name: 'New', kind: 'rollout', owner: 'team-a' } },
    { action: 'rule.set', input: { flag: 'new', environment: 'production', access: 'all' } },
  ]
  const asked = await control.call('POST', '/changes', { role: 'editor', body: { items, reason: 'x' } })
  const { id, digest } = asked.body.data
  control.clock.now += 1000
  expect((await act(id, 'approve', 'approver', { digest })).body.data.state).toBe('approved')
  control.clock.now += 1000
  expect((await act(id, 'apply', 'editor')).body.data.state).toBe('applied')
})
