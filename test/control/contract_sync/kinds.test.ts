/**
 * Kinds of faults that contract sync must not have, each as a table of stories: what happens, what both organizations have
 * after it in every environment, and what became of the last event.
 */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { Webhook } from 'standardwebhooks'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { misderived } from '../../../src/control/contract_sync/rederive.ts'
import { connect } from '../../../src/control/db/client.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'
import { NEXT_SECRET, SECRET } from './deliveries.ts'
import {
  type Act,
  agreed,
  begin,
  changed,
  crm,
  edited,
  entitled,
  flagDeleted,
  has,
  mapped,
  organization,
  ruled,
  startOver,
  subscribed,
  tell,
} from './stories.ts'
import { phase, snapshot } from './support.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
  await begin(control)
})
beforeEach(startOver)

interface Story {
  readonly name: string
  readonly acts: readonly Act[]
  /** What `org_a` and `org_b` have in the end. */
  readonly a?: string
  readonly b?: string
  /** The state of the last event, and its problem and what of. */
  readonly last?: string
  /** How many events are open in the end. */
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

const enterprise = { plan: 'enterprise', add: ['scim'] }
const ALL = 'reports scim sso'
const AT = 1_795_000_000
const customer = mapped('stripe/org/cus_1', 'org_a')

describe('an end lands, whatever else of the event is not known', () => {
  const over = { status: 'cancelled' }
  const stripe = (options: object) => subscribed('sub_1', { at: AT + 10, status: 'canceled', ...options })
  const active = subscribed('sub_1', { at: AT, prices: ['price_ent'] })

  test.each<Story>([
    {
      name: 'a plan that is none',
      acts: [agreed('C-1', 'org_a', 1, enterprise), agreed('C-1', 'org_a', 2, { ...over, plan: 'gold' })],
      last: 'quarantined plan_unknown gold',
    },
    {
      name: 'an add-on that is none',
      acts: [agreed('C-1', 'org_a', 1, enterprise), agreed('C-1', 'org_a', 2, { ...over, add: ['nothing'] })],
      last: 'quarantined flag_unknown nothing',
    },
    {
      name: 'an organization that is none',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        agreed('C-1', 'acme-holding', 2, { ...enterprise, ...over }),
      ],
      last: 'quarantined org_unknown acme-holding',
    },
    {
      name: 'an organization whose name can be none',
      acts: [agreed('C-1', 'org_a', 1, enterprise), agreed('C-1', 'Acme Inc', 2, { ...enterprise, ...over })],
      last: 'quarantined org_unknown Acme Inc',
    },
    {
      name: 'another organization',
      acts: [agreed('C-1', 'org_a', 1, enterprise), agreed('C-1', 'org_b', 2, { ...enterprise, ...over })],
      last: 'applied',
    },
    {
      name: 'a member that nobody knows',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        crm({
          ...snapshot('C-1', 'org_a', 2, []),
          data: { contract: 'C-1', org: 'org_a', revision: 2, phases: [{ ...phase(over), seats: 5 }] },
        }),
      ],
      last: 'quarantined payload_invalid data.phases.0.seats',
    },
    {
      name: 'a delta with a plan that is none',
      acts: [agreed('C-1', 'org_a', 1, enterprise), changed('C-1', 2, { ...over, plan: 'gold' })],
      last: 'quarantined plan_unknown gold',
    },
    {
      name: 'a delta that takes one add-on and gives one that is none',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        changed('C-1', 2, { remove: ['scim'], add: ['nothing'] }),
      ],
      ...{ a: 'reports sso', last: 'quarantined flag_unknown nothing' },
    },
    {
      name: 'an add-on less, and one that is none',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        agreed('C-1', 'org_a', 2, { plan: 'team', add: ['nothing'] }),
      ],
      ...{ a: 'reports', last: 'quarantined flag_unknown nothing' },
    },
    {
      name: 'an earlier end, and an add-on that is none',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        agreed('C-1', 'org_a', 2, { ...enterprise, add: ['nothing'], to: '2026-02-01T00:00:00Z' }),
      ],
      last: 'quarantined flag_unknown nothing',
    },
    {
      name: 'a downgrade, and a plan that is none',
      acts: [agreed('C-1', 'org_a', 1, enterprise), agreed('C-1', 'org_a', 2, { plan: 'starter' })],
      last: 'quarantined plan_unknown starter',
    },
    {
      name: 'an end that comes before what it ends',
      acts: [agreed('C-1', 'org_a', 2, { ...over, plan: 'gold' }), agreed('C-1', 'org_a', 1, enterprise)],
      last: 'superseded later_revision_applied',
    },
    {
      name: 'what is given waits: an upgrade with an add-on that is none',
      acts: [
        agreed('C-1', 'org_a', 1, { plan: 'team' }),
        agreed('C-1', 'org_a', 2, { plan: 'enterprise', add: ['nothing'] }),
      ],
      ...{ a: 'reports', last: 'quarantined flag_unknown nothing' },
    },
    {
      name: 'what is given waits: a new contract with an add-on that is none',
      acts: [agreed('C-1', 'org_a', 1, { plan: 'team', add: ['nothing'] })],
      last: 'quarantined flag_unknown nothing',
    },
    {
      name: 'a subscription at a price that is mapped to nothing',
      acts: [customer, active, stripe({ prices: ['price_new'] })],
      last: 'quarantined price_unknown price_new',
    },
    {
      name: 'a subscription whose price is mapped to nothing any more',
      acts: [customer, active, mapped('stripe/plan/price_ent', null), stripe({ prices: ['price_ent'] })],
      last: 'quarantined price_unknown price_ent',
    },
    {
      name: 'a subscription of a customer that is deleted, and of nobody',
      acts: [
        subscribed('sub_1', { at: AT, prices: ['price_ent'], metadata: { org_id: 'org_a' } }),
        stripe({ customer: 'cus_gone', prices: ['price_ent'] }),
      ],
      last: 'applied',
    },
    {
      name: 'a subscription of a customer that is mapped to nobody any more',
      acts: [customer, active, mapped('stripe/org/cus_1', null), stripe({ prices: ['price_ent'] })],
      last: 'applied',
    },
    {
      name: 'a subscription with items that cannot be read',
      acts: [customer, active, stripe({ members: { items: 'none' } })],
      last: 'quarantined payload_invalid data.object.items',
    },
    {
      name: 'a subscription that is unpaid, and named for nobody',
      acts: [
        customer,
        active,
        stripe({ status: 'unpaid', metadata: { org_id: 'Acme Inc' }, prices: ['price_ent'] }),
      ],
      last: 'quarantined org_unknown Acme Inc',
    },
    {
      name: 'entitlements of which one is not known here',
      acts: [customer, active, entitled('cus_1', ['scim'], AT + 1), entitled('cus_1', ['nothing'], AT + 2)],
      ...{ a: 'reports sso', last: 'quarantined flag_unknown nothing' },
    },
    {
      name: 'targets of which one is not known here',
      acts: [
        ruled('2026-11-22T09:00:00.000Z', { organizations: ['org_a', 'org_b'] }),
        ruled('2026-11-22T10:00:00.000Z', { organizations: ['org_b', 'org_nobody'] }),
      ],
      ...{ b: 'scim', last: 'quarantined org_unknown org_nobody' },
    },
  ])('$name', async (story) => {
    // WorkOS speaks for production alone.
    if (story.acts.some((act) => act !== 'cron' && 'workos' in act)) {
      const answer = await tell(control, story.acts)
      expect([answer?.body.state, answer?.body.problem, answer?.body.detail].join(' ')).toBe(story.last)
      const production = async (org: string) =>
        (await control.get(`/orgs/${org}/entitlements?environment=production`)).body.flags
          .filter(({ on }: { on: boolean }) => on)
          .map(({ flag }: { flag: string }) => flag)
          .join(' ')
      expect([await production('org_a'), await production('org_b')]).toEqual([story.a ?? '', story.b ?? ''])
      return
    }
    await check(story)
  })

  test('flags that exclude each other keep nothing that is taken away', async () => {
    const { revision } = (await control.get('/policies')).body.data.find(
      (one: { environment: string }) => one.environment === 'production',
    )
    await control.must(
      'PUT',
      '/policies/production',
      { approvals: 0, exclusive: [['sso', 'scim']] },
      revision,
    )
    await check({
      name: '',
      acts: [
        agreed('C-1', 'org_a', 1, { plan: 'enterprise' }),
        agreed('C-1', 'org_a', 2, { plan: 'team', add: ['sso', 'scim'] }),
      ],
      ...{ a: 'reports sso', last: 'quarantined flags_exclusive' },
    })
    await check({
      name: '',
      acts: [agreed('C-1', 'org_a', 3, { plan: null, add: ['sso', 'scim'] })],
      ...{ a: 'sso', last: 'quarantined flags_exclusive' },
    })
  })
})

