/** Why a token held a flag, down to the audit rows and the people behind them. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { GrantRow } from '../../../src/control/db/rows.ts'
import { audit, change_requests, documents, grants } from '../../../src/control/db/schema.ts'
import { hashEntry, toRow } from '../../../src/control/ledger/audit_chain.ts'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'
import { db, documentsOf, type Ids, minted, mintFrom, store } from './support.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.liveFlag('reports')
  await control.liveFlag('sso')
  await control.must('POST', '/plans', { key: 'team', name: 'T', flags: ['reports'] })
  await control.organization('org_a', 'team')
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

const ORG: Ids = { org: 'org_a' }

/** Mints a token now, and puts it into the log. @returns its jti */
async function mint(ids: Ids = ORG, members: Parameters<typeof mintFrom>[3] = {}): Promise<string> {
  const event = mintFrom(await documentsOf(ids), ids, control.clock.now, members)
  await store(event)
  return event.jti
}
const trace = async (jti: string, query = '') => (await control.get(`/tokens/${jti}${query}`)).body
// biome-ignore lint/suspicious/noExplicitAny: members of an answer
const whyOf = async (jti: string, flag: string): Promise<any> => {
  const { why } = await trace(jti, `?flag=${flag}`)
  return why[0]
}
const grant = (members: Record<string, unknown> = {}) =>
  control.must('POST', '/grants', {
    ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'sso' },
    ...{ source: 'support', to: control.in(3), ...members },
  })
const setRule = (flag: string, rule: Record<string, unknown>, ifMatch = 1) =>
  control.must('PUT', `/flags/${flag}/rules/production`, rule, ifMatch)
const actions = (why: { evidence: { action: string; entity: string }[] }) =>
  why.evidence.map(({ action, entity }) => `${action} ${entity}`)

test('a token is answered as it was minted, with the reason for each of its flags', async () => {
  const { data } = await grant({ reason: 'They cannot log in', ticket: 'SUP-7' })
  const jti = await mint(ORG, { upstream_jti: 'u-1', sid: 's-1', client: 'app', sub: null })
  const answer = await control.get(`/tokens/${jti}`)
  expect(answer.status).toBe(200)
  expect(answer.body).toMatchObject({
    ...{ jti, upstream_jti: 'u-1', environment: 'production', org: 'org_a', sub: null, sid: 's-1' },
    ...{ client: 'app', flags: ['reports', 'sso'], src: 'fresh', request_id: 'req-1' },
    minted_at: new Date(control.clock.now).toISOString(),
    agrees: true,
    differences: { extra: [], missing: [] },
  })
  expect(answer.body.why).toMatchObject([
    {
      ...{ flag: 'reports', held: true, on: true, reason: 'contract', ends_at: null, withheld: 0 },
      funded_by: { id: 'contract-org_a', through: 'team' },
    },
    {
      ...{ flag: 'sso', held: true, on: true, reason: 'support', ends_at: control.in(3) },
      funded_by: { id: data.id, subject: 'org' },
      evidence: [
        {
          ...{ action: 'grant.create', entity: `grant:${data.id}`, actor: 'user:admin', api_key: null },
          ...{ reason: 'They cannot log in', ticket: 'SUP-7', change: null },
        },
      ],
    },
  ])
})

