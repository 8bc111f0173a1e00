/** From the commit to the document in KV, through the real Durable Objects. */
import { createScheduledController, runDurableObjectAlarm } from 'cloudflare:test'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KEY_INTERVAL_MS } from '../../../src/control/publish/publisher.ts'
import { eventually } from '../../support/eventually.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'
import worker, { edges } from '../support/worker.ts'

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp({}, { publishing: true })
})

afterEach(() => {
  edges.keyIntervalMs = 0
})

test('a change is in KV without anything that asks for it', async () => {
  edges.keyIntervalMs = KEY_INTERVAL_MS
  await control.liveFlag('reports')
  const { seq } = await control.must('POST', '/orgs', { id: 'org_a', name: 'x' })
  const document = await eventually(async () => (await control.org('org_a')) ?? undefined, 'the document')
  expect(document.version).toBe(seq)
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
  await eventually(async () => {
    const { data } = (await control.get('/publishing')).body
    const ends = data.map(({ rebuild }: { rebuild: { finished_at: string | null } }) => rebuild.finished_at)
    return ends.every(Boolean) || undefined
  }, 'the end of both rebuilds')
  expect(await Promise.all(keys.map((key) => control.document(key)))).toEqual(before)
})