describe('an agreement moves, and takes its flags along', () => {
  const bought = (org: string, at = AT) =>
    subscribed('sub_1', { at, prices: ['price_ent'], metadata: { org_id: org } })

  test.each<Story>([
    {
      name: 'a contract of a CRM',
      acts: [agreed('C-1', 'org_a', 1, enterprise), agreed('C-1', 'org_b', 2, enterprise)],
      ...{ b: ALL, last: 'applied' },
    },
    {
      name: 'a contract, and back again',
      acts: [1, 2, 3].map((revision) =>
        agreed('C-1', revision === 2 ? 'org_b' : 'org_a', revision, enterprise),
      ),
      ...{ a: ALL, last: 'applied' },
    },
    {
      name: 'a contract of which a later phase is no more',
      acts: [
        crm({
          ...snapshot('C-1', 'org_a', 1, [
            { plan: 'enterprise', to: '2030-01-01T00:00:00Z' },
            { plan: 'team', from: '2030-01-01T00:00:00Z' },
          ]),
        }),
        agreed('C-1', 'org_b', 2, enterprise),
      ],
      b: ALL,
    },
    { name: 'a subscription', acts: [bought('org_a'), bought('org_b', AT + 5)], b: 'reports sso' },
    {
      name: 'a customer, with its subscription and its entitlements',
      acts: [
        customer,
        subscribed('sub_1', { at: AT, prices: ['price_ent'] }),
        entitled('cus_1', ['scim'], AT),
        mapped('stripe/org/cus_1', 'org_b'),
      ],
      b: ALL,
    },
    {
      name: 'an organization that is merged into another, by its name',
      acts: [agreed('C-1', 'org_a', 1, enterprise), mapped('standard/org/org_a', 'org_b')],
      b: ALL,
    },
    {
      name: 'an organization that is merged, of events to come',
      acts: [mapped('standard/org/org_a', 'org_b'), agreed('C-1', 'org_a', 1, enterprise)],
      b: ALL,
    },
    {
      name: 'a subscription that no longer says whose it is stays whose it was',
      acts: [
        mapped('stripe/org/cus_1', 'org_b'),
        bought('org_a'),
        subscribed('sub_1', { at: AT + 5, prices: ['price_ent'] }),
        subscribed('sub_1', { at: AT + 6, prices: ['price_team'] }),
      ],
      a: 'reports',
    },
    {
      name: 'a name that is given and none is an error, not the payer',
      acts: [
        mapped('stripe/org/cus_1', 'org_b'),
        subscribed('sub_1', { at: AT, metadata: { org_id: 'Acme Inc' } }),
      ],
      last: 'quarantined org_unknown Acme Inc',
    },
    {
      name: 'a name with spaces around it is an error too',
      acts: [
        mapped('stripe/org/cus_1', 'org_b'),
        subscribed('sub_1', { at: AT, metadata: { org_id: ' org_a ' } }),
      ],
      last: 'quarantined org_unknown org_a',
    },
    {
      name: 'a name that is mapped by an operator is the one that counts',
      acts: [
        mapped('stripe/org/sub_1', 'org_a'),
        subscribed('sub_1', { at: AT, metadata: { org_id: 'Acme Inc' } }),
      ],
      a: 'reports',
    },
  ])('$name', (story) => check(story))

  test('both organizations are in the effective diff, and the old one’s tokens are refused', async () => {
    const flag = (await control.get('/flags/sso')).body
    await control.must('PATCH', '/flags/sso', { revoke_on_loss: true }, flag.revision)
    await tell(control, [agreed('C-1', 'org_a', 1, enterprise), agreed('C-1', 'org_b', 2, enterprise)])
    const rows = await control.auditRows()
    const moved = rows.findLast(({ entity }) => entity === 'contract:C-1')
    const left = rows.findLast(({ entity, org }) => entity === 'contract:C-1' && org === 'org_a')
    expect([left?.effect, moved?.effect].map((effect) => String(effect))).toEqual([
      ...[expect.stringContaining('org_a'), expect.stringContaining('org_b')],
    ])
    expect((await control.get('/orgs/org_a')).body.not_before).toBeGreaterThan(0)
    expect((await control.get('/orgs/org_b')).body.not_before).toBe(0)
    await control.published()
    expect((await control.org('org_a'))?.contracts).toEqual([])
    expect((await control.org('org_b'))?.contracts).toMatchObject([{ id: 'C-1' }])
  })
})

