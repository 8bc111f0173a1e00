/**
 * The inbox: what was signed is kept once, with its effect; what cannot be applied is kept with the reason, and applied when
 * what was missing is there. Contracts need no approval: the agreement is the approval.
 */

import { beforeEach, describe, expect, test } from 'vitest'
import { COMMANDS } from '../../../../src/control/app.ts'
import { Inbox } from '../../../../src/control/contract_sync/inbox/inbox.ts'
import { keep } from '../../../../src/control/contract_sync/inbox/keep.ts'
import { workosSource } from '../../../../src/control/contract_sync/sources/workos/source.ts'
import { connect } from '../../../../src/control/db/client.ts'
import { eventually, PATIENT } from '../../../support/eventually.ts'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../../support/control.ts'
import { openLedger } from '../../support/ledger.ts'
import { edges } from '../../support/worker.ts'
import { NEXT_SECRET, OTHER_SECRET, SECRET } from '../deliveries.ts'
import checkout from '../fixtures/stripe/checkout.session.completed.json' with { type: 'json' }
import subscription from '../fixtures/stripe/customer.subscription.created.json' with { type: 'json' }
import ruleUpdated from '../fixtures/workos/flag.rule_updated.json' with { type: 'json' }
import organizationCreated from '../fixtures/workos/organization.created.json' with { type: 'json' }
import sessionRevoked from '../fixtures/workos/session.revoked.json' with { type: 'json' }
import { contractsOf, delta, flagsOf, send, sendStandard, snapshot } from '../support.ts'

let control: ControlUnderTest
const seed = async (control: ControlUnderTest) => {
  for (const key of ['reports', 'sso', 'scim']) await control.liveFlag(key)
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await control.must('POST', '/plans', { key: 'enterprise', name: 'Enterprise', flags: ['reports', 'sso'] })
  await control.must('POST', '/orgs', { id: 'org_a', name: 'A' })
  // Contract sync needs no approval: production requires it from now on.
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}
beforeEach(async () => {
  control = await setUp({}, { seed })
})

const inbox = async (query = '') => (await control.get(`/inbox?${query}`)).body.data

describe('a contract from a CRM', () => {
  test('is applied, in the documents, and on record under its own name', async () => {
    const answer = await sendStandard(
      control,
      snapshot('C-9', 'org_a', 1, [{ plan: 'enterprise', add: ['scim'] }]),
    )
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      ...{ event_id: 'evt-C-9-1', state: 'applied', problem: null, detail: null, duplicate: false },
      version: expect.any(Number),
    })
    expect(await flagsOf(control, 'org_a')).toEqual(['reports', 'scim', 'sso'])
    await control.published()
    const document = await control.org('org_a')
    expect(document?.contracts).toMatchObject([{ id: 'C-9', plan: 'enterprise', add: ['scim'] }])
    expect(document?.version).toBe(answer.body.version)
    const [row] = (await control.auditRows()).filter(({ entity }) => entity === 'contract:C-9')
    expect(row).toMatchObject({ actor: 'system:contract:C-9', action: 'contract.put' })
    expect(row?.reason).toContain('evt-C-9-1')
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
    expect(await inbox()).toMatchObject([
      { event_id: 'evt-C-9-1', state: 'applied', entity: 'contract:C-9', org: 'org_a', revision: 1 },
    ])
  })

  test('a downgrade at the end of the period is there now, dated to its day', async () => {
    const day = control.in(30)
    await sendStandard(
      control,
      snapshot('C-9', 'org_a', 1, [
        { plan: 'enterprise', to: day },
        { plan: 'team', from: day },
      ]),
    )
    expect(await contractsOf(control, 'org_a')).toMatchObject([
      { id: 'C-9', plan: 'enterprise', to: day },
      { id: 'C-9~2', plan: 'team', from: day },
    ])
    expect(await flagsOf(control, 'org_a')).toEqual(['reports', 'sso'])
    expect(await flagsOf(control, 'org_a', control.in(31))).toEqual(['reports'])
    await sendStandard(control, snapshot('C-9', 'org_a', 2, [{ plan: 'enterprise' }]))
    expect(await flagsOf(control, 'org_a', control.in(31))).toEqual(['reports', 'sso'])
  })

  test.each([
    ['trialing', ['reports'], ['reports']],
    ['active', ['reports'], ['reports']],
    ['past_due', ['reports'], []],
    ['paused', [], []],
    ['unpaid', [], []],
    ['cancelled', [], []],
    ['expired', [], []],
  ])('%s grants %j now and %j after eight days', async (status, now, later) => {
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ status }]))
    expect(await flagsOf(control, 'org_a')).toEqual(now)
    expect(await flagsOf(control, 'org_a', control.in(8))).toEqual(later)
  })

  test('an override survives it, and a downgrade is in the document without anything that asks for it', async () => {
    const to = new Date(control.clock.now + 30 * DAY_MS).toISOString()
    const subject = { kind: 'org', id: 'org_a' }
    const asked = await control.call('POST', '/grants', {
      role: 'editor',
      body: {
        environment: 'production',
        subject,
        flag: 'scim',
        source: 'override',
        to,
        reason: 'x',
        ticket: 'T-1',
      },
    })
    const { id, digest } = asked.body.data
    await control.call('POST', `/changes/${id}/approve`, { role: 'approver', body: { digest } })
    await control.call('POST', `/changes/${id}/apply`, { role: 'editor', body: {} })
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'enterprise' }]))
    await control.published()
    edges.publishing = true
    await sendStandard(control, snapshot('C-9', 'org_a', 2, [{ plan: 'team' }]))
    const contracts = await eventually(async () => {
      const document = await control.org('org_a')
      return document?.contracts[0]?.plan === 'team' ? document.contracts : undefined
    }, 'the downgrade')
    expect(contracts).toMatchObject([{ plan: 'team' }])
    expect(await flagsOf(control, 'org_a')).toEqual(['reports', 'scim'])
  })
})

