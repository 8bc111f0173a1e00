/** What a CRM says, as `docs/contract-sync.md` promises that it is read. */
import { describe, expect, test } from 'vitest'
import deltaSchema from '../../../../docs/schemas/contract.delta.v1.json' with { type: 'json' }
import snapshotSchema from '../../../../docs/schemas/contract.snapshot.v1.json' with { type: 'json' }
import {
  contractDelta,
  contractSnapshot,
  jsonSchema,
} from '../../../../src/control/contract_sync/sources/standard/schema.ts'
import { standardSource } from '../../../../src/control/contract_sync/sources/standard/source.ts'
import { parsed, receive, SECRET } from '../deliveries.ts'
import delta from '../fixtures/standard/contract.delta.v1.json' with { type: 'json' }
import snapshot from '../fixtures/standard/contract.snapshot.v1.json' with { type: 'json' }

const source = standardSource({ secrets: [SECRET] })
const plan = (id: string) => ({ kind: 'plan', candidates: [id], ours: id })
const flag = (id: string) => ({ kind: 'flag', candidates: [id], ours: id })

test('a snapshot is the whole contract, phase by phase', async () => {
  expect(await parsed(source, snapshot)).toEqual({
    ok: true,
    value: [
      {
        ...{ type: 'contract.snapshot', source: 'standard', system: 'https://crm.example.com' },
        ...{ contract: 'C-9', revision: 7, customer: null },
        org: { kind: 'org', candidates: ['org_acme'], ours: 'org_acme' },
        phases: [
          {
            status: 'active',
            from: '2026-01-01T00:00:00.000Z',
            to: '2027-01-01T00:00:00.000Z',
            items: [plan('enterprise'), flag('scim')],
          },
          { status: 'active', from: '2027-01-01T00:00:00.000Z', to: null, items: [plan('team')] },
        ],
      },
    ],
  })
})

test('a delta is what changes, and on what', async () => {
  expect(await parsed(source, delta)).toEqual({
    ok: true,
    value: [
      {
        ...{ type: 'contract.delta', source: 'standard', system: 'https://crm.example.com' },
        contract: 'C-9',
        revision: 8,
        base_revision: 7,
        changes: { phase: 1, add: [flag('audit-log')], remove: [flag('scim')] },
      },
    ],
  })
})

test.each([
  [{ status: 'cancelled' }, { status: 'cancelled' }],
  [{ plan: null }, { plan: null }],
  [
    { plan: 'team', to: null },
    { plan: plan('team'), to: null },
  ],
  [{ from: '2027-01-01T00:00:00Z' }, { from: '2027-01-01T00:00:00.000Z' }],
  [{ grace_until: '2027-01-01T00:00:00Z' }, { grace_until: '2027-01-01T00:00:00.000Z' }],
])('a delta may change %j', async (changes, expected) => {
  expect(await parsed(source, { ...delta, data: { ...delta.data, changes } })).toMatchObject({
    value: [{ changes: expected }],
  })
})

test('the event is known by its webhook-id, and happened when it says', async () => {
  expect(await receive(source, { ...snapshot, time: '2026-11-22T08:59:00Z' })).toMatchObject({
    id: 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W',
    type: 'contract.snapshot.v1',
    occurredAt: '2026-11-22T08:59:00.000Z',
  })
  expect(await receive(source, { ...snapshot, time: 'today' })).toMatchObject({
    occurredAt: '2026-11-22T09:00:00.000Z',
  })
})

