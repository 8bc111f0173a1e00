/** Findings over time: seen first and last, resolved, accepted; who sees which; and what a pass costs. */
import { beforeEach, describe, expect, test } from 'vitest'
import { DRIFT_NAME } from '../../../src/control/config.ts'
import { connect } from '../../../src/control/db/client.ts'
import { mintFindings, mintsAfter } from '../../../src/control/drift/minted.ts'
import { compareMint, mintSubject, versionsOf } from '../../../src/control/effects/minted.ts'
import { readSubject } from '../../../src/control/ledger/history.ts'
import { eventually } from '../../support/eventually.ts'
import { bindings, DAY_MS } from '../support/control.ts'
import { type DriftUnderTest, type Found, seedClean, setUpDrift } from './support.ts'

let drift: DriftUnderTest
beforeEach(async () => {
  drift = await setUpDrift()
}, 30_000)

/** Rows that came in by SQL, so that there can be many. */
async function organizations(count: number): Promise<void> {
  await bindings.DB.prepare(
    `INSERT INTO organizations WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     SELECT printf('org_%05d', i), 'O', 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 1 FROM n`,
  )
    .bind(count)
    .run()
}

async function permanentGrants(count: number): Promise<void> {
  await bindings.DB.prepare(
    `INSERT INTO grants (id, environment, subject_kind, subject_id, flag, effect, source, reason, "from", created_by,
       created_at, updated_at, revision)
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     SELECT printf('g_%05d', i), 'production', 'org', printf('org_%05d', i), 'reports', 'allow', 'import', 'r',
       '2026-01-01T00:00:00.000Z', 'user:a', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 1 FROM n`,
  )
    .bind(count)
    .run()
}

const path = ({ id }: Pick<Found, 'id'>) => `/drift/${encodeURIComponent(id)}`
const one = async (query = ''): Promise<Found> => (await drift.findings(query))[0] as Found
const kill = () => drift.must('POST', '/flags/reports/rules/production/kill', {})
const revive = () => drift.must('POST', '/flags/reports/rules/production/revive', {})

async function sold(): Promise<void> {
  await drift.liveFlag('reports')
  await drift.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await drift.organization('org_a', 'team')
}