describe('the same, another, or an older event', () => {
  test('sent twice is applied once', async () => {
    const event = snapshot('C-9', 'org_a', 1, [{}])
    const first = await sendStandard(control, event)
    const rows = (await control.auditRows()).length
    const again = await sendStandard(control, event)
    expect(again.status).toBe(200)
    expect(again.body).toEqual({ ...first.body, duplicate: true })
    expect((await control.auditRows()).length).toBe(rows)
    expect(await inbox()).toHaveLength(1)
  })

  test('sent twice at once is applied once', async () => {
    const event = snapshot('C-9', 'org_a', 1, [{}])
    const answers = await Promise.all(Array.from({ length: 5 }, () => sendStandard(control, event)))
    expect(answers.filter(({ body }) => !body.duplicate)).toHaveLength(1)
    expect(answers.every(({ status }) => status === 200)).toBe(true)
    expect((await control.auditRows()).filter(({ entity }) => entity === 'contract:C-9')).toHaveLength(1)
  })

  test('of an earlier revision changes nothing, and says so', async () => {
    await sendStandard(control, snapshot('C-9', 'org_a', 2, [{ plan: 'team' }]))
    const older = await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'enterprise' }]))
    expect(older.body).toMatchObject({
      state: 'superseded',
      problem: 'later_revision_applied',
      version: null,
    })
    expect(await flagsOf(control, 'org_a')).toEqual(['reports'])
  })

  test('of the same revision with other content goes to quarantine, and changes nothing', async () => {
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'team' }]))
    const other = await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'enterprise' }]), {
      id: 'evt-b',
    })
    expect(other.status).toBe(202)
    expect(other.body).toMatchObject({ state: 'quarantined', problem: 'contract_revision_conflict' })
    expect(await flagsOf(control, 'org_a')).toEqual(['reports'])
  })

  test('under a name that another event had is kept beside it', async () => {
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{}]), { id: 'evt-x' })
    const other = await sendStandard(control, snapshot('C-9', 'org_a', 2, [{ plan: 'enterprise' }]), {
      id: 'evt-x',
    })
    expect(other.body).toMatchObject({ state: 'quarantined', problem: 'event_id_reused' })
    expect(await inbox()).toHaveLength(2)
  })

  test('under one name in any order: the first is known again, and the other kept once', async () => {
    const first = snapshot('C-9', 'org_a', 1, [{}])
    const other = snapshot('C-9', 'org_a', 2, [{ plan: 'enterprise' }])
    await sendStandard(control, snapshot('C-8', 'org_a', 1, [{}]))
    const answers = await Promise.all(
      [first, other, first, other].map((event) => sendStandard(control, event, { id: 'evt-x' })),
    )
    expect(answers.map(({ body }) => body.problem).sort()).toEqual([
      ...['event_id_reused', 'event_id_reused', null, null],
    ])
    expect(await inbox()).toHaveLength(3)
    expect(await inbox('state=quarantined')).toMatchObject([{ problem: 'event_id_reused' }])
  })

  test('a delta waits for what it is based on, however many came before', async () => {
    const late = await sendStandard(control, delta('C-9', 3, { add: ['scim'] }))
    expect([late.status, late.body.state]).toEqual([202, 'waiting'])
    const later = await sendStandard(control, delta('C-9', 2, { add: ['sso'] }))
    expect(later.body.state).toBe('waiting')
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'team' }]))
    await expect.poll(() => flagsOf(control, 'org_a'), PATIENT).toEqual(['reports', 'scim', 'sso'])
    expect(await inbox('state=open')).toEqual([])
  })

  test('a contract of another source is not taken over', async () => {
    await sendStandard(control, snapshot('shared-1', 'org_a', 1, [{}]))
    const stripe = structuredClone(subscription)
    stripe.data.object.id = 'shared-1'
    Object.assign(stripe.data.object.metadata, { org_id: 'org_a' })
    await mapPrices()
    const answer = await send(control, 'stripe', JSON.stringify(stripe))
    expect(answer.body).toMatchObject({ state: 'quarantined', problem: 'contract_of_another_source' })
  })
})