describe('the evidence for a flag', () => {
  test('of a contract is the contract, and what put the flag into its plan', async () => {
    await control.must('PATCH', '/plans/team', { flags: ['reports', 'sso'], ticket: 'DEAL-1' }, 1)
    await control.must('PATCH', '/plans/team', { description: 'for teams' }, 2)
    await control.must('PUT', '/orgs/org_a/contracts/contract-org_a', {
      ...{ plan: 'team', status: 'active', revision: 2, from: control.in(-1), reason: 'renewed' },
    })
    const jti = await mint()
    const [reports, sso] = [await whyOf(jti, 'reports'), await whyOf(jti, 'sso')]
    expect(actions(reports)).toEqual(['plan.create plan:team', 'contract.put contract:contract-org_a'])
    expect(actions(sso)).toEqual(['plan.update plan:team', 'contract.put contract:contract-org_a'])
    expect(sso.evidence).toMatchObject([{ ticket: 'DEAL-1' }, { reason: 'renewed' }])
  })

  test('of an add-on is the contract', async () => {
    await control.must('PUT', '/orgs/org_a/contracts/addons', {
      ...{ plan: 'team', status: 'active', revision: 1, from: control.in(-1), add: ['sso'] },
    })
    const sso = await whyOf(await mint(), 'sso')
    expect(sso).toMatchObject({ reason: 'contract', funded_by: { id: 'addons', through: 'add-on' } })
    expect(actions(sso)).toEqual(['contract.put contract:addons'])
  })

  test('of a rule is its last change', async () => {
    await setRule('sso', { access: 'all' })
    const all = await whyOf(await mint(), 'sso')
    expect(all).toMatchObject({ reason: 'rule_all', funded_by: null })
    expect(all.evidence).toMatchObject([{ action: 'rule.set', entity: 'rule:production:sso' }])

    await setRule('sso', { access: 'some', percentage: 100 }, 2)
    const rollout = await whyOf(await mint(), 'sso')
    expect(rollout).toMatchObject({ reason: 'rollout', funded_by: null })
    expect(rollout.evidence).toHaveLength(1)
    expect(rollout.evidence[0].seq).toBeGreaterThan(all.evidence[0].seq)
  })

  test('of a user’s own grant is that one, whatever the organization', async () => {
    await grant({ subject: { kind: 'user', id: 'u1' }, source: 'beta', ticket: 'B-1' })
    for (const ids of [{ org: 'org_a', sub: 'u1' }, { sub: 'u1' }]) {
      const jti = await mint(ids)
      expect(await trace(jti)).toMatchObject({ agrees: true })
      expect(await whyOf(jti, 'sso')).toMatchObject({
        ...{ reason: 'beta', funded_by: { subject: 'user' }, evidence: [{ ticket: 'B-1' }] },
      })
    }
  })

  test('that came in by SQL is none', async () => {
    await bindings.DB.prepare(
      `INSERT INTO grants (id, environment, subject_kind, subject_id, flag, effect, source, reason, "from",
         created_by, created_at, updated_at, revision)
       VALUES ('g', 'production', 'org', 'org_a', 'sso', 'allow', 'import', '', ?1, '', ?1, ?1, 1)`,
    )
      .bind(control.in(-1))
      .run()
    const jti = await mint()
    expect(await trace(jti)).toMatchObject({ agrees: true })
    expect(await whyOf(jti, 'sso')).toMatchObject({ reason: 'import', evidence: [] })
  })
})

describe('why a token did not hold a flag', () => {
  const kill = () => control.must('POST', '/flags/reports/rules/production/kill', { ticket: 'INC-1' })
  test.each<[string, () => Promise<unknown>, string, string, string[]]>([
    ['killed', kill, 'reports', 'killed', ['rule.kill rule:production:reports']],
    [
      ...['closed', () => setRule('reports', { access: 'none' }), 'reports', 'rule_none'],
      ['rule.set rule:production:reports'],
    ] as never,
    [
      ...['denied', () => grant({ flag: 'reports', effect: 'deny' }), 'reports', 'denied'],
      ['grant.create grant'],
    ] as never,
    [
      ...['not paid for any more', cancel, 'reports', 'default'],
      ['plan.create plan:team', 'rule.set rule:production:reports', 'contract.put contract:contract-org_a'],
    ] as never,
    [
      ...['taken back', takeBack, 'sso', 'default'],
      ['rule.set rule:production:sso', 'grant.create grant', 'grant.revoke grant'],
    ] as never,
    ['not known', async () => {}, 'nothing', 'not_in_catalog', []],
    ['named like a member of every object', async () => {}, 'constructor', 'not_in_catalog', []],
  ])('that is %s', async (_, change, flag, reason, evidence) => {
    await change()
    const jti = await mint()
    const why = await whyOf(jti, flag)
    expect(why).toMatchObject({ flag, held: false, on: false, reason, funded_by: null, ends_at: null })
    expect(
      actions(why)
        .map((one) => one.replace(/grant:.*/, 'grant'))
        .sort(),
    ).toEqual(evidence.toSorted())
    expect(await trace(jti)).toMatchObject({ agrees: true })
  })

  async function cancel() {
    await control.must('PUT', '/orgs/org_a/contracts/contract-org_a', {
      ...{ plan: 'team', status: 'cancelled', revision: 2, from: control.in(-1) },
    })
  }
  async function takeBack() {
    const { data } = await grant()
    control.clock.now += DAY_MS
    await control.must('POST', `/grants/${data.id}/revoke`, {})
  }

  test('that is retired', async () => {
    await control.must('POST', '/flags/sso/state', { state: 'retiring' }, 2)
    await control.must('POST', '/flags/sso/state', { state: 'retired' }, 3)
    const why = await whyOf(await mint(), 'sso')
    expect(why).toMatchObject({ reason: 'not_in_catalog', evidence: [{ entity: 'flag:sso' }] })
  })
})

