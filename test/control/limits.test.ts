/**
 * The limits of Cloudflare: the bindings of these tests refuse what it refuses, and the largest inputs that the control
 * plane takes stay within. What local workerd refuses by itself (100 bound parameters, 5 terms of a compound SELECT, 50
 * bytes in a LIKE pattern, 2 MB in a row) is met by the same inputs.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import { INBOX_NAME, SCHEDULER_NAME } from '../../src/control/config.ts'
import { PATIENT } from '../support/eventually.ts'
import ruleUpdated from './contract_sync/fixtures/workos/flag.rule_updated.json' with { type: 'json' }
import { delta, send, sendStandard, snapshot } from './contract_sync/support.ts'
import { minted, store } from './mint_log/support.ts'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from './support/control.ts'
import { invocation, LIMITS, most, underLimits, violations } from './support/limits.ts'
import { insertRows } from './support/rows.ts'

const AT = '2026-01-01T00:00:00.000Z'
const EIGHT = 'e1,e2,e3,e4,e5,e6,e7,production'
const range = (length: number) => Array.from({ length }, (_, n) => n)

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp({ ENVIRONMENTS: EIGHT })
  Object.assign(most, { queries: 0, connections: 0, operations: 0 })
})

const organizations = (count: number) =>
  insertRows(bindings, {
    organizations: range(count).map((n) => ({
      ...{ id: `org_${n}`, name: `${n}`, not_before: 0, created_at: AT, updated_at: AT, revision: 1 },
    })),
  })
const flags = (count: number, about: object = {}) =>
  insertRows(bindings, {
    flags: range(count).map((n) => ({
      ...{
        key: `flag-${n}`,
        name: `${n}`,
        description: '',
        kind: 'entitlement',
        owner: 'team-a',
        tags: '[]',
      },
      ...{ state: 'live', no_plan_reason: 'a test', extensions: 0, revoke_on_loss: 0, created_at: AT },
      ...{ updated_at: AT, revision: 1, ...about },
    })),
  })

describe('an invocation', () => {
  const stores = underLimits(bindings)
  const one = () => stores.DB.prepare('SELECT 1')
  const refused = async (work: () => Promise<unknown>) => {
    await expect(invocation(work)).rejects.toThrow()
    expect(violations.splice(0)).toHaveLength(1)
  }

  test('has a thousand queries, each statement of a batch counted', async () => {
    await invocation(async () => {
      await stores.DB.batch(range(LIMITS.queries - 1).map(one))
      await one().first()
    })
    await refused(async () => {
      await stores.DB.batch(range(LIMITS.queries).map(one))
      await one().bind().all()
    })
    await refused(() => stores.DB.batch(range(LIMITS.queries + 1).map(one)))
  })

  test('has six connections to D1 at a time', async () => {
    await invocation(() => Promise.all(range(LIMITS.connections).map(() => one().run())))
    await refused(() => Promise.all(range(LIMITS.connections + 1).map(() => one().raw())))
  })

  test('has a result of 50 MB', async () => {
    const rows = (count: number) =>
      stores.DB.prepare(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
         SELECT hex(zeroblob(500000)) AS text FROM n`,
      ).bind(count)
    await invocation(() => rows(10).all())
    await refused(() => rows(51).all())
  })

  test('has a thousand operations of KV', async () => {
    const reads = (count: number) => async () => {
      for (let n = 0; n < count; n++) await stores.ENTITLEMENTS.get('x')
    }
    await invocation(reads(LIMITS.operations))
    await refused(reads(LIMITS.operations + 1))
  })
})

describe('a change request of a hundred items', () => {
  const ITEMS = 100
  const subject = (n: number) => ({ kind: 'org', id: `org_${n}` })
  const items: Record<string, () => Promise<[string, (n: number) => object]>> = {
    'grants for a hundred organizations': async () => [
      'grant.create',
      (n) => ({
        ...{ environment: 'production', subject: subject(n), flag: `flag-${n}`, source: 'beta' },
        to: control.in(3),
      }),
    ],
    'contracts of a hundred organizations, in eight environments': async () => [
      'contract.put',
      (n) => ({
        ...{ org: `org_${n}`, contract: `C-${n}`, plan: null, status: 'active', revision: 1 },
        ...{ from: AT, add: [`flag-${n}`, `flag-${(n + 1) % ITEMS}`] },
      }),
    ],
    'flags that retire': async () => {
      await bindings.DB.prepare("UPDATE flags SET state = 'retiring'").run()
      await bindings.DB.prepare(
        `INSERT INTO rules (flag, environment, access, percentage, killed, updated_at, revision)
         SELECT key, 'production', 'some', NULL, 0, ?1, 1 FROM flags`,
      )
        .bind(AT)
        .run()
      return ['flag.move', (n) => ({ flag: `flag-${n}`, state: 'retired' })]
    },
    promotions: async () => {
      await bindings.DB.prepare(
        `INSERT INTO rules (flag, environment, access, percentage, killed, updated_at, revision)
         SELECT key, 'e7', 'all', NULL, 0, ?1, 1 FROM flags`,
      )
        .bind(AT)
        .run()
      return [
        'rule.promote',
        (n) => ({
          ...{ flag: `flag-${n}`, from: 'e7', to: 'production', from_revision: 1, to_revision: 0 },
        }),
      ]
    },
  }

  test.each(Object.entries(items))('is asked for, read and applied: %s', async (_, make) => {
    await organizations(ITEMS)
    await flags(ITEMS)
    const [action, input] = await make()
    const asked = await control.call('POST', '/changes', {
      body: { items: range(ITEMS).map((n) => ({ action, input: input(n) })), reason: 'many' },
    })
    expect(asked.status).toBe(201)
    const { id } = asked.body.data
    expect((await control.get(`/changes/${id}`)).body.items).toHaveLength(ITEMS)
    const applied = await control.call('POST', `/changes/${id}/apply`, { body: {} })
    expect(applied).toMatchObject({ status: 200, body: { data: { state: 'applied' } } })
    expect((await control.get('/audit/verify')).body).toMatchObject({ intact: true })
  })
})

test('scheduled requests of a hundred items each are applied, in as many invocations as it takes', async () => {
  await organizations(100)
  await flags(4)
  const now = control.clock.now
  control.clock.now = now - DAY_MS
  for (const m of range(4)) {
    const items = range(100).map((n) => ({
      action: 'grant.create',
      input: {
        ...{ environment: 'production', subject: { kind: 'org', id: `org_${n}` }, flag: `flag-${m}` },
        ...{ source: 'beta', to: control.in(3) },
      },
    }))
    const apply_at = new Date(now - 1000).toISOString()
    const asked = await control.call('POST', '/changes', { body: { items, apply_at, reason: 'many' } })
    expect(asked.body.data.state).toBe('scheduled')
  }
  control.clock.now = now
  const scheduler = bindings.SCHEDULER.getByName(SCHEDULER_NAME)
  await expect
    .poll(async () => {
      await scheduler.tick()
      return (await control.get('/changes?state=applied')).body.data.length
    }, PATIENT)
    .toBe(4)
})

describe('events', () => {
  beforeEach(async () => {
    await organizations(500)
    await flags(120)
  })

  test('with as many targets as are taken give and take as many grants', async () => {
    const event = structuredClone(ruleUpdated) as typeof ruleUpdated
    event.data.slug = 'flag-1'
    const sent = async (id: string, at: string, ids: readonly string[]) => {
      event.context.access_type = 'some'
      event.context.configured_targets.organizations = ids.map((one) => ({ id: one, name: one }))
      event.context.configured_targets.users = []
      Object.assign(event, { id, created_at: at })
      return (await send(control, 'workos', JSON.stringify(event))).body.state
    }
    const all = range(500).map((n) => `org_${n}`)
    expect(await sent('e_1', '2026-11-22T10:00:00.000Z', all)).toBe('applied')
    const active = () =>
      bindings.DB.prepare('SELECT count(*) AS n FROM grants WHERE revoked_at IS NULL').first<{ n: number }>()
    expect(await active()).toEqual({ n: 500 })
    expect(await sent('e_2', '2026-11-22T11:00:00.000Z', [])).toBe('applied')
    expect(await active()).toEqual({ n: 0 })
    expect((await control.get('/audit/verify')).body).toMatchObject({ intact: true })
  })

  test('that come all at once are applied', async () => {
    const answers = await Promise.all(
      range(500).map((n) =>
        sendStandard(control, snapshot(`C-${n}`, `org_${n}`, 1, [{ plan: null, add: [`flag-${n % 100}`] }])),
      ),
    )
    expect(answers.map(({ status }) => status).filter((status) => status !== 200)).toEqual([])
  })

  test('that could not be applied for a moment are all tried again by one run of the cron', async () => {
    await Promise.all(
      range(100).map((n) =>
        sendStandard(control, snapshot(`C-${n}`, `org_${n}`, 1, [{ plan: null, add: [`flag-${n}`] }])),
      ),
    )
    await bindings.DB.batch([
      bindings.DB.prepare("UPDATE inbox SET state = 'quarantined', problem = 'apply_failed', seq = NULL"),
      bindings.DB.prepare('DELETE FROM contracts'),
      bindings.DB.prepare('DELETE FROM agreements'),
    ])
    await (bindings.INBOX.getByName(INBOX_NAME) as unknown as { retry(): Promise<void> }).retry()
    const { results } = await bindings.DB.prepare(
      'SELECT state, count(*) AS n FROM inbox GROUP BY state',
    ).all()
    expect(results).toEqual([{ state: 'applied', n: 100 }])
    expect((await control.get('/orgs/org_99')).body.contracts).toHaveLength(1)
  })

  test('that waited for one are applied behind it', async () => {
    for (let n = 0; n < 250; n += 25) {
      await Promise.all(
        range(25).map((m) =>
          sendStandard(control, delta('C-1', n + m + 2, { add: [`flag-${(n + m) % 100}`] })),
        ),
      )
    }
    await sendStandard(control, snapshot('C-1', 'org_1', 1, [{ plan: null }]))
    await expect
      .poll(async () => (await control.get('/inbox?state=waiting&limit=1')).body.data.length, PATIENT)
      .toBe(0)
    expect((await control.get('/orgs/org_1')).body.contracts[0]).toMatchObject({ revision: 251 })
  })

  test('of as many contracts as may follow from one name are derived again by its mapping', async () => {
    for (const key of ['gold', 'silver']) await control.must('POST', '/plans', { key, name: key })
    await control.must('PUT', '/mappings/standard/plan/G', { target: 'gold' })
    const answers = await Promise.all(
      range(100).map((n) => sendStandard(control, snapshot(`C-${n}`, `org_${n}`, 1, [{ plan: 'G' }]))),
    )
    expect(answers.filter(({ body }: { body: { state: string } }) => body.state !== 'applied')).toEqual([])
    await control.must('PUT', '/mappings/standard/plan/G', { target: 'silver' })
    const plans = await bindings.DB.prepare('SELECT DISTINCT plan FROM contracts').all()
    expect(plans.results).toEqual([{ plan: 'silver' }])
  })

  test('with as many phases and add-ons as are taken are applied', async () => {
    const add = range(100).map((n) => `flag-${n}`)
    const phases = range(20).map((n) => ({
      ...{ plan: null, add, from: new Date(Date.parse(AT) + n * 86_400_000).toISOString() },
      to: n === 19 ? null : new Date(Date.parse(AT) + (n + 1) * 86_400_000).toISOString(),
    }))
    expect((await sendStandard(control, snapshot('C-1', 'org_1', 1, phases))).body.state).toBe('applied')
  })
})

test('many documents that changed, and many that were lost, are written in as many invocations as it takes', async () => {
  const COUNT = 1_450
  await organizations(COUNT)
  await insertRows(bindings, {
    documents: range(COUNT).map((n) => ({
      ...{ key: `org:production:org_${n}`, environment: 'production', kind: 'org', subject: `org_${n}` },
      // The later 900 were changed since; of the others KV has none.
      ...{ version: 2, changed_at: AT, published_version: n < COUNT - 900 ? 2 : 1, published_at: AT },
    })),
  })
  const publisher = bindings.PUBLISHER.getByName('production')
  const written = async () => {
    let count = 0
    for (let cursor: string | undefined; ; ) {
      const page = await bindings.ENTITLEMENTS.list({ prefix: 'org:production:', ...(cursor && { cursor }) })
      count += page.keys.length
      if (page.list_complete) return count
      cursor = page.cursor
    }
  }
  await expect
    .poll(async () => {
      await publisher.repair('production')
      return written()
    }, PATIENT)
    .toBe(COUNT)
})

describe('lists and names', () => {
  test('a plan of a thousand flags is made, changed and read', async () => {
    await flags(1_000)
    const all = range(1_000).map((n) => `flag-${n}`)
    await control.must('POST', '/plans', { key: 'all', name: 'All', flags: all })
    await control.must('PATCH', '/plans/all', { flags: all.slice(1) }, 1)
    expect((await control.get('/plans/all')).body.flags).toHaveLength(999)
  })

  test('a contract with two hundred add-ons, and a promotion that names a thousand flags, are taken', async () => {
    await flags(1_000)
    await organizations(1)
    const add = range(200).map((n) => `flag-${n}`)
    const contract = { plan: null, status: 'active', revision: 1, from: AT, add }
    await control.must('PUT', '/orgs/org_0/contracts/C', contract)
    expect((await control.get('/orgs/org_0')).body.contracts[0].add).toHaveLength(200)
    await bindings.DB.prepare(
      `INSERT INTO rules (flag, environment, access, percentage, killed, updated_at, revision)
       SELECT key, 'e7', 'some', NULL, 0, ?1, 1 FROM flags`,
    )
      .bind(AT)
      .run()
    const named = { from: 'e7', to: 'production', flags: range(1_000).map((n) => `flag-${n}`), reason: 'x' }
    const { status, body } = await control.call('POST', '/promotions?dry_run=true', { body: named })
    expect([status, body.detail]).toEqual([200, undefined])
  })

  test('a batch of a hundred tokens of a thousand flags each is kept, and each is explained', async () => {
    await flags(1_000)
    await bindings.DB.prepare(
      `INSERT INTO rules (flag, environment, access, percentage, killed, updated_at, revision)
       SELECT key, 'production', 'all', NULL, 0, ?1, 1 FROM flags`,
    )
      .bind(AT)
      .run()
    await organizations(100)
    const held = range(1_000).map((n) => `flag-${n}`)
    const events = range(100).map((n) => minted({ jti: `jti-${n}`, org: `org_${n}`, flags: held }))
    await invocation(() => store(...events))
    const answer = await control.get('/tokens/jti-99')
    expect(answer.status).toBe(200)
    expect(answer.body.flags).toHaveLength(1_000)
    expect(answer.body.why.length).toBeGreaterThanOrEqual(1_000)
  })

  test('a policy of fifty sets of twenty flags holds', async () => {
    await flags(1_000)
    await organizations(1)
    const exclusive = range(50).map((set) => range(20).map((n) => `flag-${set * 20 + n}`))
    await control.must('PUT', '/policies/production', { approvals: 0, exclusive }, 1)
    const contract = (add: string[]) =>
      control.call('PUT', '/orgs/org_0/contracts/C', {
        body: { plan: null, status: 'active', revision: 1, from: AT, add, reason: 'x' },
      })
    await bindings.DB.prepare(
      `INSERT INTO rules (flag, environment, access, percentage, killed, updated_at, revision)
       SELECT key, 'production', 'some', NULL, 0, ?1, 1 FROM flags`,
    )
      .bind(AT)
      .run()
    expect((await contract(['flag-0', 'flag-1'])).body.code).toBe('flags_exclusive')
    expect((await contract(range(50).map((set) => `flag-${set * 20}`))).status).toBe(201)
  })

  test('a key that names its environment two hundred times lists what it may see', async () => {
    const { secret } = await control.must('POST', '/api-keys', {
      ...{ name: 'k', owner: 'system:k', role: 'editor', ends_at: control.in(3) },
      environments: range(200).map(() => 'production'),
    })
    for (const path of [
      '/flags',
      '/grants',
      '/changes',
      '/audit',
      '/drift',
      '/policies',
      '/orgs/org_a/tokens',
    ]) {
      const answer = await control.call('GET', path, {
        ...{ role: null, headers: { authorization: `Bearer ${secret}` } },
      })
      expect([path, answer.status]).toEqual([path, 200])
    }
  })

  test('every list takes its longest page', async () => {
    await flags(250)
    await organizations(250)
    const paths = [
      '/flags',
      '/plans',
      '/orgs',
      '/grants',
      '/changes',
      '/inbox',
      '/mappings',
      '/audit',
      '/drift',
    ]
    for (const path of paths)
      expect([path, (await control.get(`${path}?limit=200`)).status]).toEqual([path, 200])
  })

  test('names of a hundred characters and more are searched for', async () => {
    const long = 'x'.repeat(120)
    for (const path of [`/flags?owner=${long}`, `/audit?actor=${long}`, `/inbox?entity=contract:${long}`]) {
      expect([path, (await control.get(path)).status]).toEqual([path, 200])
    }
  })
})