describe('a finding', () => {
  test('is one row from when it was seen first to when a pass no longer sees it', async () => {
    await sold()
    await kill()
    await drift.pass()
    const first = await one()
    expect(first.first_seen).toBe(first.last_seen)
    await drift.pass()
    const second = await one()
    expect(second).toMatchObject({ id: first.id, first_seen: first.first_seen, state: 'open' })
    expect(second.last_seen > first.last_seen).toBe(true)

    await revive()
    expect(await one()).toMatchObject({ id: first.id })
    await drift.pass()
    expect(await drift.findings()).toEqual([])
    const resolved = await one('&state=resolved')
    expect(resolved).toMatchObject({ id: first.id, last_seen: second.last_seen, state: 'resolved' })
    expect(resolved.resolved_at).not.toBeNull()

    await kill()
    await drift.pass()
    const again = await one()
    expect(again).toMatchObject({ id: first.id, resolved_at: null, state: 'open' })
    expect(again.first_seen > second.last_seen).toBe(true)
    expect((await drift.get(path(again))).body).toEqual(again)
  })

  test('is not resolved by a pass that was not complete', async () => {
    await sold()
    await kill()
    await drift.pass()
    await revive()
    drift.clock.now += 60_000
    await drift.runner.start()
    expect(await drift.findings()).toHaveLength(1)
    await drift.finish()
    expect(await drift.findings()).toEqual([])
  })

  test('that is accepted is not open until the acceptance ends, and the audit log names who accepted it', async () => {
    await sold()
    await kill()
    await drift.pass()
    const found = await one()
    const accepted = await drift.must('POST', `${path(found)}/accept`, {
      ...{ until: drift.in(7), reason: 'Known incident', ticket: 'INC-1' },
    })
    expect(accepted.data).toMatchObject({ accepted_by: 'user:admin', state: 'accepted' })
    expect((await drift.auditRows()).at(-1)).toMatchObject({
      ...{ action: 'finding.accept', entity: `finding:${found.id}`, environment: 'production' },
      ...{ flag: 'reports', reason: 'Known incident', ticket: 'INC-1' },
    })
    await drift.pass()
    expect(await drift.findings()).toEqual([])
    expect((await drift.get('/drift')).body.open.under_grant).toBe(0)
    expect(await one('&state=accepted')).toMatchObject({ id: found.id, accepted_reason: 'Known incident' })

    drift.clock.now += 7 * DAY_MS
    expect(await one()).toMatchObject({ id: found.id, state: 'open' })
  })

  test('that was accepted is open again once it has gone and come back', async () => {
    await sold()
    await kill()
    await drift.pass()
    await drift.must('POST', `${path(await one())}/accept`, { until: drift.in(30) })
    await revive()
    await drift.pass()
    expect(await drift.findings('&state=accepted')).toEqual([])
    await kill()
    await drift.pass()
    expect(await one()).toMatchObject({ state: 'open', accepted_until: null })
  })

  test.each([
    ['in the past', -1, 422, 'accept_until_invalid'],
    ['for more than a year', 366, 422, 'accept_until_invalid'],
  ])('is not accepted until %s', async (_, days, status, code) => {
    await sold()
    await kill()
    await drift.pass()
    const answer = await drift.call('POST', `${path(await one())}/accept`, {
      body: { reason: 'a test', until: drift.in(days) },
    })
    expect([answer.status, answer.body.code]).toEqual([status, code])
    expect(await drift.findings()).toHaveLength(1)
  })

  test('that is resolved, or is none, is not accepted', async () => {
    await sold()
    await kill()
    await drift.pass()
    const found = await one()
    await revive()
    await drift.pass()
    const body = { reason: 'a test', until: drift.in(1) }
    const [resolved, unknown] = [
      await drift.call('POST', `${path(found)}/accept`, { body }),
      await drift.call('POST', '/drift/nothing/accept', { body }),
    ]
    expect([resolved.status, resolved.body.code]).toEqual([409, 'finding_resolved'])
    expect(unknown.status).toBe(404)
    expect((await drift.auditRows()).filter(({ action }) => action === 'finding.accept')).toEqual([])
  })

  test('is filtered by what it is about', async () => {
    await seedClean(drift)
    await kill()
    await drift.must('POST', '/grants', {
      ...{ environment: 'production', subject: { kind: 'org', id: 'org_c' }, flag: 'exports' },
      ...{ source: 'import', to: null },
    })
    await drift.must('PUT', '/flags/exports/rules/staging', { access: 'none' }, 1)
    await drift.pass()
    const kinds = async (query: string) => (await drift.findings(query)).map(({ kind }) => kind)
    expect(await kinds('')).toEqual([
      ...['granted_without_contract', 'contract_without_access', 'environments_differ'],
    ])
    expect(await kinds('&org=org_c')).toEqual(['granted_without_contract'])
    expect(await kinds('&severity=metadata')).toEqual(['environments_differ'])
    expect(await kinds('&flag=reports')).toEqual(['contract_without_access'])
    expect(await kinds('&environment=staging')).toEqual([])
    expect(await kinds('&kind=owner_gone')).toEqual([])
    expect((await drift.get('/drift')).body.open).toEqual({ over_grant: 1, under_grant: 1, metadata: 1 })
  })
})