async function approvedMapping(path: string, target: string) {
  const asked = await control.call('PUT', `/mappings/${path}`, {
    role: 'editor',
    body: { target, reason: 'a test' },
  })
  expect(asked.status).toBe(202)
  const { id, digest } = asked.body.data
  await control.call('POST', `/changes/${id}/approve`, { role: 'approver', body: { digest } })
  expect((await control.call('POST', `/changes/${id}/apply`, { role: 'editor', body: {} })).status).toBe(200)
}

async function mapPrices() {
  await approvedMapping('stripe/plan/enterprise_monthly', 'enterprise')
  await approvedMapping('stripe/flag/price_1SVaScim00000000000001', 'scim')
}

describe('quarantine', () => {
  test.each([
    ['an unknown organization', snapshot('C-1', 'org_nobody', 1, [{}]), 'org_unknown', 'org_nobody'],
    ['an unknown plan', snapshot('C-1', 'org_a', 1, [{ plan: 'gold' }]), 'plan_unknown', 'gold'],
    [
      'an unknown flag among others',
      snapshot('C-1', 'org_a', 1, [{ add: ['scim', 'nothing'] }]),
      'flag_unknown',
      'nothing',
    ],
    [
      'an unknown type',
      { ...snapshot('C-1', 'org_a', 1, [{}]), type: 'contract.renamed.v1' },
      'unknown_type',
      null,
    ],
    [
      'what is not as its type promises',
      { ...snapshot('C-1', 'org_a', 1, [{}]), data: { contract: 'C-1' } },
      'payload_invalid',
      'data.org, data.revision, data.phases',
    ],
  ])('%s is kept with what is wrong, and changes nothing', async (_, event, problem, detail) => {
    const before = (await control.auditRows()).length
    const answer = await sendStandard(control, event)
    expect(answer.status).toBe(202)
    expect(answer.body).toMatchObject({ state: 'quarantined', problem, detail, version: null })
    expect((await control.auditRows()).length).toBe(before)
    const [kept] = await inbox('state=quarantined')
    const shown = (await control.get(`/inbox/standard/${kept.event_id}`, 'editor')).body
    expect(shown.body).toEqual(event)
  })

  test('is left when what was missing is there and the event is replayed', async () => {
    const answer = await sendStandard(control, snapshot('C-1', 'acme-inc', 1, [{}]))
    expect(answer.body.problem).toBe('org_unknown')
    await approvedMapping('standard/org/acme-inc', 'org_a')
    const replayed = await control.call('POST', `/inbox/standard/${answer.body.event_id}/replay`, {
      body: {},
    })
    expect(replayed.body).toMatchObject({ state: 'applied', duplicate: false })
    expect(await flagsOf(control, 'org_a')).toEqual(['reports'])
    expect(await inbox('state=open')).toEqual([])
    const again = await control.call('POST', `/inbox/standard/${answer.body.event_id}/replay`, { body: {} })
    expect(again.body.code).toBe('event_settled')
  })

  test('is left when the sender sends it again, too; and all of it can be replayed at once', async () => {
    const event = snapshot('C-1', 'org_late', 1, [{}])
    await sendStandard(control, event)
    await sendStandard(control, snapshot('C-2', 'org_later', 1, [{}]))
    await control.must('POST', '/orgs', { id: 'org_late', name: 'L' })
    expect((await sendStandard(control, event)).body).toMatchObject({ state: 'applied', duplicate: false })
    await control.must('POST', '/orgs', { id: 'org_later', name: 'L' })
    const replayed = await control.call('POST', '/inbox/replay', { body: {} })
    expect(replayed.body).toMatchObject({ applied: 1 })
    const events = await inbox()
    expect(events.map(({ attempts }: { attempts: number }) => attempts)).toEqual([2, 2])
  })

  test('a replay of what a later event has overtaken does no harm', async () => {
    const first = await sendStandard(control, snapshot('C-1', 'org_a', 1, [{ plan: 'gold' }]))
    await sendStandard(control, snapshot('C-1', 'org_a', 2, [{ plan: 'team' }]))
    await control.must('POST', '/plans', { key: 'gold', name: 'Gold' }).catch(() => {})
    const replayed = await control.call('POST', `/inbox/standard/${first.body.event_id}/replay`, { body: {} })
    expect(replayed.body.state).toBe('superseded')
    expect(await contractsOf(control, 'org_a')).toMatchObject([{ plan: 'team', revision: 2 }])
  })

  test('what excludes another flag of the organization is kept there as well, and holds up nobody else', async () => {
    const asked = await control.call('PUT', '/policies/production', {
      body: { approvals: 1, exclusive: [['sso', 'scim']], reason: 'duties' },
      ifMatch: 2,
    })
    const { id, digest } = asked.body.data
    await control.call('POST', `/changes/${id}/approve`, { role: 'approver', body: { digest } })
    await control.call('POST', `/changes/${id}/apply`, { role: 'admin', body: {} })
    await control.must('POST', '/orgs', { id: 'org_b', name: 'B' })
    const [bad, good] = await Promise.all([
      sendStandard(control, snapshot('C-1', 'org_a', 1, [{ plan: 'enterprise', add: ['scim'] }])),
      sendStandard(control, snapshot('C-2', 'org_b', 1, [{ plan: 'team' }])),
    ])
    expect(bad.body).toMatchObject({ state: 'quarantined', problem: 'flags_exclusive' })
    expect(good.body.state).toBe('applied')
    expect(await flagsOf(control, 'org_a')).toEqual([])
  })
})