describe('order is that of what is changed', () => {
  test.each<Story>([
    {
      name: 'two systems with one number, behind one endpoint',
      acts: [
        crm({ ...snapshot('1001', 'org_a', 1, [enterprise]), source: 'https://crm.a.example' }),
        crm({ ...snapshot('1001', 'org_a', 2, [{ plan: 'team' }]), source: 'https://market.b.example' }),
      ],
      ...{ a: ALL, last: 'applied' },
    },
    {
      name: 'two systems with one number, for two organizations, and one that ends',
      acts: [
        crm({ ...snapshot('1001', 'org_a', 1, [enterprise]), source: 'https://crm.a.example' }),
        crm({ ...snapshot('1001', 'org_b', 1, [{ plan: 'team' }]), source: 'https://market.b.example' }),
        crm({
          ...snapshot('1001', 'org_a', 2, [{ ...enterprise, status: 'cancelled' }]),
          source: 'https://crm.a.example',
        }),
      ],
      ...{ b: 'reports', last: 'applied' },
    },
    {
      name: 'two systems that call an event the same',
      acts: [
        {
          crm: { ...snapshot('1001', 'org_a', 1, [enterprise]), source: 'https://crm.a.example' },
          as: 'evt-1',
        },
        { crm: { ...snapshot('1002', 'org_b', 1, [{}]), source: 'https://market.b.example' }, as: 'evt-1' },
      ],
      ...{ a: ALL, b: 'reports', last: 'applied' },
    },
  ])('$name', (story) => check(story))

  const [first, second, third] = [
    '2026-11-22T09:00:00.000Z',
    '2026-11-22T10:00:00.000Z',
    '2026-11-22T11:00:00.000Z',
  ]
  test.each<[string, Act[], string]>([
    [
      'a flag that was deleted and made again: the deletion comes late',
      [ruled(third, { id: 'flag_2', organizations: ['org_a'] }), flagDeleted(second, 'flag_1')],
      'scim',
    ],
    [
      'a flag that was deleted and made again: the rule of the first comes late',
      [
        ruled(third, { id: 'flag_2', organizations: [] }),
        ruled(first, { id: 'flag_1', organizations: ['org_a'] }),
      ],
      '',
    ],
    [
      'a flag that was deleted: its rule comes late',
      [flagDeleted(second), ruled(first, { organizations: ['org_a'] })],
      '',
    ],
  ])('%s', async (_, acts, expected) => {
    await tell(control, acts)
    const { body } = await control.get('/orgs/org_a/entitlements?environment=production')
    const on = body.flags.filter((one: { on: boolean }) => one.on).map(({ flag }: { flag: string }) => flag)
    expect(on.join(' ')).toBe(expected)
  })
})