describe('a token of older documents', () => {
  test('is explained by those, whatever was changed since', async () => {
    await grant({ ticket: 'SUP-1' })
    const before = await mint()
    const seen = await trace(before)
    expect(seen).toMatchObject({ agrees: true, flags: ['reports', 'sso'] })

    await control.must('POST', '/flags/reports/rules/production/kill', {})
    await control.must('POST', `/grants/${seen.why[1].funded_by.id}/revoke`, {})
    await control.must('PATCH', '/plans/team', { flags: [] }, 1)
    await control.must('PUT', '/orgs/org_a/contracts/contract-org_a', {
      ...{ plan: null, status: 'cancelled', revision: 2, from: control.in(-1) },
    })
    await control.must('POST', '/flags/sso/state', { state: 'retiring' }, 2)
    await control.must('POST', '/flags/sso/state', { state: 'retired' }, 3)
    expect(await trace(before)).toEqual(seen)
    expect((await trace(await mint())).flags).toEqual([])
  })

  test('of different moments is explained by each of them, as no instant could', async () => {
    const old = await documentsOf(ORG)
    await control.must('POST', '/flags/reports/rules/production/kill', {})
    await grant({ flag: 'reports', source: 'beta' })
    const recent = await documentsOf(ORG)
    const mixed = [
      { ...old, org: recent.org },
      { ...recent, org: old.org },
    ]
    const events = mixed.map((one) => mintFrom(one as typeof old, ORG, control.clock.now))
    await store(...events)
    expect(await trace(events[0]?.jti ?? '')).toMatchObject({
      ...{ agrees: true, flags: ['reports'], why: [{ reason: 'beta' }] },
    })
    expect(await trace(events[1]?.jti ?? '')).toMatchObject({ agrees: true, flags: [], why: [] })
  })

  test('is found to agree for every mix of versions, whatever happened', async () => {
    const ids = { org: 'org_a', sub: 'u1' }
    const steps: (() => Promise<unknown>)[] = [
      () => grant({ source: 'beta' }),
      () => grant({ flag: 'reports', effect: 'deny', to: control.in(1) }),
      () => grant({ subject: { kind: 'user', id: 'u1' } }),
      () => setRule('sso', { access: 'none' }),
      () => control.must('PATCH', '/plans/team', { flags: ['reports', 'sso'] }, 1),
      () => grant({ subject: { kind: 'user', id: 'u1' }, effect: 'deny', to: control.in(2) }),
      () => setRule('sso', { access: 'all' }, 2),
      () =>
        control.must('PUT', '/orgs/org_a/contracts/contract-org_a', {
          ...{ plan: 'team', status: 'past_due', revision: 2, from: control.in(-9) },
        }),
      () => control.liveFlag('exports', { access: 'some', percentage: 50 }),
      () => control.must('POST', '/flags/reports/rules/production/kill', {}),
    ]
    const found = [await documentsOf(ids)]
    for (const step of steps) {
      await step()
      found.push(await documentsOf(ids))
      control.clock.now += DAY_MS / 4
    }
    const later = (steps: number) => control.clock.now + (steps % 5) * (DAY_MS / 2)
    const events = found.flatMap((catalogs, i) =>
      found.flatMap(({ org }, j) =>
        found
          .filter((_, k) => (i + j + k) % 7 === 0)
          .map(({ user }) => mintFrom({ catalog: catalogs.catalog, org, user }, ids, later(i + j))),
      ),
    )
    await store(...events)
    const distinct = new Map(events.map((event) => [event.ver, event]))
    expect(distinct.size).toBeGreaterThan(50)
    expect(new Set(events.map(({ flags }) => flags.join())).size).toBeGreaterThan(3)
    for (const { jti, ver } of distinct.values()) {
      expect(await trace(jti), ver).toMatchObject({ agrees: true, differences: { extra: [], missing: [] } })
    }
  })

  test('says so when it held what it should not, or not what it should', async () => {
    const jti = await mint(ORG, { flags: ['ghost', 'sso'] })
    const answer = await trace(jti)
    expect(answer).toMatchObject({
      ...{ agrees: false, differences: { extra: ['ghost', 'sso'], missing: ['reports'] } },
      why: [
        { flag: 'ghost', held: true, on: false, reason: 'not_in_catalog' },
        { flag: 'reports', held: false, on: true, reason: 'contract' },
        { flag: 'sso', held: true, on: false, reason: 'default' },
      ],
    })
  })
})