describe('what is not signed just now, by somebody with our secret', () => {
  const body = () => JSON.stringify(snapshot('C-9', 'org_a', 1, [{}]))
  const now = () => control.clock.now
  test.each([
    ['forged', 401, () => send(control, 'standard', body(), { id: 'e', secret: OTHER_SECRET })],
    ['stale', 400, () => send(control, 'standard', body(), { id: 'e', at: now() - 301_000 })],
    ['from the future', 400, () => send(control, 'standard', body(), { id: 'e', at: now() + 301_000 })],
    ['oversized', 413, () => send(control, 'standard', `${body()}${' '.repeat(65_536)}`, { id: 'e' })],
    [
      'for a source that there is not',
      404,
      () => control.send('/webhooks/nobody', { method: 'POST', body: '{}' }),
    ],
    ['unsigned', 401, () => control.send('/webhooks/standard', { method: 'POST', body: body() })],
  ])('%s is refused, and leaves nothing', async (_, status, sent) => {
    expect((await sent()).status).toBe(status)
    expect(await inbox()).toEqual([])
    expect(await flagsOf(control, 'org_a')).toEqual([])
  })

  test('a secret that is being rotated is good beside the next one', async () => {
    const rotating = await setUp({ STANDARD_WEBHOOK_SECRETS: `${SECRET},${NEXT_SECRET}` })
    await rotating.must('POST', '/orgs', { id: 'org_a', name: 'A' })
    for (const [revision, secret] of [
      [1, SECRET],
      [2, NEXT_SECRET],
    ] as const) {
      const event = snapshot('C-9', 'org_a', revision, [{ plan: null }])
      expect((await sendStandard(rotating, event, { secret })).body.state).toBe('applied')
    }
  })

  test('a replayed delivery is a duplicate', async () => {
    await send(control, 'standard', body(), { id: 'e' })
    expect((await send(control, 'standard', body(), { id: 'e' })).body.duplicate).toBe(true)
  })
})