test('a named endpoint has secrets, numbers and mappings of its own', async () => {
  const secrets = { STANDARD_WEBHOOK_SECRETS_MARKET: NEXT_SECRET }
  const own = { ...control, environment: { ...control.environment, ...secrets } }
  const body = JSON.stringify(snapshot('1001', 'org_a', 1, [enterprise]))
  const sent = async (path: string, secret: string) => {
    const headers = new Headers({ 'content-type': 'application/json', 'webhook-id': 'm-1' })
    const at = new Date(control.clock.now)
    headers.set('webhook-timestamp', String(Math.floor(at.getTime() / 1000)))
    headers.set('webhook-signature', new Webhook(secret).sign('m-1', at, body))
    const request = new Request(`https://control.test/webhooks/${path}`, { method: 'POST', headers, body })
    const context = createExecutionContext()
    const response = await control.app.fetch(request, own.environment, context)
    await waitOnExecutionContext(context)
    return response.status
  }
  await tell(control, [agreed('1001', 'org_b', 1, { plan: 'team' })])
  expect(await sent('standard/market', NEXT_SECRET)).toBe(200)
  expect(await sent('standard/market', SECRET)).toBe(401)
  expect(await sent('standard', NEXT_SECRET)).toBe(401)
  expect(await sent('standard/nobody', NEXT_SECRET)).toBe(404)
  expect([await has(control, 'org_a'), await has(control, 'org_b')]).toEqual([ALL, 'reports'])
  const [contract] = (await control.get('/orgs/org_a')).body.contracts
  expect(contract).toMatchObject({ id: 'market:1001', external_id: '1001', source: 'standard-market' })
})

describe('people’s edits and the source’s revisions are two scales', () => {
  test.each<Story>([
    {
      name: 'the source’s next message counts after a person’s edit',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 2, source: 'standard' }),
        agreed('C-1', 'org_a', 2, { ...enterprise, status: 'cancelled' }),
      ],
      last: 'applied',
    },
    {
      name: 'also where a person did not say whose the contract is',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 2 }),
        agreed('C-1', 'org_a', 2, { ...enterprise, status: 'cancelled' }),
      ],
      last: 'applied',
    },
    {
      name: 'after many edits',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 9, source: 'standard' }),
        agreed('C-1', 'org_a', 2, { plan: 'enterprise' }),
      ],
      ...{ a: 'reports sso', last: 'applied' },
    },
    {
      name: 'a delta is of what the source said',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 2, source: 'standard' }),
        changed('C-1', 2, { remove: ['scim'] }),
      ],
      ...{ a: 'reports sso', last: 'applied' },
    },
    {
      name: 'a contradiction is one of the source with itself',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 2, source: 'standard' }),
        agreed('C-1', 'org_a', 1, { plan: 'team' }),
      ],
      ...{ a: 'reports', last: 'quarantined contract_revision_conflict' },
    },
    {
      name: 'the same word again is the last word again',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 2, source: 'standard' }),
        agreed('C-1', 'org_a', 1, enterprise),
      ],
      ...{ a: ALL, last: 'applied' },
    },
  ])('$name', (story) => check(story))
})

