/**
 * Policies: each environment has its own from when it is first seen, and no later configuration changes it. They ask for
 * approval by environment, kind and flag, and limit how long flags live without a review.
 */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { beforeEach, describe, expect, test } from 'vitest'
import { openLedger } from '../../../src/control/app.ts'
import { connect } from '../../../src/control/db/client.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest

/** The same database under another configuration. */
async function under(environments: string, method: string, path: string, body?: object) {
  const context = createExecutionContext()
  const token = await control.operators.token({ roles: ['admin'], sub: 'admin' }, control.clock.now)
  const request = new Request(`https://control.test/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify({ reason: 'a test', ...body }) }),
  })
  const response = await control.app.fetch(
    request,
    { ...control.environment, ENVIRONMENTS: environments },
    context,
  )
  await waitOnExecutionContext(context)
  // biome-ignore lint/suspicious/noExplicitAny: tests look at single members
  return { status: response.status, body: (await response.json()) as any }
}
const approvalsUnder = async (environments: string) =>
  Object.fromEntries(
    (await under(environments, 'GET', '/policies')).body.data.map(
      ({ environment, approvals }: { environment: string; approvals: number }) => [environment, approvals],
    ),
  )
/** As the cron does. */
const establish = (environments: string) =>
  openLedger(
    bindings,
    createExecutionContext(),
    connect(bindings.DB).db,
    () => control.clock.now,
    environments.split(','),
  ).establishPolicies()
const newOrganization = (environments: string, id: string) =>
  under(environments, 'POST', '/orgs', { id, name: id })

describe('an environment that is seen for the first time', () => {
  beforeEach(async () => {
    control = await setUp({}, { guarded: true })
  })

  test('gets a policy on record: the last is protected, and the audit log says so', async () => {
    await newOrganization('staging,production', 'org_a')
    const rows = await control.auditRows()
    expect(rows.map(({ actor, action, entity }) => `${actor} ${action} ${entity}`)).toEqual([
      'system:policies policy.establish policy:staging',
      'system:policies policy.establish policy:production',
      'user:admin organization.create organization:org_a',
    ])
    expect(JSON.parse(String(rows[1]?.after))).toMatchObject({ approvals: 1, revision: 0 })
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
    await newOrganization('staging,production', 'org_b')
    expect(await control.auditRows()).toHaveLength(4)
  })

  test('gets it by the cron too, once', async () => {
    await establish('staging,production')
    await establish('staging,production')
    expect((await control.auditRows()).map(({ entity }) => entity)).toEqual([
      'policy:staging',
      'policy:production',
    ])
  })

  test('gets none by a dry run', async () => {
    await under('staging,production', 'POST', '/orgs?dry_run=true', { id: 'org_a', name: 'A' })
    expect(await control.auditRows()).toEqual([])
  })

  test('changes nothing of the others: what was protected stays so, and a new last one is', async () => {
    await establish('staging,production')
    for (const [environments, expected] of [
      ['staging,production,eu', { staging: 0, production: 1, eu: 1 }],
      ['staging,qa,production,eu', { staging: 0, qa: 0, production: 1, eu: 1 }],
      ['eu,staging', { eu: 1, staging: 0 }],
      ['production', { production: 1 }],
    ] as const) {
      await establish(environments)
      expect(await approvalsUnder(environments)).toEqual(expected)
    }
  })

  test('of several that one configuration adds to a deployment of before, the former last stays protected', async () => {
    // As a version before left it: documents are published, no policy is on record.
    await bindings.DB.prepare(
      `INSERT INTO documents (key, environment, kind, subject, version, changed_at) VALUES
         ('catalog:staging', 'staging', 'catalog', 'staging', 1, ''),
         ('catalog:production', 'production', 'catalog', 'production', 1, '')`,
    ).run()
    await newOrganization('staging,production,eu', 'org_a')
    expect(await approvalsUnder('staging,production,eu')).toEqual({ staging: 0, production: 1, eu: 1 })
  })

  test('that somebody opened stays open', async () => {
    await bindings.DB.prepare(
      `INSERT INTO policies (environment, approvals, owner_approves, exclusive, updated_at, revision)
       VALUES ('production', 0, 0, '[]', '', 1)`,
    ).run()
    await establish('staging,production,eu')
    expect(await approvalsUnder('staging,production,eu')).toEqual({ staging: 0, production: 0, eu: 1 })
  })

  test('is shown as protected by its policy, not by its place', async () => {
    await establish('staging,production')
    const { body } = await under('production,staging', 'GET', '/environments')
    expect(body.data).toEqual([
      { name: 'production', protected: true },
      { name: 'staging', protected: false },
    ])
  })
})

describe('a policy by kind and by flag', () => {
  const seed = async (control: ControlUnderTest) => {
    await control.liveFlag('sold')
    await control.liveFlag('constructor')
    await control.liveFlag('beta', { access: 'some' }, { kind: 'rollout', no_plan_reason: undefined })
    await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['sold'] })
    await control.organization('org_a')
  }
  beforeEach(async () => {
    control = await setUp({}, { seed })
  })

  const setPolicy = (policy: object) =>
    control.must('PUT', '/policies/production', { approvals: 0, ...policy }, 1)
  const rule = (flag: string) =>
    control.call('PUT', `/flags/${flag}/rules/production`, {
      ...{ role: 'editor', ifMatch: 1 },
      body: { access: 'all', reason: 'a test' },
    })
  const grant = (flag: string) =>
    control.call('POST', '/grants', {
      role: 'editor',
      body: {
        ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag, source: 'support' },
        ...{ to: control.in(9), reason: 'a test' },
      },
    })
  const required = ({ status, body }: Awaited<ReturnType<typeof rule>>) =>
    status === 202 ? body.data.required : 0

  test('asks for more by kind', async () => {
    await setPolicy({ kinds: { entitlement: { approvals: 2 } } })
    expect([required(await rule('sold')), required(await grant('sold'))]).toEqual([2, 2])
    expect([required(await rule('beta')), required(await grant('beta'))]).toEqual([0, 0])
  })

  test('asks for more by flag', async () => {
    await setPolicy({ flags: { beta: 3 } })
    expect([required(await rule('beta')), required(await grant('beta'))]).toEqual([3, 3])
    expect(required(await rule('sold'))).toBe(0)
    // The name of a member that every object has.
    expect(required(await rule('constructor'))).toBe(0)
  })

  test('never asks for less than for everything', async () => {
    await setPolicy({ approvals: 2, kinds: { rollout: { approvals: 1 } }, flags: { sold: 1 } })
    expect([required(await rule('beta')), required(await grant('sold'))]).toEqual([2, 2])
  })

  test('counts whom a contract gives the flag, although it names a plan only', async () => {
    await setPolicy({ flags: { sold: 2 } })
    const contract = { plan: 'team', status: 'active', revision: 1, from: '2026-01-01T00:00:00.000Z' }
    const answer = await control.call('PUT', '/orgs/org_a/contracts/C-1', {
      ...{ role: 'editor', body: { ...contract, reason: 'a test' } },
    })
    expect(required(answer)).toBe(2)
  })

  test('is not changed, nor is a mapping, by fewer people than it asks for anywhere', async () => {
    await setPolicy({ kinds: { entitlement: { approvals: 2 } }, flags: { beta: 3 } })
    const open = { approvals: 0, reason: 'away with it' }
    const policy = await control.call('PUT', '/policies/production', { body: open, ifMatch: 2 })
    expect(required(policy)).toBe(3)
    const mapping = { target: 'team', reason: 'a test' }
    const mapped = await control.call('PUT', '/mappings/stripe/plan/price_1', { body: mapping, ifMatch: 0 })
    expect(required(mapped)).toBe(3)
  })

  test('is approved by as many', async () => {
    await setPolicy({ flags: { sold: 2 } })
    const { id, digest } = (await rule('sold')).body.data
    const approve = async (sub: string) => {
      const token = await control.operators.token({ roles: ['approver'], sub }, control.clock.now)
      return control.call('POST', `/changes/${id}/approve`, {
        ...{ role: null, headers: { authorization: `Bearer ${token}` }, body: { digest } },
      })
    }
    expect((await approve('ben')).body.data.state).toBe('in_review')
    const apply = () => control.call('POST', `/changes/${id}/apply`, { role: 'editor', body: {} })
    expect((await apply()).body.code).toBe('approvals_missing')
    expect((await approve('cleo')).body.data.state).toBe('approved')
    expect((await apply()).body.data.state).toBe('applied')
  })

  test('names flags that exist', async () => {
    const body = { approvals: 0, flags: { nothing: 1 }, reason: 'a test' }
    const answer = await control.call('PUT', '/policies/production', { body, ifMatch: 1 })
    expect(answer.body.code).toBe('flag_unknown')
  })

  test.each([
    [{ kinds: { entitlement: { lifetime_days: 5 } } }],
    [{ kinds: { rollout: { review_days: 5 } } }],
    [{ kinds: { rollout: { lifetime_days: 0 } } }],
    [{ kinds: { other: {} } }],
    [{ flags: { sold: 6 } }],
  ])('is refused as %j', async (policy) => {
    const body = { approvals: 0, ...policy, reason: 'a test' }
    expect((await control.call('PUT', '/policies/production', { body, ifMatch: 1 })).status).toBe(400)
  })
})

describe('a policy that limits flags', () => {
  const DAY_MS = 86_400_000
  beforeEach(async () => {
    control = await setUp()
    // The strictest of all environments counts.
    await control.must(
      'PUT',
      '/policies/staging',
      {
        approvals: 0,
        kinds: { entitlement: { review_days: 30 }, rollout: { lifetime_days: 20 } },
      },
      0,
    )
    await control.must(
      'PUT',
      '/policies/production',
      { approvals: 0, kinds: { entitlement: { review_days: 60 }, rollout: { lifetime_days: 30 } } },
      1,
    )
  })
  const create = (body: object) =>
    control.call('POST', '/flags', { body: { key: 'a', name: 'A', owner: 'o', reason: 'x', ...body } })
  const daysAhead = (at: string) => Math.round((Date.parse(at) - control.clock.now) / DAY_MS)

  test('gives new ones what it allows', async () => {
    expect((await create({ kind: 'entitlement' })).body.data.review_every_days).toBe(30)
    const { data } = (await create({ key: 'b', kind: 'rollout' })).body
    expect(daysAhead(data.retire_by)).toBe(20)
  })

  test.each([
    ['reviews that are further apart', { kind: 'entitlement', review_every_days: 31 }, 'flag_review_days'],
    ['a later end', { kind: 'rollout', retire_by: 21 }, 'flag_lifetime'],
  ])('refuses a new one with %s', async (_, { retire_by, ...flag }: Record<string, unknown>, code) => {
    const end = typeof retire_by === 'number' ? { retire_by: control.in(retire_by) } : {}
    const answer = await create({ ...flag, ...end })
    expect([answer.status, answer.body.code]).toEqual([422, code])
  })

  test('refuses an extension beyond the lifetime, which counts from the creation', async () => {
    await create({ kind: 'rollout', retire_by: control.in(5) })
    const created = control.clock.now
    control.clock.now += 3 * DAY_MS
    const extend = (days: number) =>
      control.call('POST', '/flags/a/extend', {
        ifMatch: 1,
        body: { retire_by: new Date(created + days * DAY_MS).toISOString(), reason: 'x' },
      })
    expect((await extend(21)).body.code).toBe('flag_lifetime')
    expect((await extend(20)).status).toBe(200)
  })

  test('refuses a longer time between reviews, and lets everything else of an older flag be changed', async () => {
    await create({ kind: 'entitlement' })
    await bindings.DB.prepare('UPDATE flags SET review_every_days = 90').run()
    const change = (body: object) =>
      control.call('PATCH', '/flags/a', { body: { ...body, reason: 'x' }, ifMatch: 1 })
    expect((await change({ review_every_days: 61 })).body.code).toBe('flag_review_days')
    expect((await change({ name: 'B' })).status).toBe(200)
  })
})