describe('revocation by contract', () => {
  const notBefore = async () => (await control.get('/orgs/org_a')).body.not_before

  test('raises not_before where something is taken away whose flag wants it, and only there', async () => {
    const flag = (await control.get('/flags/sso')).body
    await control.must('PATCH', '/flags/sso', { revoke_on_loss: true }, flag.revision)
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'enterprise', add: ['scim'] }]))
    await sendStandard(control, snapshot('C-9', 'org_a', 2, [{ plan: 'enterprise' }]))
    expect(await notBefore()).toBe(0)
    const before = Math.floor(Date.now() / 1000)
    const answer = await sendStandard(control, snapshot('C-9', 'org_a', 3, [{ plan: 'team' }]))
    expect(await notBefore()).toBeGreaterThanOrEqual(before)
    await control.published()
    const document = await control.org('org_a')
    expect(document?.not_before).toBe(await notBefore())
    expect(document?.version).toBe(answer.body.version)
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
  })
})

describe('two events that contradict each other', () => {
  test('a delta of a revision that another one had goes to quarantine, and the same one again does no harm', async () => {
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'team' }]))
    await sendStandard(control, delta('C-9', 2, { add: ['scim'] }))
    const other = await sendStandard(control, delta('C-9', 2, { status: 'cancelled' }), { id: 'evt-other' })
    expect(other.body).toMatchObject({ state: 'quarantined', problem: 'contract_revision_conflict' })
    const same = await sendStandard(control, delta('C-9', 2, { add: ['scim'] }), { id: 'evt-same' })
    expect(same.body).toMatchObject({ state: 'superseded' })
  })

  test('a snapshot of the same revision with one phase more goes to quarantine', async () => {
    const end = control.in(30)
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'team', to: end }]))
    const more = snapshot('C-9', 'org_a', 1, [
      { plan: 'team', to: end },
      { plan: 'enterprise', from: end },
    ])
    const answer = await sendStandard(control, more, { id: 'evt-more' })
    expect(answer.body).toMatchObject({ state: 'quarantined', problem: 'contract_revision_conflict' })
  })

  test('what contradicts is not among those that are replayed at once', async () => {
    await sendStandard(control, snapshot('C-9', 'org_a', 1, [{ plan: 'team' }]), { id: 'evt-x' })
    await sendStandard(control, snapshot('C-9', 'org_a', 2, [{ plan: 'enterprise' }]), { id: 'evt-x' })
    expect((await control.call('POST', '/inbox/replay', { body: {} })).body.data).toEqual([])
    expect(await flagsOf(control, 'org_a')).toEqual(['reports'])
  })
})

test.each(['sub_1', 'stripe-entitlements:cus_1'])('a CRM’s contract cannot be called %s', async (id) => {
  const answer = await sendStandard(control, snapshot(id, 'org_a', 1, [{}]))
  expect(answer.body).toMatchObject({ state: 'quarantined', problem: 'contract_id_reserved' })
})