describe('what heals goes on by itself', () => {
  test.each<Story>([
    {
      name: 'an organization that is made later',
      acts: [
        agreed('C-1', 'org_b', 1, enterprise),
        agreed('C-2', 'org_late', 1),
        organization('org_late'),
        'cron',
      ],
      ...{ b: ALL, open: 0 },
    },
    {
      name: 'an organization that is mapped later',
      acts: [agreed('C-1', 'acme', 1, enterprise), mapped('standard/org/acme', 'org_a'), 'cron'],
      ...{ a: ALL, open: 0 },
    },
    {
      name: 'a plan that is made later',
      acts: [
        agreed('C-1', 'org_a', 1, { plan: 'gold' }),
        { api: ['POST', '/plans', { key: 'gold', name: 'Gold', flags: ['scim'] }] },
        'cron',
      ],
      ...{ a: 'scim', open: 0 },
    },
    {
      name: 'a price that is mapped later',
      acts: [
        customer,
        subscribed('sub_1', { at: AT, prices: ['price_team', 'price_scim'] }),
        mapped('stripe/flag/price_scim', 'scim'),
        'cron',
      ],
      ...{ a: 'reports scim', open: 0 },
    },
    {
      name: 'a flag that is made later',
      acts: [
        agreed('C-1', 'org_a', 1, { plan: 'team', add: ['late'] }),
        {
          api: [
            'POST',
            '/flags',
            { key: 'late', name: 'L', kind: 'entitlement', owner: 'team-a', no_plan_reason: 'a test' },
          ],
        },
        'cron',
      ],
      ...{ a: 'reports', open: 0 },
    },
    {
      name: 'several events, in order',
      acts: [
        agreed('C-1', 'acme', 1, { plan: 'team' }),
        agreed('C-1', 'acme', 2, enterprise),
        changed('C-1', 3, { remove: ['scim'] }),
        mapped('standard/org/acme', 'org_a'),
        'cron',
      ],
      ...{ a: 'reports sso', open: 0 },
    },
    {
      name: 'all of what is missing, and not before',
      acts: [
        agreed('C-1', 'acme', 1, { plan: 'gold' }),
        mapped('standard/org/acme', 'org_a'),
        'cron',
        'cron',
      ],
      open: 1,
    },
    {
      name: 'a change of which only the end was applied',
      acts: [
        agreed('C-1', 'org_a', 1, enterprise),
        agreed('C-1', 'org_a', 2, { plan: 'gold' }),
        { api: ['POST', '/plans', { key: 'gold', name: 'Gold', flags: ['scim'] }] },
        'cron',
      ],
      ...{ a: 'scim', open: 0 },
    },
    {
      name: 'what a later event has overtaken does no harm',
      acts: [
        agreed('C-1', 'org_a', 1, { plan: 'gold' }),
        agreed('C-1', 'org_a', 2, { plan: 'team' }),
        { api: ['POST', '/plans', { key: 'gold', name: 'Gold', flags: ['scim'] }] },
        'cron',
      ],
      ...{ a: 'reports', open: 0 },
    },
    {
      name: 'a checkout that comes after its subscription',
      acts: [
        subscribed('sub_1', { at: AT, customer: 'cus_late' }),
        mapped('stripe/org/cus_late', 'org_a'),
        'cron',
      ],
      ...{ a: 'reports', open: 0 },
    },
  ])('$name', (story) => check(story))
})