describe('a key that is kept to some environments', () => {
  test('sees and accepts what is found there, and nothing that is about no environment', async () => {
    await sold()
    await kill()
    await bindings.DB.prepare(`UPDATE contracts SET plan = 'gone' WHERE org = 'org_a'`).run()
    await drift.rebuilt()
    await drift.organization('org_b', 'team')
    await drift.pass()
    expect(await drift.findings()).toHaveLength(2)
    const key = async (environment: string) => {
      const body = {
        name: 'k',
        owner: 'user:k',
        role: 'editor',
        environments: [environment],
        ends_at: drift.in(30),
      }
      const { secret } = await drift.must('POST', '/api-keys', body)
      return { role: null, headers: { authorization: `Bearer ${secret}` } }
    }
    const [production, staging] = [await key('production'), await key('staging')]
    const seen = (await drift.call('GET', '/drift', production)).body
    expect(seen.data.map(({ kind }: Found) => kind)).toEqual(['contract_without_access'])
    expect((await drift.call('GET', '/drift', staging)).body.data).toEqual([])
    expect((await drift.call('GET', path(seen.data[0]), staging)).status).toBe(404)
    const body = { reason: 'a test', until: drift.in(1) }
    const accept = (options: typeof staging) =>
      drift.call('POST', `${path(seen.data[0])}/accept`, { ...options, body })
    expect((await accept(staging)).status).toBe(403)
    expect((await accept(production)).status).toBe(200)
  })
})

describe('a pass', () => {
  test('is distinguished from an empty list, before the first one and while it runs', async () => {
    expect((await drift.get('/drift')).body).toMatchObject({
      ...{ data: [], pass: { running: null, last: null } },
      summary: expect.stringContaining('an empty list means nothing'),
    })
    const begun = await drift.call('POST', '/drift/runs', { role: 'editor', body: {} })
    expect(begun.status).toBe(202)
    expect(begun.body.running).toMatchObject({ stage: 'catalog' })
    await drift.finish()
    expect((await drift.get('/drift')).body.pass).toMatchObject({ running: null, last: { findings: 0 } })
    expect(await drift.auditRows()).toEqual([])
  })

  test('begins by itself every quarter of an hour', async () => {
    const started = async () => (await drift.runner.progress()).last?.started_at
    await drift.finish()
    const first = await started()
    drift.clock.now += 14 * 60_000
    await drift.finish()
    expect(await started()).toBe(first)
    drift.clock.now += 60_000
    await drift.finish()
    expect(await started()).not.toBe(first)
  })

  test('that is asked for while another is on its way follows it', async () => {
    await drift.runner.start()
    await drift.runner.start()
    await drift.finish()
    const first = (await drift.runner.progress()).last?.started_at
    drift.clock.now += 1000
    await drift.finish()
    expect((await drift.runner.progress()).last?.started_at).not.toBe(first)
  })

  test('sees every organization, a page after the other, and its findings page without gaps', async () => {
    await drift.liveFlag('reports')
    await organizations(1_203)
    await permanentGrants(1_100)
    await drift.pass()
    expect((await drift.runner.progress()).last).toMatchObject({ organizations: 1_203, findings: 1_100 })
    const ids: string[] = []
    let cursor = ''
    do {
      const { body } = await drift.get(`/drift?limit=200${cursor && `&cursor=${cursor}`}`)
      ids.push(...body.data.map(({ id }: Found) => id))
      cursor = body.next_cursor ?? ''
    } while (cursor)
    expect(ids).toHaveLength(1_100)
    expect(new Set(ids).size).toBe(1_100)
  })

  test('counts an organization once in what is found about many of them', async () => {
    await drift.liveFlag('reports', { access: 'all' })
    await drift.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
    await organizations(1_203)
    await drift.pass()
    const [found, ...others] = await drift.findings()
    expect(others).toEqual([])
    expect(found?.evidence).toMatchObject({ organizations: 1_203 })
    expect(found?.evidence.examples).toHaveLength(5)
  })

  test('costs as many statements with many organizations as with one, page by page', async () => {
    await sold()
    const cost = async () => {
      const before = drift.statements()
      await drift.pass()
      return drift.statements() - before
    }
    const few = await cost()
    await organizations(400)
    expect(await cost()).toBe(few)
  })

  test('goes on from where it was, after a failure', async () => {
    await sold()
    await kill()
    await drift.published()
    drift.clock.now += 300_000
    const kv = await drift.org('org_a')
    await bindings.DB.prepare('ALTER TABLE mints RENAME TO hidden').run()
    await drift.runner.start()
    await expect(drift.runner.tick()).rejects.toThrow()
    expect((await drift.runner.progress()).running).toMatchObject({ stage: 'mints', organizations: 1 })
    await bindings.DB.prepare('ALTER TABLE hidden RENAME TO mints').run()
    await drift.finish()
    expect((await drift.runner.progress()).last).toMatchObject({ organizations: 1, findings: 1 })
    expect(await drift.org('org_a')).toEqual(kv)
  })

  test('runs in its own Durable Object', async () => {
    await sold()
    await kill()
    const object = bindings.SCHEDULER.getByName(DRIFT_NAME)
    expect((await object.startDrift()).running).not.toBeNull()
    const last = await eventually(async () => {
      await object.checkDrift()
      return (await object.driftProgress()).last ?? undefined
    }, 'the end of the pass')
    expect(last).toMatchObject({ organizations: 1 })
    expect((await drift.findings()).map(({ kind }) => kind)).toContain('contract_without_access')
  })
})

