/**
 * What takes something away counts as far as it can be read, and what gives something waits for a person or for what is
 * missing. A story each: what happens, and what both organizations have after it in every environment.
 */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'
import {
  type Act,
  agreed,
  begin,
  changed,
  crm,
  edited,
  entitled,
  has,
  mapped,
  startOver,
  subscribed,
  tell,
} from './stories.ts'
import { delta, phase, snapshot } from './support.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
  await begin(control)
})
beforeEach(startOver)

interface Story {
  readonly name: string
  readonly acts: readonly Act[]
  readonly a?: string
  readonly b?: string
  /** The state of the last event, its problem and what of. */
  readonly last?: string
  readonly open?: number
}

async function check({ acts, a = '', b = '', last, open }: Story): Promise<void> {
  const answer = await tell(control, acts)
  expect([await has(control, 'org_a'), await has(control, 'org_b')]).toEqual([a, b])
  if (last !== undefined) {
    const { state, problem, detail } = answer?.body ?? {}
    expect([state, problem, detail].filter(Boolean).join(' ')).toBe(last)
  }
  if (open !== undefined) expect((await control.get('/inbox?state=open')).body.data).toHaveLength(open)
  expect((await control.get('/audit/verify')).body.intact).toBe(true)
}

const ALL = 'reports scim sso'
const AT = 1_795_000_000
const PAST = '2026-02-01T00:00:00Z'
const enterprise = { plan: 'enterprise', add: ['scim'] }
const customer = mapped('stripe/org/cus_1', 'org_a')
const begun = agreed('C-1', 'org_a', 1, enterprise)
/** The second snapshot, as it is. */
const second = (members: object, revision = 2) =>
  crm({
    ...snapshot('C-1', 'org_a', revision, []),
    data: { contract: 'C-1', org: 'org_a', revision, ...members },
  })
const secondDelta = (changes: object, members: object = {}) =>
  crm({
    ...delta('C-1', 2, {}),
    data: { contract: 'C-1', revision: 2, base_revision: 1, changes, ...members },
  })
const beta = (members: object, time: string) =>
  crm({
    ...{ specversion: '1.0', source: 'https://crm.example.com', type: 'beta.snapshot.v1', time },
    data: { org: 'org_a', flag: 'scim', from: '2026-01-01T00:00:00Z', to: null, ...members },
  })
const takesPart = beta({}, '2026-11-22T09:00:00Z')
const LATER = '2026-11-22T10:00:00Z'

describe('an event that is invalid otherwise', () => {
  test.each<Story>([
    {
      name: 'an end by its date, and a member that nobody knows',
      acts: [begun, second({ phases: [{ ...phase({ ...enterprise, to: PAST }), seats: 5 }] })],
      last: 'quarantined payload_invalid data.phases.0.seats',
    },
    {
      name: 'a downgrade, and a member that nobody knows',
      acts: [begun, second({ seats: 5, phases: [phase({ plan: 'team' })] })],
      ...{ a: 'reports', last: 'quarantined payload_invalid data.seats' },
    },
    {
      name: 'an upgrade, and a member that nobody knows, gives nothing',
      acts: [
        agreed('C-1', 'org_a', 1, { plan: 'team' }),
        second({ seats: 5, phases: [phase(enterprise)] }),
        mapped('standard/plan/enterprise', 'enterprise'),
      ],
      a: 'reports',
    },
    {
      name: 'a misspelt member takes nothing away',
      acts: [
        begun,
        second({
          phases: [{ plna: 'enterprise', ad: ['scim'], status: 'active', from: '2026-01-01', to: null }],
        }),
      ],
      ...{ a: ALL, open: 1 },
    },
    {
      name: 'the corrected event may have the same revision',
      acts: [
        begun,
        second({ seats: 5, phases: [phase({ plan: 'team' })] }),
        agreed('C-1', 'org_a', 2, { plan: 'team', add: ['scim'] }),
      ],
      ...{ a: 'reports scim', last: 'applied' },
    },
    {
      name: 'so may the corrected delta',
      acts: [
        begun,
        secondDelta({ remove: ['scim'], why: 'x' }),
        changed('C-1', 2, { remove: ['scim'], plan: 'team' }),
      ],
      ...{ a: 'reports', last: 'applied' },
    },
    {
      name: 'an earlier event that comes late does not give it back',
      acts: [
        begun,
        second({ seats: 5, phases: [phase({ plan: 'team' })] }, 3),
        second({ phases: [phase(enterprise)] }),
      ],
      ...{ a: 'reports', last: 'superseded later_revision_applied' },
    },
    { name: 'no phases at all', acts: [begun, second({ phases: [] })], open: 1 },
    {
      name: 'a status as others spell it',
      acts: [begun, second({ phases: [{ ...phase(enterprise), status: 'Canceled' }] })],
      last: 'quarantined payload_invalid data.phases.0.status',
    },
    { name: 'a delta with such a status', acts: [begun, secondDelta({ status: 'canceled' })] },
    {
      name: 'a phase that ends as it begins',
      acts: [begun, second({ phases: [phase({ ...enterprise, to: '2026-01-01T00:00:00Z' })] })],
    },
    {
      name: 'a day instead of an end, once it is over everywhere',
      acts: [begun, second({ phases: [phase({ ...enterprise, to: '2026-03-31' })] })],
    },
    {
      name: 'a day instead of an end, while it is to come',
      acts: [begun, second({ phases: [phase({ ...enterprise, to: '2199-03-31' })] })],
      a: ALL,
    },
    {
      name: 'phases that overlap, of which each gives less',
      acts: [begun, second({ phases: [phase({ plan: 'team' }), phase({ plan: 'team', from: PAST })] })],
      a: 'reports',
    },
    {
      name: 'a delta with an end, and a change that nobody knows',
      acts: [begun, secondDelta({ to: PAST, why: 'x' })],
    },
    {
      name: 'a delta that takes an add-on, and a member that nobody knows',
      acts: [begun, secondDelta({ remove: ['scim'] }, { why: 'x' })],
      a: 'reports sso',
    },
    {
      name: 'a participation that is withdrawn, and a member that nobody knows',
      acts: [takesPart, beta({ to: '2026-01-01T00:00:00Z', why: 'x' }, LATER)],
      last: 'quarantined payload_invalid data.why',
    },
    {
      name: 'a participation that has ended, and a day for its beginning',
      acts: [takesPart, beta({ from: '2026-01-01', to: PAST }, LATER)],
    },
    {
      name: 'a participation that begins, and a member that nobody knows',
      acts: [beta({ why: 'x' }, LATER)],
      open: 1,
    },
    {
      name: 'the id of another event',
      acts: [
        { crm: snapshot('C-1', 'org_a', 1, [enterprise]), as: 'same' },
        { crm: snapshot('C-1', 'org_a', 2, [{ ...enterprise, status: 'cancelled' }]), as: 'same' },
      ],
      last: 'quarantined event_id_reused',
    },
    {
      name: 'the id of another event, and more than before',
      acts: [
        { crm: snapshot('C-1', 'org_a', 1, [{ plan: 'team' }]), as: 'more' },
        { crm: snapshot('C-1', 'org_a', 2, [enterprise]), as: 'more' },
      ],
      ...{ a: 'reports', last: 'quarantined event_id_reused' },
    },
    {
      name: 'a subscription that is deleted, whatever status it shows',
      acts: [
        customer,
        subscribed('sub_1', { at: AT, prices: ['price_ent'] }),
        subscribed('sub_1', { at: AT + 1, type: 'customer.subscription.deleted', prices: ['price_ent'] }),
      ],
      last: 'applied',
    },
  ])('$name', (story) => check(story))
})

