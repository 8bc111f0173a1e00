/** What Paddle's events mean: a subscription as it is, in the order in which it came to be so. */
import { expect, test } from 'vitest'
import { FINAL } from '../../../../src/control/contract_sync/events.ts'
import { paddleSource } from '../../../../src/control/contract_sync/sources/paddle/source.ts'
import { NOW, parsed, SECRET } from '../deliveries.ts'
import updated from '../fixtures/paddle/subscription.updated.json' with { type: 'json' }

const source = paddleSource({ secrets: [SECRET] })
const AT = Date.parse('2026-11-22T09:00:00.123Z') * 1000 + 456
const changed = (data: object, members: object = {}) => ({
  ...updated,
  ...members,
  data: { ...updated.data, ...data },
})
const first = async (event: object) => {
  const result = await parsed(source, event)
  return result.ok ? result.value[0] : result
}

test('a subscription is a contract of its organization, with its prices', async () => {
  expect(await first(updated)).toEqual({
    ...{ type: 'contract.snapshot', source: 'paddle', system: null },
    ...{
      contract: 'sub_01hv8x29kz0t586xy6zn1a62ny',
      revision: AT,
      customer: 'ctm_01hv6y1jedq4p1n0yqn5ba3ky4',
    },
    org: { kind: 'org', candidates: ['sub_01hv8x29kz0t586xy6zn1a62ny', 'org_acme'], ours: 'org_acme' },
    phases: [
      {
        ...{ status: 'active', from: '2026-01-12T10:37:59.556Z', to: null },
        items: [
          { kind: 'price', candidates: ['pri_01gsz8x8sawmvhz1pv30nge1ke', 'pro_01gsz4t5hdjse780zja8vvr7jg'] },
        ],
      },
    ],
  })
})

test.each([
  ['due', { status: 'past_due' }, { status: 'past_due', to: null }],
  ['paused', { status: 'paused' }, { status: 'paused', to: null }],
  [
    'to be cancelled',
    { scheduled_change: { action: 'cancel', effective_at: '2026-12-12T10:37:59.556997Z' } },
    { status: 'active', to: '2026-12-12T10:37:59.556Z' },
  ],
  [
    'to be resumed, which another event tells',
    { status: 'paused', scheduled_change: { action: 'resume', effective_at: '2026-12-12T10:37:59Z' } },
    { status: 'paused', to: null },
  ],
  [
    'canceled',
    { status: 'canceled', canceled_at: '2026-11-22T09:00:00Z' },
    { status: 'cancelled', to: '2026-11-22T09:00:00.000Z' },
  ],
  ['without anything', { items: [{ ...updated.data.items[0], quantity: 0 }] }, { items: [] }],
])('one that is %s', async (_, data, expected) => {
  expect(await first(changed(data))).toMatchObject({ phases: [expected] })
})

test('what is canceled is so for good, whatever comes after it', async () => {
  expect(await first(changed({ status: 'canceled' }))).toMatchObject({ revision: FINAL + AT })
})

test('without custom data, it is whose its customer is; a name that can be none is an error', async () => {
  const names = ['sub_01hv8x29kz0t586xy6zn1a62ny', 'ctm_01hv6y1jedq4p1n0yqn5ba3ky4']
  expect(await first(changed({ custom_data: null }))).toMatchObject({ org: { candidates: names } })
  expect(await first(changed({ custom_data: { org_id: 'Acme Inc' } }))).toMatchObject({
    org: { invalid: 'Acme Inc' },
  })
})

test.each([
  ['transaction.completed', updated.data, { type: 'ignored', why: 'foreign_type' }],
  ['subscription.updated', { ...updated.data, items: 'none' }, { ok: false, detail: 'data.items' }],
  [
    'subscription.canceled',
    { ...updated.data, items: 'none', status: 'canceled' },
    { ok: false, ends: { type: 'contract.end', status: 'cancelled', revision: FINAL + AT } },
  ],
])('%s of what it can tell', async (event_type, data, expected) => {
  expect(await first({ ...updated, event_type, data })).toMatchObject(expected)
})

test('an exported subscription means what its events mean', () => {
  expect(source.fromList?.(updated.data, NOW)).toMatchObject({
    value: [{ contract: updated.data.id, revision: NOW * 1000, phases: [{ status: 'active' }] }],
  })
})