describe('a click at a vendor is no agreement', () => {
  const at = (hour: number) => `2026-11-22T${String(hour).padStart(2, '0')}:00:00.000Z`
  const guard = async () => {
    const { revision } = (await control.get('/policies')).body.data.find(
      (one: { environment: string }) => one.environment === 'production',
    )
    await control.must('PUT', '/policies/production', { approvals: 1 }, revision)
  }
  const inProduction = async (org: string) => {
    const { body } = await control.get(`/orgs/${org}/entitlements?environment=production`)
    return body.flags.filter((one: { on: boolean }) => one.on).map(({ flag }: { flag: string }) => flag)
  }
  const ada = { id: 'user_ada', source: 'dashboard', name: 'Ada', email: 'Ada@example.com' }
  const changes = async () => (await control.get('/changes')).body.data
  const events = async () => (await control.get('/inbox')).body.data

  test('targets wait for approval, and are applied as they were approved', async () => {
    await guard()
    const answer = await tell(control, [ruled(at(9), { organizations: ['org_a'], actor: ada })])
    expect(answer).toMatchObject({
      status: 202,
      body: { state: 'quarantined', problem: 'approval_required' },
    })
    expect(await inProduction('org_a')).toEqual([])
    const [change] = await changes()
    expect(change).toMatchObject({ state: 'in_review', author: 'system:workos' })
    // Who clicked cannot approve it.
    const row = await bindings.DB.prepare('SELECT people FROM change_requests').first<{ people: string }>()
    expect(row?.people).toBe('["user:ada@example.com"]')
    expect(change.reason).toContain('by Ada@example.com')
    expect(await events()).toMatchObject([{ detail: change.id, person: 'Ada@example.com' }])
    const body = { digest: change.digest }
    expect(
      (await control.call('POST', `/changes/${change.id}/approve`, { role: 'approver', body })).status,
    ).toBe(200)
    expect(
      (await control.call('POST', `/changes/${change.id}/apply`, { role: 'admin', body: {} })).status,
    ).toBe(200)
    expect(await inProduction('org_a')).toEqual(['scim'])
    await tell(control, ['cron'])
    expect(await events()).toMatchObject([{ state: 'applied' }])
  })

  test('what is rejected waits no longer', async () => {
    await guard()
    await tell(control, [ruled(at(9), { organizations: ['org_a'] })])
    const [change] = await changes()
    await control.call('POST', `/changes/${change.id}/reject`, { role: 'approver', body: { reason: 'no' } })
    await tell(control, ['cron'])
    expect(await events()).toMatchObject([{ state: 'dismissed' }])
    expect(await inProduction('org_a')).toEqual([])
  })

  test('a target that is made later is one then', async () => {
    await tell(control, [ruled(at(9), { organizations: ['org_a', 'org_late'] })])
    expect(await inProduction('org_a')).toEqual(['scim'])
    await tell(control, [organization('org_late'), 'cron'])
    expect(await inProduction('org_late')).toEqual(['scim'])
    expect(await events()).toMatchObject([{ state: 'applied' }])
  })

  test('a contract needs no approval there', async () => {
    await guard()
    await tell(control, [agreed('C-1', 'org_a', 1, enterprise)])
    expect(await inProduction('org_a')).toEqual(['reports', 'scim', 'sso'])
  })

  test('where no policy asks, it acts at once, and who it was is on record', async () => {
    await tell(control, [ruled(at(9), { organizations: ['org_a'], actor: ada })])
    expect(await inProduction('org_a')).toEqual(['scim'])
    const row = (await control.auditRows()).findLast(({ action }) => action === 'flag.import')
    expect(row).toMatchObject({ actor: 'system:workos' })
    expect(row?.reason).toContain('by Ada@example.com: flag.rule_updated')
  })

  test('a rule that gives away what is sold is not taken over', async () => {
    await tell(control, [agreed('C-1', 'org_a', 1, { plan: 'team' })])
    const answer = await tell(control, [ruled(at(9), { slug: 'sso', access: 'all' })])
    expect(answer?.body).toMatchObject({
      state: 'quarantined',
      problem: 'contract_contradicts',
      detail: 'sso',
    })
    expect(await inProduction('org_a')).toEqual(['reports'])
  })

  test('a mapping of a customer waits, and the organization’s name does not', async () => {
    await guard()
    const answer = await tell(control, [
      {
        workos: {
          ...{ object: 'event', id: 'event_org', event: 'organization.updated', created_at: at(9) },
          data: { object: 'organization', id: 'org_a', name: 'Renamed', stripe_customer_id: 'cus_9' },
        },
      },
    ])
    expect(answer?.body).toMatchObject({ state: 'quarantined', problem: 'approval_required' })
    expect((await control.get('/orgs/org_a')).body.name).toBe('Renamed')
    const [change] = await changes()
    expect(change.items).toMatchObject([{ action: 'mapping.set', input: { external_id: 'cus_9' } }])
    const { data } = (await control.get('/mappings?kind=org')).body
    expect(data).toEqual([])
  })
})

describe('correcting a mapping', () => {
  const bought = [customer, subscribed('sub_1', { at: AT, prices: ['price_ent'] })]

  test('shows whom it moves before it does', async () => {
    await tell(control, bought)
    const path = '/mappings/stripe/plan/price_ent'
    const shown = await control.call('PUT', `${path}?dry_run=true`, { body: { target: 'team', reason: 'x' } })
    expect(JSON.stringify(shown.body.effect)).toContain('org_a')
    expect(await has(control, 'org_a')).toBe('reports sso')
    await control.must('PUT', path, { target: 'team' })
    expect(await has(control, 'org_a')).toBe('reports')
  })

  test('takes the approval that the policy requires', async () => {
    await tell(control, bought)
    const { revision } = (await control.get('/policies')).body.data.find(
      (one: { environment: string }) => one.environment === 'production',
    )
    await control.must('PUT', '/policies/production', { approvals: 1 }, revision)
    const asked = await control.call('PUT', '/mappings/stripe/plan/price_ent', {
      ...{ role: 'editor', body: { target: 'team', reason: 'x' } },
    })
    expect(asked.status).toBe(202)
    const { id, digest } = asked.body.data
    expect(asked.body.data.rows.map(({ entity }: { entity: string }) => entity)).toEqual([
      ...['contract:sub_1', 'mapping:stripe:plan:price_ent'],
    ])
    expect(await has(control, 'org_a')).toBe('reports sso')
    await control.call('POST', `/changes/${id}/approve`, { role: 'approver', body: { digest } })
    expect((await control.call('POST', `/changes/${id}/apply`, { role: 'editor', body: {} })).status).toBe(
      200,
    )
    expect(await has(control, 'org_a')).toBe('reports')
  })

  test.each<Story>([
    {
      name: 'a price that is mapped to nothing any more takes away what it gave',
      acts: [...bought, mapped('stripe/plan/price_ent', null)],
    },
    {
      name: 'a plan that becomes an add-on',
      acts: [...bought, mapped('stripe/flag/price_ent', 'scim'), mapped('stripe/plan/price_ent', null)],
      a: 'scim',
    },
    {
      name: 'the source’s next message counts',
      acts: [
        agreed('C-1', 'acme', 1, enterprise),
        mapped('standard/org/acme', 'org_b'),
        'cron',
        mapped('standard/org/acme', 'org_a'),
        agreed('C-1', 'acme', 2, { plan: 'team' }),
      ],
      ...{ a: 'reports', last: 'applied' },
    },
    {
      name: 'the snapshots sent again are no contradiction',
      acts: [
        agreed('C-1', 'acme', 1, enterprise),
        mapped('standard/org/acme', 'org_b'),
        'cron',
        mapped('standard/org/acme', 'org_a'),
        agreed('C-1', 'acme', 1, enterprise),
      ],
      ...{ a: ALL, last: 'applied', open: 0 },
    },
  ])('$name', (story) => check(story))

  test('of what was not moved, drift knows, and the repair moves it', async () => {
    await tell(control, bought)
    // As it was before mappings moved contracts.
    await bindings.DB.prepare(
      `UPDATE mappings SET target = 'team', updated_at = '2999-01-01T00:00:00.000Z' WHERE external_id = 'price_ent'`,
    ).run()
    const { db } = connect(bindings.DB)
    expect(await misderived(db, ['org_a', 'org_b'], Date.now())).toEqual([
      { contract: 'sub_1', org: 'org_a', changes: ['plan enterprise -> team'] },
    ])
    await control.must('POST', '/contracts/sub_1/derive', {})
    expect(await has(control, 'org_a')).toBe('reports')
    expect(await misderived(db, ['org_a', 'org_b'], Date.now())).toEqual([])
    await control.must('POST', '/contracts/sub_1/derive', {})
  })
})