describe('a token of the fall-backs', () => {
  test('that is stale is explained by its versions', async () => {
    const jti = await mint(ORG, { src: 'stale' })
    expect(await trace(jti)).toMatchObject({ src: 'stale', agrees: true, why: [{ reason: 'contract' }] })
  })

  test('that is degraded holds what everybody has', async () => {
    await setRule('sso', { access: 'all' })
    const known = await documentsOf(ORG)
    const event = mintFrom({ ...known, org: undefined }, ORG, control.clock.now)
    await store(event)
    expect(event).toMatchObject({ src: 'degraded', flags: ['sso'] })
    expect(await trace(event.jti)).toMatchObject({ agrees: true, why: [{ flag: 'sso', reason: 'rule_all' }] })
    expect(await whyOf(event.jti, 'reports')).toMatchObject({ held: false, on: false, reason: 'degraded' })
  })

  test('that is degraded for want of a catalog holds nothing', async () => {
    await setRule('sso', { access: 'all' })
    const known = await documentsOf(ORG)
    const event = mintFrom({ ...known, catalog: undefined }, ORG, control.clock.now)
    await store(event)
    expect(event).toMatchObject({ src: 'degraded', flags: [], ver: expect.stringMatching(/^0\./) })
    expect(await trace(event.jti)).toMatchObject({ agrees: true, why: [] })
    expect(await whyOf(event.jti, 'sso')).toMatchObject({ held: false, reason: 'degraded' })
  })

  test('of an organization without a document has rules and percentages', async () => {
    await setRule('sso', { access: 'some', percentage: 100 })
    const jti = await mint({ org: 'org_unheard_of' })
    expect(await trace(jti)).toMatchObject({
      ver: expect.stringMatching(/\.0$/),
      agrees: true,
      flags: ['sso'],
    })
  })
})

test('what ended within the second of the mint counts as ended, as in the token', async () => {
  control.clock.now = Math.ceil(control.clock.now / 1000) * 1000 + 100
  const end = control.clock.now + 700
  await grant({ to: new Date(end).toISOString() })
  const jti = await mint()
  expect(await trace(jti)).toMatchObject({ agrees: true, flags: ['reports'] })
})