test.each([
  ['nested without end', `{"type":"contract.snapshot.v1","data":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
  ['half a character', '{"type":"contract.snapshot.v1","accountname":"Party \\ud83c"}'],
  [
    'a huge number',
    '{"type":"contract.snapshot.v1","data":{"contract":"C-1","org":"org_a","revision":1e999}}',
  ],
  ['no JSON', 'contract=C-1'],
  ['nothing', ''],
])('what is signed is kept, and never a fault: %s', async (_, body) => {
  const answer = await send(control, 'standard', body, { id: 'evt-odd' })
  expect([answer.status, answer.body.state]).toEqual([202, 'quarantined'])
  const shown = await control.get('/inbox/standard/evt-odd', 'editor')
  expect(shown.status).toBe(200)
  expect((await send(control, 'standard', body, { id: 'evt-odd' })).status).toBe(202)
  expect(await inbox()).toHaveLength(1)
})

test('a key of one environment reads no events', async () => {
  const { secret } = await control.must('POST', '/api-keys', {
    ...{ name: 'ci', owner: 'system:ci', role: 'editor', environments: ['staging'], ends_at: control.in(9) },
  })
  for (const path of ['/api/v1/inbox', '/api/v1/inbox/standard/evt-1']) {
    const answer = await control.send(path, { headers: { authorization: `Bearer ${secret}` } })
    expect(answer.body.code).toBe('environment_forbidden')
  }
})

describe('Stripe', () => {
  test('a checkout names the organization, and its subscription becomes a contract once prices are mapped', async () => {
    const session = structuredClone(checkout)
    Object.assign(session.data.object, { metadata: { org_id: 'org_a' } })
    expect((await send(control, 'stripe', JSON.stringify(session))).body.state).toBe('applied')
    const early = await send(control, 'stripe', JSON.stringify(subscription))
    expect(early.body).toMatchObject({ state: 'quarantined', problem: 'price_unknown' })
    await mapPrices()
    const { event_id } = early.body
    expect((await control.call('POST', `/inbox/stripe/${event_id}/replay`, { body: {} })).body.state).toBe(
      'applied',
    )
    expect(await contractsOf(control, 'org_a')).toMatchObject([
      { id: subscription.data.object.id, plan: 'enterprise', add: ['scim'], source: 'stripe' },
    ])
  })

  test('what only the address of a payment link says, an operator must confirm', async () => {
    const session = structuredClone(checkout)
    Object.assign(session.data.object, { metadata: {}, client_reference_id: 'org_a' })
    const answer = await send(control, 'stripe', JSON.stringify(session))
    expect(answer.body).toMatchObject({ state: 'quarantined', problem: 'org_unconfirmed' })
  })

  test('does not give a customer that is mapped to another organization', async () => {
    await control.must('POST', '/orgs', { id: 'org_b', name: 'B' })
    const of = (org_id: string, id: string) => {
      const session = structuredClone(checkout)
      session.id = id
      Object.assign(session.data.object, { metadata: { org_id } })
      return JSON.stringify(session)
    }
    await send(control, 'stripe', of('org_a', 'evt_1'))
    expect((await send(control, 'stripe', of('org_b', 'evt_2'))).body).toMatchObject({
      ...{ state: 'quarantined', problem: 'mapped_to_another_org' },
    })
  })
})

describe('WorkOS', () => {
  // A click is no agreement: where the policy requires approval, it waits (kinds.test.ts).
  beforeEach(() => bindings.DB.exec('UPDATE policies SET approvals = 0'))

  test('an organization is registered by its name', async () => {
    const { data } = organizationCreated
    expect((await send(control, 'workos', JSON.stringify(organizationCreated))).body.state).toBe('applied')
    expect((await control.get(`/orgs/${data.id}`)).body.name).toBe(data.name)
  })

  test('a flag’s targets become a rule and grants, and what is no target any more loses it', async () => {
    const event = structuredClone(ruleUpdated) as typeof ruleUpdated
    event.data.slug = 'scim'
    const targets = (organizations: string[]) => {
      const { context } = event
      context.access_type = 'some'
      context.configured_targets.organizations = organizations.map((id) => ({ id, name: id }))
      context.configured_targets.users = []
    }
    targets(['org_a'])
    expect((await send(control, 'workos', JSON.stringify(event))).body.state).toBe('applied')
    // The inbox lives by the real clock.
    control.clock.now = Date.now()
    expect(await flagsOf(control, 'org_a')).toEqual(['scim'])
    const [grant] = (await control.get('/grants?org=org_a')).body.data
    expect(grant).toMatchObject({ source: 'import', to: null, created_by: 'system:workos' })

    targets([])
    Object.assign(event, { id: `${event.id}2`, created_at: '2027-01-01T00:00:00.000Z' })
    expect((await send(control, 'workos', JSON.stringify(event))).body.state).toBe('applied')
    control.clock.now = Date.now()
    expect(await flagsOf(control, 'org_a')).toEqual([])

    targets(['org_a', 'org_nowhere'])
    Object.assign(event, { id: `${event.id}4`, created_at: '2027-01-02T00:00:00.000Z' })
    expect((await send(control, 'workos', JSON.stringify(event))).body).toMatchObject({
      ...{ state: 'quarantined', problem: 'org_unknown', detail: 'org_nowhere' },
    })

    targets(['org_a'])
    Object.assign(event, { id: `${event.id}3`, created_at: '2026-12-31T00:00:00.000Z' })
    expect((await send(control, 'workos', JSON.stringify(event))).body.state).toBe('superseded')
  })

  test('targets that come after a later switch are those that hold when it is on again', async () => {
    await control.must('POST', '/orgs', { id: 'org_b', name: 'B' })
    const event = (id: string, at: string, over: object) => {
      const made = structuredClone(ruleUpdated)
      made.data.slug = 'scim'
      return Object.assign(made, { id, created_at: at }, over)
    }
    const rule = (organizations: string[]) => ({
      context: {
        ...structuredClone(ruleUpdated.context),
        access_type: 'some',
        configured_targets: { organizations: organizations.map((id) => ({ id, name: id })), users: [] },
      },
    })
    const sent = async (made: object) => (await send(control, 'workos', JSON.stringify(made))).body.state
    const off = { ...structuredClone(ruleUpdated.data), slug: 'scim', enabled: false }
    expect(await sent(event('e_0', '2026-11-22T10:00:00.000Z', rule(['org_a', 'org_b'])))).toBe('applied')
    expect(
      await sent(event('e_3', '2026-11-22T13:00:00.000Z', { event: 'flag.updated', data: off, context: {} })),
    ).toBe('applied')
    expect(await sent(event('e_2', '2026-11-22T12:00:00.000Z', rule(['org_b'])))).toBe('applied')
    control.clock.now = Date.now()
    const active = (await control.get('/grants?flag=scim&active=true')).body.data
    expect(active.map(({ subject }: { subject: { id: string } }) => subject.id)).toEqual(['org_b'])
    expect((await control.get('/flags/scim/rules/production')).body.access).toBe('none')
  })

  test('a session that it ended is on the gateway’s denylist', async () => {
    expect((await send(control, 'workos', JSON.stringify(sessionRevoked))).body.state).toBe('applied')
    expect(await bindings.ENTITLEMENTS.get(`revoked:production:sid:${sessionRevoked.data.id}`)).not.toBeNull()
  })

  test('a session that cannot be denied now is kept as not applied, and denied by the cron', async () => {
    const source = workosSource({ secrets: [SECRET], environment: 'production', asksPolicy: false })
    const denied: string[] = []
    let broken = true
    const own = new Inbox({
      db: connect(bindings.DB).db,
      clock: () => control.clock.now,
      ledger: openLedger(() => control.clock.now),
      commands: COMMANDS,
      deny: async (environment, sid) => {
        if (broken) throw new Error('KV PUT failed: 500')
        denied.push(`${environment} ${sid}`)
      },
      sources: new Map([['workos', source]]),
    })
    const { id, event: type, created_at: occurredAt } = sessionRevoked
    const event = { source: 'workos', id, type, occurredAt, payload: sessionRevoked, digest: '' }
    await keep(connect(bindings.DB).db, event, JSON.stringify(sessionRevoked), source, occurredAt)
    const deliver = () => own.deliver(event)
    expect(await deliver()).toMatchObject({ value: { state: 'quarantined', problem: 'apply_failed' } })
    expect(await inbox('state=quarantined')).toMatchObject([{ event_id: id, problem: 'apply_failed' }])
    broken = false
    await own.retry()
    expect(denied).toEqual([`production ${sessionRevoked.data.id}`])
    expect(await inbox()).toMatchObject([{ event_id: id, state: 'applied', problem: null, attempts: 2 }])
    broken = true
    expect(await deliver(), 'what was done is reported as it was').toMatchObject({
      value: { state: 'applied', duplicate: true },
    })
  })
})