describe('a customer’s entitlements follow that customer’s subscriptions', () => {
  const other = mapped('stripe/org/cus_2', 'org_a')
  test.each<Story>([
    {
      name: 'whatever else the organization has',
      acts: [
        ...[customer, other, subscribed('sub_1', { at: AT }), entitled('cus_1', ['scim'], AT)],
        subscribed('sub_2', { at: AT, customer: 'cus_2' }),
        subscribed('sub_1', { at: AT + 5, status: 'paused' }),
      ],
      a: 'reports',
    },
    {
      name: 'also where they come first',
      acts: [
        ...[customer, entitled('cus_1', ['scim'], AT)],
        subscribed('sub_1', { at: AT + 5, status: 'paused' }),
      ],
    },
    {
      name: 'to the organization that a subscription names',
      acts: [
        subscribed('sub_1', { at: AT, prices: ['price_team'], metadata: { org_id: 'org_b' } }),
        entitled('cus_1', ['scim'], AT),
      ],
      b: 'reports scim',
    },
  ])('$name', (story) => check(story))
})

describe('Stripe, as it is used', () => {
  test.each<Story>([
    {
      name: 'of what is there in no quantity, nothing is bought',
      acts: [
        customer,
        subscribed('sub_1', { at: AT, prices: [{ id: 'price_ent', quantity: 0 }, 'price_team'] }),
      ],
      a: 'reports',
    },
    {
      name: 'a price’s id is more than its lookup key, which moves on',
      acts: [
        ...[customer, mapped('stripe/plan/pro', 'enterprise')],
        subscribed('sub_1', {
          at: AT,
          members: { items: { data: [{ price: { id: 'price_team', lookup_key: 'pro', product: null } }] } },
        }),
      ],
      a: 'reports',
    },
    {
      name: 'past due, then paid, within one second',
      acts: [
        customer,
        subscribed('sub_1', { at: AT, status: 'past_due', previous: { status: 'active' } }),
        subscribed('sub_1', { at: AT, status: 'active', previous: { status: 'past_due' } }),
      ],
      a: 'reports',
    },
    {
      name: 'grace counts from when it fell due, not from when we learn of it',
      acts: [
        customer,
        subscribed('sub_1', { at: Math.floor(Date.now() / 1000) - 30 * 86_400, status: 'past_due' }),
      ],
    },
    {
      name: 'grace goes on while it stays due',
      acts: [
        customer,
        subscribed('sub_1', { at: Math.floor(Date.now() / 1000) - 30 * 86_400, status: 'past_due' }),
        subscribed('sub_1', { at: Math.floor(Date.now() / 1000) - 86_400, status: 'unpaid' }),
        subscribed('sub_1', { at: Math.floor(Date.now() / 1000), status: 'past_due' }),
      ],
    },
    {
      name: 'one event in the forms of two API versions',
      acts: [
        ...[
          customer,
          subscribed('sub_1', { id: 'evt_two', at: AT, members: { current_period_end: 1_900_000_000 } }),
        ],
        subscribed('sub_1', { id: 'evt_two', at: AT }),
      ],
      ...{ a: 'reports', last: 'applied', open: 0 },
    },
    {
      name: 'one event in two forms, of which the first cannot be read',
      acts: [
        ...[customer, subscribed('sub_1', { id: 'evt_2f', at: AT, members: { start_date: 'then' } })],
        subscribed('sub_1', { id: 'evt_2f', at: AT }),
      ],
      ...{ a: 'reports', last: 'applied', open: 0 },
    },
  ])('$name', (story) => check(story))

  test.each(['invoice.paid', 'charge.succeeded', 'customer.updated', 'payment_intent.created'])(
    '%s is ignored, and waits for nobody',
    async (type) => {
      const event = { id: `evt_${type}`, object: 'event', created: AT, type, data: { object: {} } }
      const answer = await tell(control, [{ stripe: event }])
      expect([answer?.status, answer?.body.state]).toEqual([200, 'ignored'])
    },
  )
})