test('the past of many tokens at once is that of each of them alone', async () => {
  await seedClean(drift)
  const { db } = connect(bindings.DB)
  const head = (await drift.auditRows()).length
  await drift.must('POST', '/flags/help/rules/production/kill', {})
  await drift.must('PATCH', '/plans/team', { flags: ['exports', 'reports'] }, 1)
  for (const { id } of (await drift.get('/grants?active=true')).body.data) {
    await drift.must('POST', `/grants/${id}/revoke`, {})
  }
  await drift.must('PUT', '/orgs/org_a/contracts/C-a', {
    ...{ plan: 'business', status: 'active', from: '2026-01-01T00:00:00.000Z', revision: 2 },
  })
  const last = (await drift.auditRows()).length
  let state = 1
  const random = (below: number): number => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
  for (let i = 0; i < 60; i++) {
    const version = () => 1 + random(last)
    const flags = ['editor', 'exports', 'help', 'reports'].filter(() => random(2) === 0)
    await bindings.DB.prepare(
      `INSERT INTO mints (jti, environment, org, sub, flags, ver, src, minted_at, expires_at, request_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'q')`,
    )
      .bind(
        ...[`j${i}`, i % 3 ? 'production' : 'staging', i % 5 ? `org_${'abcd'[i % 4]}` : null],
        ...[i % 2 ? 'user_u' : 'user_w', JSON.stringify(flags), `${version()}.${version()}.${version()}`],
        ...[i % 7 ? 'fresh' : 'degraded', new Date(drift.clock.now).toISOString(), drift.in(1)],
      )
      .run()
  }
  expect(head).toBeLessThan(last)
  const mints = await mintsAfter(db, 0, 200)
  expect(mints).toHaveLength(60)
  const apart = new Set<string>()
  for (const mint of mints) {
    const moment = { versions: versionsOf(mint.ver) }
    const alone = compareMint(await readSubject(db, { ...mintSubject(mint), moment }), mint)
    const found = await mintFindings(db, [mint])
    expect(found.map(({ flag, evidence }) => [evidence.direction, flag])).toEqual([
      ...alone.extra.map((flag) => ['extra', flag]),
      ...alone.missing.map((flag) => ['missing', flag]),
    ])
    for (const { id } of found) apart.add(id)
  }
  expect(apart.size).toBeGreaterThan(20)
  const together = new Set((await mintFindings(db, mints)).map(({ id }) => id))
  expect([...together].sort()).toEqual([...apart].sort())
})
