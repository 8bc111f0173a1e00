/**
 * An upgrade from the first version: nothing of what was is lost or means something else, and what was on its way goes on.
 *
 * If one of these fails, a change breaks a running deployment; the fixture is never made to fit (see its README).
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import answers from '../../fixtures/upgrade/answers.json?raw'
import documents from '../../fixtures/upgrade/documents.json?raw'
import * as previous from '../../fixtures/upgrade/reader.mjs'
import { delta, sendStandard } from '../contract_sync/support.ts'
import { bindings } from '../support/control.ts'
import { leave, NOW, type Upgraded, upgrade } from './support.ts'

const { head, ...answered } = JSON.parse(answers) as Record<string, object>
const written = Object.entries(JSON.parse(documents) as Record<string, object>)

let control: Upgraded
afterAll(leave)

describe('what was', () => {
  beforeAll(async () => {
    control = await upgrade()
  })

  test('the audit chain is intact, up to the same last row', async () => {
    expect((await control.get('/audit/verify')).body).toMatchObject({ intact: true, head, next: null })
  })

  test.each(Object.keys(answered))('is answered as before: %s', async (path) => {
    const { status, body } = await control.get(path)
    expect(status).toBe(200)
    expect(body).toMatchObject(answered[path] ?? {})
  })

  test.each([
    ['dashboard', 200, ['viewer']],
    ['deploys', 200, ['editor']],
    ['bot', 200, ['approver']],
    ['terraform', 200, ['admin']],
    ['staging-only', 200, ['editor']],
    ['short', 401, undefined],
    ['lost', 401, undefined],
  ])('the API key %s is answered %i', async (name, status, roles) => {
    const row = await bindings.DB.prepare('SELECT id FROM api_keys WHERE name = ?')
      .bind(name)
      .first<{ id: string }>()
    const answer = await control.asBearer(`remint_${row?.id}_${'A'.repeat(43)}`, 'GET', '/me')
    expect(answer.status).toBe(status)
    expect(answer.body.roles).toEqual(roles)
  })

  test('every list can be read to its end', async () => {
    const total = async (path: string) => {
      const seen: unknown[] = []
      for (let cursor = ''; ; ) {
        const { status, body } = await control.get(`${path}?limit=7${cursor}`, 'admin')
        expect(status).toBe(200)
        seen.push(...body.data)
        if (!body.next_cursor) return seen.length
        cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`
      }
    }
    const totals = [
      '/flags',
      '/plans',
      '/orgs',
      '/grants',
      '/changes',
      '/inbox',
      '/mappings',
      '/api-keys',
      '/audit',
    ]
    expect(
      Object.fromEntries(await Promise.all(totals.map(async (path) => [path, await total(path)]))),
    ).toEqual({
      ...{ '/flags': 14, '/plans': 3, '/orgs': 8, '/grants': 10, '/changes': 39, '/inbox': 15 },
      ...{ '/mappings': 4, '/api-keys': 7, '/audit': 215 },
    })
  })
})

describe('the documents', () => {
  beforeAll(async () => {
    control = await upgrade()
    await control.rebuilt()
  })

  test.each(written)('%s is published with what it said before', async (key, document) => {
    expect(await control.document(key)).toMatchObject(document)
  })

  test.each(written)('%s is read by a gateway of the version before', async (key, document) => {
    const [kind = '', environment = '', subject = ''] = key.split(':')
    const text = JSON.stringify(await control.document(key))
    const catalog = previous.parseCatalog(
      JSON.stringify(await control.document(`catalog:${environment}`)),
      environment,
    )
    const parse = { org: previous.parseOrgDocument, user: previous.parseUserDocument }[kind]
    if (!parse) return expect(catalog).toMatchObject({ ok: true, value: document })
    const parsed = parse(text, subject)
    expect(parsed).toMatchObject({ ok: true, value: document })
    if (!catalog.ok || !parsed.ok || kind !== 'org') return
    const at = new Date(NOW).toISOString()
    const path = `/orgs/${subject}/entitlements?environment=${environment}&at=${at}`
    const { body } = await control.get(path)
    const on = body.flags.filter((one: { on: boolean }) => one.on).map(({ flag }: { flag: string }) => flag)
    expect(
      previous.evaluateForToken(catalog.value, { orgId: subject, org: parsed.value }, NOW).flags,
    ).toEqual(on)
  })
})

describe('what was on its way', () => {
  beforeEach(async () => {
    control = await upgrade()
  })

  const act = (
    person: 'ada' | 'ben' | 'cleo',
    verb: string,
    { id, digest }: { id: string; digest: string },
  ) => control.as(person, 'POST', `/changes/${id}/${verb}`, verb === 'approve' ? { digest } : {})

  test('a commit that was not published is published', async () => {
    expect((await control.org('org_globex'))?.contracts).toMatchObject([{ plan: 'enterprise' }])
    await control.published()
    expect((await control.org('org_globex'))?.contracts).toMatchObject([{ plan: 'team', add: ['audit-log'] }])
  })

  test('what was approved is applied as it was approved', async () => {
    const plan = await control.change('Approved')
    expect(await act('cleo', 'apply', plan)).toMatchObject({
      status: 200,
      body: { data: { state: 'applied' } },
    })
    expect((await control.get('/plans/starter')).body.flags).toContain('exports')
    expect(await control.on('org_hooli')).toContain('exports')
    const mapping = await control.change('Approved, a mapping')
    expect((await act('cleo', 'apply', mapping)).status).toBe(200)
    expect((await control.get('/audit/verify')).body).toMatchObject({ intact: true, head: { seq: 219 } })
  })

  test.each([
    ['In review', ['org_wayne', 'reports']],
    ['In review, from a key', undefined],
  ])('what was in review is approved and applied: %s', async (reason, effect) => {
    const change = await control.change(reason)
    expect((await act('ben', 'approve', change)).body.data).toMatchObject({ state: 'approved' })
    expect((await act('cleo', 'apply', change)).body.data).toMatchObject({ state: 'applied' })
    if (effect) expect(await control.on(effect[0] ?? '')).toContain(effect[1])
  })

  test('what was scheduled is applied at its time, and not before', async () => {
    expect(await control.on('org_initech')).not.toContain('scim')
    expect(await control.scheduler.run()).toBe(Date.parse('2026-12-10T06:00:00.000Z'))
    expect((await control.change('Scheduled, due by the upgrade')).state).toBe('applied')
    expect(await control.on('org_initech')).toContain('scim')
    expect((await control.change('Scheduled, later')).state).toBe('scheduled')
    control.clock.now = Date.parse('2026-12-10T06:00:00.000Z')
    await control.scheduler.run()
    expect((await control.change('Scheduled, later')).state).toBe('applied')
    expect(await control.on('org_umbrella')).toContain('new-editor')
    expect(control.failures).toEqual([])
  })

  test('a look at what waits makes none of it stale, but for what is dangerous', async () => {
    let seen: Parameters<typeof control.scheduler.recheck>[0]
    for (let looks = 0; looks < 5; looks++) seen = await control.scheduler.recheck(seen)
    const { body } = await control.get('/changes?state=stale')
    expect(body.data.map(({ reason }: { reason: string }) => reason)).toEqual([
      'Stale',
      'Approved, retires what everybody has',
    ])
  })

  test('what a key had approved is reviewed again, by a person, and keys that approved are listed', async () => {
    expect((await control.change('Approved by a key')).state).toBe('approved')
    let seen: Parameters<typeof control.scheduler.recheck>[0]
    for (let looks = 0; looks < 5; looks++) seen = await control.scheduler.recheck(seen)
    const change = await control.change('Approved by a key')
    expect(change).toMatchObject({ state: 'in_review', problem: 'approvals_missing' })
    const keys = (await control.as('ada', 'GET', '/api-keys?role=approver')).body.data
    expect(keys.map(({ owner }: { owner: string }) => owner)).toEqual(['system:bot'])
    const bot = `remint_${keys[0].id}_${'A'.repeat(43)}`
    const { digest } = change
    const refused = await control.asBearer(bot, 'POST', `/changes/${change.id}/approve`, { digest })
    expect(refused).toMatchObject({ status: 403, body: { code: 'person_required' } })
    expect((await act('cleo', 'apply', change)).body.code).toBe('approvals_missing')
    expect((await act('ben', 'approve', change)).body.data).toMatchObject({
      state: 'approved',
      problem: null,
    })
    expect((await act('cleo', 'apply', change)).body.data).toMatchObject({ state: 'applied' })
  })

  test.each(['Stale', 'A draft'])('what was to be submitted is, and approved: %s', async (reason) => {
    const change = await control.change(reason)
    const submitted = (await act('cleo', 'submit', change)).body.data
    expect(submitted.state).toBe('in_review')
    await act('ben', 'approve', submitted)
    expect((await act('cleo', 'apply', submitted)).body.data).toMatchObject({ state: 'applied' })
  })

  test('what was approved, and would take a rollout from everybody, is not done', async () => {
    const answer = await act('cleo', 'apply', await control.change('Approved, retires what everybody has'))
    expect(answer).toMatchObject({ status: 409, body: { code: 'change_stale' } })
    expect(await control.change('Approved, retires what everybody has')).toMatchObject({
      ...{ state: 'stale', problem: 'flag_on_for_all' },
    })
    expect(await control.on('org_wayne')).toContain('beta-search')
  })

  test.each(['Rejected', 'Cancelled'])('what was over stays over: %s', async (reason) => {
    const answer = await act('cleo', 'apply', await control.change(reason))
    expect(answer).toMatchObject({ status: 409, body: { code: 'change_state' } })
  })

  test('break-glass that nobody had looked at is reviewed', async () => {
    const [glass, ...others] = (await control.get('/changes?unreviewed=true')).body.data
    expect(others).toEqual([])
    expect(glass).toMatchObject({ author: 'user:dan', ticket: 'INC-9', reviewed_at: null })
    expect((await act('ben', 'review', glass)).status).toBe(200)
    expect((await control.get('/changes?unreviewed=true')).body.data).toEqual([])
  })

  test('quarantined events are applied once what was missing is there', async () => {
    await act('cleo', 'apply', await control.change('Approved, a mapping'))
    await control.as('cleo', 'POST', '/orgs', { id: 'org_newcomer', name: 'Newcomer' })
    const states = async () =>
      Object.fromEntries(
        (await control.get('/inbox?limit=100', 'editor')).body.data.map((event: Record<string, string>) => [
          event.event_id,
          event.state,
        ]),
      )
    expect((await control.call('POST', '/inbox/replay', { role: 'editor', body: {} })).body.applied).toBe(2)
    expect(await states()).toMatchObject({
      ...{ evt_unmapped: 'applied', 'evt-C-NEW-1': 'applied', 'evt-C-HOO-3': 'waiting' },
      // What has nothing to do with contracts no longer waits for anybody.
      ...{ evt_ignored: 'ignored', 'evt-C-GLO-1~336bc0e1a911': 'quarantined' },
    })
    await sendStandard(control, delta('C-HOO', 2, { phase: 2, plan: 'team' }))
    expect(await states()).toMatchObject({ 'evt-C-HOO-2': 'applied', 'evt-C-HOO-3': 'applied' })
    expect(await control.on('org_newcomer')).toContain('exports')
    expect(await control.on('org_hooli')).toContain('exports')
  })

  test('an event that comes again does nothing', async () => {
    const { body } = await control.get('/inbox/standard/evt-C-GLO-1', 'editor')
    const again = await sendStandard(control, body.body)
    expect(again.body).toMatchObject({ state: 'applied', duplicate: true })
  })

  test('a write that comes again with its Idempotency-Key does nothing', async () => {
    const token = await control.operators.token({ roles: ['editor'], sub: 'cleo' }, control.clock.now)
    const rows = (await control.auditRows()).length
    const answer = await control.call('PATCH', '/plans/team', {
      ...{ role: null, ifMatch: 1, body: { reason: 'As agreed', description: 'For teams' } },
      headers: { authorization: `Bearer ${token}`, 'idempotency-key': 'plan-1' },
    })
    expect(answer).toMatchObject({ status: 200, body: { data: { description: 'For teams', revision: 2 } } })
    expect((await control.auditRows()).length).toBe(rows)
  })

  test('drift that was found is found again, and what was accepted stays accepted', async () => {
    const findings = async () =>
      (await bindings.DB.prepare('SELECT id, first_seen, accepted_until, resolved_at FROM findings').all())
        .results as {
        id: string
        first_seen: string
        accepted_until: string | null
        resolved_at: string | null
      }[]
    const before = await findings()
    await control.rebuilt()
    await control.pass()
    const after = new Map((await findings()).map((finding) => [finding.id, finding]))
    const accepted = before.filter(({ accepted_until }) => accepted_until !== null)
    expect(accepted).toHaveLength(1)
    for (const { id, first_seen, accepted_until } of before) {
      expect(after.get(id)).toMatchObject({ first_seen, accepted_until })
    }
  })
})