describe('is for the quarantine:', () => {
  const [first, second] = snapshot.data.phases
  const phases = (...all: object[]) => ({ ...snapshot, data: { ...snapshot.data, phases: all } })
  const data = (members: object) => ({ ...snapshot, data: { ...snapshot.data, ...members } })
  const change = (members: object) => ({ ...delta, data: { ...delta.data, ...members } })
  const many = Array.from({ length: 21 }, (_, index) => ({
    ...second,
    from: `20${30 + index}-01-01T00:00:00Z`,
    to: `20${31 + index}-01-01T00:00:00Z`,
  }))

  test.each([
    ['another version of CloudEvents', 'specversion', { ...snapshot, specversion: '0.3' }],
    ['no data', 'data', { ...snapshot, data: undefined }],
    ['another content type', 'datacontenttype', { ...snapshot, datacontenttype: 'text/plain' }],
    ['a misspelt member', 'data.organisation', data({ organisation: 'org_acme' })],
    ['a misspelt member of a phase', 'data.phases.0.stauts', phases({ ...second, stauts: 'active' })],
    ['a contract with the mark of later rows', 'data.contract', data({ contract: 'C-9~2' })],
    ['a contract of two lines', 'data.contract', data({ contract: 'C\n9' })],
    ['a name that is too long', 'data.org', data({ org: 'x'.repeat(129) })],
    ['revision 0', 'data.revision', data({ revision: 0 })],
    ['a revision in parts', 'data.revision', data({ revision: 1.5 })],
    ['a revision beyond reach', 'data.revision', data({ revision: 4_000_000_000_000_000 })],
    ['no phases', 'data.phases', phases()],
    ['too many phases', 'data.phases', phases(...many)],
    ['phases that overlap', 'data.phases', phases({ ...first, to: '2027-02-01T00:00:00Z' }, { ...second })],
    ['phases out of order', 'data.phases', phases({ ...second, to: '2028-01-01T00:00:00Z' }, { ...first })],
    ['a phase after one without an end', 'data.phases', phases({ ...first, to: null }, { ...second })],
    ['a phase that ends before it begins', 'data.phases.0', phases({ ...first, to: '2025-01-01T00:00:00Z' })],
    ['a phase that is empty', 'data.phases.0', phases({ ...first, to: '2026-01-01T00:00:00Z' })],
    ['a status that nobody knows', 'data.phases.0.status', phases({ ...second, status: 'frozen' })],
    ['a delta without changes', 'data.changes', change({ changes: {} })],
    ['a delta of a phase without changes', 'data.changes', change({ changes: { phase: 1 } })],
    ['a delta based on itself', 'data', change({ base_revision: 8 })],
    ['a delta based on what comes later', 'data', change({ base_revision: 9 })],
    ['a delta with a misspelt change', 'data.changes.plans', change({ changes: { plans: 'team' } })],
  ])('%s, and where: %s', async (_, detail, event) => {
    expect(await parsed(source, event)).toMatchObject({ ok: false, reason: 'payload_invalid', detail })
  })

  const NOW_WRITE = 'must be an instant with its offset from UTC, such as 2027-01-01T00:00:00Z'
  test.each([
    ['a time without an offset', '2027-01-01T00:00:00', NOW_WRITE],
    ['a day that there is not', '2027-02-29T00:00:00Z', NOW_WRITE],
    ['an offset of a day', '2027-01-01T00:00:00+24:00', NOW_WRITE],
    ['an hour that there is not', '2027-01-01T25:00:00Z', NOW_WRITE],
    [
      'a day, which could be meant to be in or out',
      '2027-01-01',
      'must be an instant: an end is exclusive, so write the end of 31 December as 2027-01-01T00:00:00Z, or with your offset, 2027-01-01T00:00:00+01:00',
    ],
  ])('%s, and how to write it', async (_, to, how) => {
    const result = await parsed(source, phases({ ...first, to }))
    expect(result).toMatchObject({ ok: false, reason: 'payload_invalid', detail: `data.phases.0.to ${how}` })
  })

  test('too many phases is the only thing wrong with so many', async () => {
    expect(await parsed(source, phases(...many.slice(0, 20)))).toMatchObject({ ok: true })
  })
})

test.each([
  ['2026-11-27T20:00:00.123456+00:00', '2026-11-27T20:00:00.123Z'],
  ['2026-11-27T20:00:00-05:00', '2026-11-28T01:00:00.000Z'],
  ['2026-11-27t20:00:00z', '2026-11-27T20:00:00.000Z'],
  ['2026-11-27T20:00:00+05:30', '2026-11-27T14:30:00.000Z'],
  ['2026-11-27T20:00:00.000+0000', '2026-11-27T20:00:00.000Z'],
])('an instant may be written as %s', async (written, kept) => {
  const [first] = snapshot.data.phases
  const event = {
    ...snapshot,
    time: written,
    data: { ...snapshot.data, phases: [{ ...first, from: written, to: null }] },
  }
  expect(await receive(source, event)).toMatchObject({ occurredAt: kept })
  expect(await parsed(source, event)).toMatchObject({ value: [{ phases: [{ from: kept }] }] })
})

test.each([
  ['without a time', { time: undefined }],
  ['with a charset', { datacontenttype: 'application/json; charset=utf-8' }],
])('an envelope %s is as good', async (_, members) => {
  expect(await parsed(source, { ...snapshot, ...members })).toMatchObject({ ok: true })
})

test('extensions of the envelope are accepted', async () => {
  expect(await parsed(source, { ...snapshot, traceparent: '00-0af7-01' })).toMatchObject({ ok: true })
})

test.each([
  ['contract.snapshot.v1', snapshotSchema, contractSnapshot],
  ['contract.delta.v1', deltaSchema, contractDelta],
])('the published JSON Schema of %s is that of the code', (_, published, schema) => {
  expect(published).toEqual(JSON.parse(JSON.stringify(jsonSchema(schema))))
})
