/** From the commit to the document in KV, through the real Durable Objects. */
import { createScheduledController, runDurableObjectAlarm } from 'cloudflare:test'
import { beforeEach, expect, test } from 'vitest'
import worker from '../../../src/control/worker.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp()
})

test('a change is in KV within 2 s of its commit', async () => {
  await control.liveFlag('reports')
  await control.published()
  const durations: number[] = []
  for (let i = 0; i < 20; i++) {
    const startedAt = Date.now()
    const { seq } = await control.must('POST', '/orgs', { id: `org_${i}`, name: 'x' })
    while (((await control.org(`org_${i}`))?.version ?? 0) < seq) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    durations.push(Date.now() - startedAt)
  }
  const p95 = durations.toSorted((a, b) => a - b)[18] ?? 0
  expect(p95).toBeLessThan(2_000)
})

test('a rule change over 100,000 organizations is one KV write', async () => {
  await control.liveFlag('reports')
  for (const id of ['org_a', 'org_b']) await control.organization(id)
  await bindings.DB.prepare(
    `INSERT INTO organizations WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99998)
     SELECT 'org_' || i, 'x', 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 1 FROM n`,
  ).run()
  await control.published()
  const before = await control.writes()
  const { seq, effect } = await control.must('PUT', '/flags/reports/rules/production', { access: 'all' }, 1)
  expect(effect.changes[0].gained.organizations.count).toBe(100_000)
  await control.published()
  const changed = (await control.writes()).filter((row) => !before.includes(row))
  expect(changed).toEqual([`catalog:production ${seq}`])
})

test('the cron publishes what was never announced, and forgets old idempotency records', async () => {
  const mute = { PUBLISHER: { getByName: () => ({ publish: () => Promise.reject(new Error('down')) }) } }
  control = await setUp(mute)
  await control.call('POST', '/orgs', {
    body: { id: 'org_a', name: 'A', reason: 'x' },
    headers: { 'idempotency-key': 'old' },
  })
  expect(await control.org('org_a')).toBeNull()
  await bindings.DB.prepare("UPDATE idempotency SET created_at = '2020-01-01T00:00:00.000Z'").run()
  await worker.scheduled(createScheduledController() as never, bindings as never)
  expect((await control.org('org_a'))?.version).toBe(1)
  expect((await bindings.DB.prepare('SELECT * FROM idempotency').all()).results).toEqual([])
})

test('a rebuild restores a namespace that was emptied', async () => {
  await control.liveFlag('reports')
  await control.organization('org_a')
  await control.published()
  const keys = (await bindings.ENTITLEMENTS.list()).keys.map(({ name }) => name)
  const before = await Promise.all(keys.map((key) => control.document(key)))
  for (const key of keys) await bindings.ENTITLEMENTS.delete(key)
  for (const environment of ['staging', 'production']) {
    const begun = await control.call('POST', `/publishing/${environment}/rebuild`, { body: {} })
    expect(begun.status).toBe(202)
    expect(begun.body.total).toBe(2)
    await runDurableObjectAlarm(bindings.PUBLISHER.getByName(environment))
  }
  for (let i = 0; i < 50; i++) {
    const { data } = (await control.get('/publishing')).body
    if (data.every(({ rebuild }: { rebuild: { finished_at: string | null } }) => rebuild.finished_at)) break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  expect(await Promise.all(keys.map((key) => control.document(key)))).toEqual(before)
})
