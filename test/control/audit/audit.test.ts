/** The audit log: one unbroken chain for all writers, and a batch that is all or nothing. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AuditRow } from '../../../src/control/db/rows.ts'
import { GENESIS, hashEntry, toEntry, verifyChain } from '../../../src/control/ledger/audit_chain.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp()
})

const run = (statement: string) => bindings.DB.prepare(statement).run()
const count = async (table: string) =>
  (await bindings.DB.prepare(`SELECT count(*) AS n FROM ${table}`).first<{ n: number }>())?.n

test('a row says who, when, what, before, after, why and in which request', async () => {
  await control.liveFlag('reports')
  await control.call('PUT', '/flags/reports/rules/production', {
    role: 'editor',
    body: { access: 'all', reason: 'launch', ticket: 'CHG-7' },
    ifMatch: 1,
    headers: { 'x-request-id': 'req-1' },
  })
  const { body } = await control.get('/audit?limit=1')
  expect(body.data[0]).toMatchObject({
    actor: 'user:editor',
    action: 'rule.set',
    entity: 'rule:production:reports',
    environment: 'production',
    flag: 'reports',
    before: { access: 'some', revision: 1 },
    after: { access: 'all', revision: 2 },
    reason: 'launch',
    ticket: 'CHG-7',
    request_id: 'req-1',
    at: new Date(control.clock.now).toISOString(),
  })
})

describe('the chain', () => {
  const seed = async (control: ControlUnderTest) => {
    await control.liveFlag('reports')
    await control.organization('org_a')
  }
  beforeEach(async () => {
    control = await setUp({}, { seed })
  })

  const verify = async () => (await control.get('/audit/verify')).body

  test('begins at nothing and verifies', async () => {
    const rows = (await control.auditRows()) as AuditRow[]
    expect(rows[0]).toMatchObject({ seq: 1, prev: GENESIS })
    expect(await verify()).toMatchObject({ intact: true, head: { seq: rows.length }, next: null })
    expect(await hashEntry(toEntry(rows[0] as AuditRow))).toBe(rows[0]?.hash)
  })

  test('cannot be changed or shortened through the database’s own statements', async () => {
    await expect(run("UPDATE audit SET reason = 'other'")).rejects.toThrow('append-only')
    await expect(run('DELETE FROM audit')).rejects.toThrow('append-only')
    const others = ['at', 'actor', 'action', 'entity', 'effect', 'request_id', 'prev', 'hash'].join(', ')
    const copy = (seq: string) =>
      run(
        `INSERT OR REPLACE INTO audit (seq, reason, ${others}) SELECT ${seq}, 'x', ${others} FROM audit WHERE seq = 2`,
      )
    await expect(copy('seq')).rejects.toThrow('only continues')
    await expect(copy('seq + 100')).rejects.toThrow('only continues')
  })

  test.each([
    ['a reason that was altered', "UPDATE audit SET reason = 'other' WHERE seq = 2", 2, 'altered'],
    ['a row that was removed', 'DELETE FROM audit WHERE seq = 2', 2, 'gap'],
    ['a hash that was replaced', "UPDATE audit SET hash = 'x' WHERE seq = 2", 2, 'altered'],
    ['a link that was cut', `UPDATE audit SET prev = '${GENESIS}' WHERE seq = 3`, 3, 'broken_link'],
  ])('shows %s by somebody who dropped the triggers', async (_, statement, seq, kind) => {
    await run('DROP TRIGGER audit_no_update')
    await run('DROP TRIGGER audit_no_delete')
    await run(statement)
    expect(await verify()).toMatchObject({ intact: false, problem: { seq, kind } })
  })

  test('goes on from any row', async () => {
    expect((await control.get('/audit/verify?from=3')).body).toMatchObject({
      intact: true,
      checked: { from: 3, to: 4 },
    })
  })

  test('is not said to be intact from a row on that there is not', async () => {
    expect((await control.get('/audit/verify?from=5')).body).toMatchObject({
      intact: true,
      checked: { to: 4 },
    })
    expect((await control.get('/audit/verify?from=6')).body).toMatchObject({
      ...{ intact: false, head: null, problem: { seq: 5, kind: 'gap' } },
    })
  })

  test('stays one and unbroken under concurrent writers', async () => {
    const writers = Array.from({ length: 12 }, (_, i) =>
      control.call('POST', '/orgs', { body: { id: `org_${i}x`, name: 'x', reason: 'race' } }),
    )
    const answers = await Promise.all(writers)
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201))
    expect(new Set(answers.map(({ body }) => body.seq)).size).toBe(12)
    expect(await verify()).toMatchObject({ intact: true, head: { seq: 16 } })
  })

  test('a kill over many organizations gets through a stream of other changes', async () => {
    await bindings.DB.prepare(
      `INSERT INTO organizations WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
       SELECT 'o' || i, 'x', 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 1 FROM n`,
    ).run()
    await control.must('PUT', '/flags/reports/rules/production', { access: 'all' }, 1)
    let killed: number | undefined
    const kill = control.must('POST', '/flags/reports/rules/production/kill', {}).then(({ seq, effect }) => {
      killed = seq
      expect(effect.changes[0].lost.organizations.count).toBeGreaterThan(50_000)
      expect(effect.base).toBeLessThan(seq)
    })
    let streamed = 0
    for (; killed === undefined && streamed < 300; streamed++) {
      await control.must('POST', '/orgs', { id: `stream_${streamed}`, name: 'x' })
      // The kill pauses between two attempts; a loop without a pause of its own would not let that end.
      await new Promise((resolve) => setTimeout(resolve))
    }
    await kill
    expect(streamed).toBeLessThan(300)
    expect(await verify()).toMatchObject({ intact: true })
  })

  test('lets exactly one of two writers of the same revision through', async () => {
    const put = (access: string) =>
      control.call('PUT', '/flags/reports/rules/production', { body: { access, reason: 'x' }, ifMatch: 1 })
    const statuses = (await Promise.all([put('all'), put('none')])).map(({ status }) => status)
    expect(statuses.sort()).toEqual([200, 412])
  })
})

describe('a batch that is cut in the middle leaves nothing', () => {
  afterEach(() => run('DROP TRIGGER IF EXISTS cut'))

  test.each(['audit', 'flags', 'documents', 'idempotency'])('at %s', async (table) => {
    await control.organization('org_a')
    const before = await Promise.all(['audit', 'flags', 'documents', 'idempotency'].map(count))
    const outbox = await bindings.DB.prepare('SELECT key, version FROM documents').all()
    await run(`CREATE TRIGGER cut BEFORE INSERT ON ${table} BEGIN SELECT RAISE(ABORT, 'cut'); END`)
    const answer = await control.call('POST', '/flags', {
      body: { key: 'reports', name: 'r', kind: 'entitlement', owner: 'o', reason: 'x' },
      headers: { 'idempotency-key': 'cut' },
    })
    expect(answer.status).toBe(500)
    expect(JSON.stringify(answer.body)).not.toContain('cut')
    expect(await Promise.all(['audit', 'flags', 'documents', 'idempotency'].map(count))).toEqual(before)
    expect((await bindings.DB.prepare('SELECT key, version FROM documents').all()).results).toEqual(
      outbox.results,
    )

    await run('DROP TRIGGER cut')
    await control.must('POST', '/flags', { key: 'reports', name: 'r', kind: 'entitlement', owner: 'o' })
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
  })
})

describe('the log is filtered', () => {
  test.each([
    ['by flag', 'flag=reports', 3],
    ['by organization', 'org=org_a', 1],
    ['by actor', 'actor=user:admin', 4],
    ['by action', 'action=rule.set', 1],
    ['by environment', 'environment=production', 1],
    ['by a time before', 'until=2020-01-01T00:00:00Z', 0],
    ['by a time since', 'since=2020-01-01T00:00:00Z', 4],
    ['by what nobody did', 'actor=user:nobody', 0],
  ])('%s', async (_, query, expected) => {
    await control.liveFlag('reports')
    await control.organization('org_a')
    expect((await control.get(`/audit?${query}`)).body.data.length).toBe(expected)
  })

  test('and read in pages, in both directions', async () => {
    await control.liveFlag('reports')
    await control.organization('org_a')
    for (const [order, expected] of [
      ['desc', [4, 3, 2, 1]],
      ['asc', [1, 2, 3, 4]],
    ] as const) {
      const first = (await control.get(`/audit?limit=3&order=${order}`)).body
      const rest = (await control.get(`/audit?limit=3&order=${order}&cursor=${first.next_cursor}`)).body
      expect([...first.data, ...rest.data].map(({ seq }: { seq: number }) => seq)).toEqual(expected)
      expect(rest.next_cursor).toBeNull()
    }
  })
})

test('an exported chain verifies without the database, from any head', async () => {
  await control.liveFlag('reports')
  const entries = ((await control.auditRows()) as AuditRow[]).map(toEntry)
  expect(await verifyChain(entries, { seq: 0, hash: GENESIS })).toMatchObject({ intact: true })
  expect(await verifyChain(entries.slice(1), { seq: 1, hash: entries[0]?.hash ?? '' })).toMatchObject({
    intact: true,
  })
  expect(await verifyChain(entries.slice(1), { seq: 0, hash: GENESIS })).toEqual({
    intact: false,
    seq: 1,
    problem: 'gap',
  })
})