describe('beta participation is an agreement like an add-on', () => {
  const beta = (members: object, time = '2026-11-22T09:00:00Z') =>
    crm({
      ...{ specversion: '1.0', source: 'https://crm.example.com', type: 'beta.snapshot.v1', time },
      data: { org: 'org_a', flag: 'scim', from: '2026-01-01T00:00:00Z', to: null, ...members },
    })
  test.each<Story>([
    { name: 'it begins', acts: [beta({})], a: 'scim' },
    { name: 'it has an end', acts: [beta({ to: '2026-02-01T00:00:00Z' })] },
    {
      name: 'it is withdrawn',
      acts: [beta({}), beta({ to: '2026-01-01T00:00:00Z' }, '2026-11-22T10:00:00Z')],
    },
    {
      name: 'a withdrawal that comes first',
      acts: [beta({ to: '2026-01-01T00:00:00Z' }, '2026-11-22T10:00:00Z'), beta({})],
    },
    {
      name: 'a revision of its own orders it',
      acts: [beta({ revision: 2 }), beta({ revision: 1, to: '2026-01-01T00:00:00Z' })],
      a: 'scim',
    },
    {
      name: 'a flag that is not known here',
      acts: [beta({ flag: 'nothing' })],
      last: 'quarantined flag_unknown nothing',
    },
  ])('$name', (story) => check(story))
})

describe('numbers as CRMs have them', () => {
  test.each(['Q-2026/0042', 'ACME 2026', 'Vertrag № 7', '00042'])('%s', async (number) => {
    const answer = await tell(control, [agreed(number, 'org_a', 1, { plan: 'team' })])
    expect(answer?.body.state).toBe('applied')
    const [contract] = (await control.get('/orgs/org_a')).body.contracts
    expect(contract).toMatchObject({ external_id: number })
    expect((await control.get(`/orgs/org_a/contracts/${contract.id}`)).status).toBe(200)
    await tell(control, [agreed(number, 'org_a', 2, { status: 'cancelled' })])
    expect(await has(control, 'org_a')).toBe('')
  })
})

describe('quarantine makes itself heard', () => {
  test('with a count, an age, the oldest event of each source, and filters', async () => {
    await tell(control, [
      agreed('C-1', 'org_nobody', 1),
      agreed('C-2', 'org_a', 1, { plan: 'gold' }),
      subscribed('sub_1', { at: AT }),
    ])
    const { quarantine, data } = (await control.get('/inbox?problem=plan_unknown')).body
    expect(data).toMatchObject([{ detail: 'gold', needs: ['plan:gold'] }])
    expect(quarantine).toMatchObject({ count: 3, oldest_at: expect.any(String) })
    expect(quarantine.sources).toMatchObject([
      { source: 'standard', count: 2, problems: { org_unknown: 1, plan_unknown: 1 } },
      { source: 'stripe', count: 1, problems: { org_unknown: 1 } },
    ])
  })

  test('operators see it at /healthz, and nobody else does', async () => {
    await tell(control, [agreed('C-1', 'org_nobody', 1)])
    const token = await control.operators.roleToken('viewer', control.clock.now)
    const health = (headers: Record<string, string>) => control.send('/healthz', { headers })
    expect((await health({})).body).toEqual({ status: 'ok' })
    expect((await health({ authorization: 'Bearer nothing' })).body).toEqual({ status: 'ok' })
    expect((await health({ authorization: `Bearer ${token}` })).body).toMatchObject({
      ...{ status: 'ok', contract_sync: { quarantine: { count: 1, sources: [{ source: 'standard' }] } } },
    })
  })

  test('an event is dismissed with a reason, once', async () => {
    const answer = await tell(control, [agreed('C-1', 'org_nobody', 1)])
    const path = `/inbox/standard/${answer?.body.event_id}/dismiss`
    expect((await control.call('POST', path, { role: 'viewer', body: { reason: 'x' } })).status).toBe(403)
    expect((await control.call('POST', path, { role: 'editor', body: {} })).status).toBe(400)
    const dismissed = await control.call('POST', path, {
      role: 'editor',
      body: { reason: 'a test customer' },
    })
    expect(dismissed.body).toMatchObject({ state: 'dismissed', dismissed_by: 'user:editor' })
    expect((await control.call('POST', path, { role: 'editor', body: { reason: 'x' } })).body.code).toBe(
      'event_settled',
    )
    expect((await control.get('/inbox?state=open')).body.data).toEqual([])
    expect((await control.get('/inbox')).body.quarantine.count).toBe(0)
  })
})