describe('a change whose base is not there takes away at once', () => {
  const ahead = (changes: object, revision = 5) => crm(delta('C-1', revision, changes))
  test.each<Story>([
    { name: 'a cancellation', acts: [begun, ahead({ status: 'cancelled' })], last: 'waiting base_missing' },
    { name: 'an add-on', acts: [begun, ahead({ remove: ['scim'] })], a: 'reports sso' },
    { name: 'a plan', acts: [begun, ahead({ plan: 'team' })], a: 'reports scim' },
    { name: 'an end', acts: [begun, ahead({ to: PAST })] },
    {
      name: 'what it gives waits',
      acts: [agreed('C-1', 'org_a', 1), ahead({ add: ['scim'] })],
      a: 'reports',
    },
    {
      name: 'of a phase that nobody can know yet, it waits',
      acts: [begun, ahead({ phase: 1, status: 'cancelled' })],
      a: ALL,
    },
    {
      name: 'then its base arrives',
      acts: [
        begun,
        ahead({ remove: ['scim'] }, 3),
        agreed('C-1', 'org_a', 2, { plan: 'team', add: ['scim', 'sso'] }),
      ],
      ...{ a: 'reports sso', open: 0 },
    },
  ])('$name', (story) => check(story))
})

describe('a source’s contract stays the source’s', () => {
  test.each<Story>([
    {
      name: 'after a person has written another source into it, or none',
      acts: [
        begun,
        edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 2 }),
        agreed('C-1', 'org_a', 2, { ...enterprise, status: 'cancelled' }),
      ],
      last: 'applied',
    },
    {
      name: 'whose name has half a character',
      acts: [1, 2].map((revision) =>
        crm({
          ...snapshot('C-1', 'org_a', revision, [
            { ...enterprise, status: revision === 1 ? 'active' : 'cancelled' },
          ]),
          source: 'https://crm.example/\ud83c',
        }),
      ),
    },
  ])('$name', (story) => check(story))
})

describe('a customer’s entitlements go where its subscriptions are', () => {
  const named = (org: string, at = AT) => subscribed('sub_1', { at, metadata: { org_id: org } })
  test.each<Story>([
    {
      name: 'also where they come before the only subscription that names the organization',
      acts: [entitled('cus_1', ['scim'], AT), named('org_a'), 'cron'],
      ...{ a: 'reports scim', open: 0 },
    },
    {
      name: 'where the name that a subscription has is mapped to another organization',
      acts: [
        mapped('stripe/org/acme', 'org_a'),
        ...[named('acme'), entitled('cus_1', ['scim'], AT)],
        mapped('stripe/org/acme', 'org_b'),
      ],
      b: 'reports scim',
    },
  ])('$name', (story) => check(story))
})

test('a checkout that only a link names is settled once an operator has mapped its customer', () =>
  check({
    name: '',
    acts: [
      {
        stripe: {
          ...{ id: 'evt_link', object: 'event', created: AT, livemode: true },
          type: 'checkout.session.completed',
          data: {
            object: { mode: 'payment', customer: 'cus_7', client_reference_id: 'org_a', metadata: {} },
          },
        },
      },
      mapped('stripe/org/cus_7', 'org_a'),
      'cron',
    ],
    open: 0,
  }))