test('a support override traces back to who asked for it, who approved it, and the ticket', async () => {
  const at = new Date(control.clock.now).toISOString()
  const head = (await control.auditRows()).at(-1) as { seq: number; hash: string }
  const row: GrantRow = {
    ...{ id: 'grant_1', environment: 'production', subject_kind: 'org', subject_id: 'org_a' },
    ...{ flag: 'sso', effect: 'allow', source: 'override', reason: 'Locked out', ticket: 'SUP-9' },
    ...{ from: at, to: control.in(1), created_by: 'user:alice', created_at: at, updated_at: at },
    ...{ revoked_at: null, revoked_by: null, revision: 1 },
  }
  const entry = {
    ...{ seq: head.seq + 1, at, actor: 'user:alice', api_key: null, action: 'grant.create' },
    ...{ entity: 'grant:grant_1', environment: 'production', flag: 'sso', org: 'org_a', user: null },
    ...{ before: null, after: row, effect: {}, reason: 'Locked out', ticket: 'SUP-9', request_id: 'r' },
    ...{ change: 'change_1', on_behalf_of: null, prev: head.hash },
  }
  const approval = { api_key: null, people: ['user:bob'], owns: [], digest: 'd', at }
  await db().batch([
    db()
      .insert(audit)
      .values(toRow({ ...entry, hash: await hashEntry(entry) })),
    db().insert(grants).values(row),
    db().update(documents).set({ version: entry.seq, changed_at: at }),
    db()
      .insert(change_requests)
      .values({
        ...{ id: 'change_1', kind: 'change', state: 'applied', author: 'user:alice', people: ['user:alice'] },
        ...{
          items: [],
          rows: [],
          environments: ['production'],
          flags: ['sso'],
          required: 1,
          effect: {},
          digest: 'd',
        },
        ...{ approvals: [{ ...approval, actor: 'user:bob' }], reason: 'Locked out', ticket: 'SUP-9' },
        ...{ applied_at: at, created_at: at, updated_at: at, revision: 3 },
      }),
  ])
  expect((await documentsOf(ORG)).org?.document?.version).toBe(entry.seq)
  expect((await whyOf(await mint(), 'sso')).evidence).toMatchObject([
    {
      ...{ seq: entry.seq, actor: 'user:alice', ticket: 'SUP-9' },
      change: {
        ...{ id: 'change_1', kind: 'change', state: 'applied', author: 'user:alice', ticket: 'SUP-9' },
        ...{ approvals: [{ actor: 'user:bob', at }], reviewed_by: null, applied_at: at },
      },
    },
  ])
})

test('the number of statements is the same for any number of flags', async () => {
  const statements = async (flags: number) => {
    const names = Array.from({ length: flags }, (_, i) => `flag-${i}`)
    const jti = await mint(ORG, { flags: names })
    const answer = await control.get(`/tokens/${jti}`)
    expect(answer.body.why).toHaveLength(flags + 1)
    return answer.headers.get('server-timing')?.match(/(\d+) statements/)?.[1]
  }
  expect(await statements(500)).toBe(await statements(1))
})

describe('a token that is not there', () => {
  test('is not found, and the answer says why that may be', async () => {
    const answer = await control.get('/tokens/nothing')
    expect(answer.status).toBe(404)
    expect(answer.body).toMatchObject({ code: 'token_unknown', detail: expect.stringContaining('90 days') })
  })

  test.each([['?flag=NO'], ['?flags=sso']])('nor is it asked for with %s', async (query) => {
    expect((await control.get(`/tokens/nothing${query}`)).status).toBe(400)
  })
})

describe('a key that is kept to an environment', () => {
  const ask = async (environment: string, jti: string) => {
    const { secret } = await control.must('POST', '/api-keys', {
      ...{ name: 'ci', owner: 'system:ci', role: 'viewer', ends_at: control.in(3) },
      environments: [environment],
    })
    return control.call('GET', `/tokens/${jti}`, {
      ...{ role: null, headers: { authorization: `Bearer ${secret}` } },
    })
  }

  test('does not find the tokens of others', async () => {
    const answer = await ask('staging', await mint())
    expect(answer.status).toBe(404)
    expect(answer.body.code).toBe('token_unknown')
  })

  test('sees the audit rows of its own, and how many others there are', async () => {
    await grant()
    const { why } = (await ask('production', await mint())).body
    expect(why).toMatchObject([
      { flag: 'reports', evidence: [], withheld: 2 },
      { flag: 'sso', evidence: [{ action: 'grant.create' }], withheld: 0 },
    ])
  })

  test('learns nothing of tokens that never had a mint of their own', async () => {
    await store(minted({ jti: 'elsewhere', env: 'moon' }))
    expect((await ask('production', 'elsewhere')).status).toBe(404)
  })
})
