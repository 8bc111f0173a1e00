/** What WorkOS's events mean, each of them. */
import { describe, expect, test } from 'vitest'
import { workosSource } from '../../../../src/control/contract_sync/sources/workos/source.ts'
import { parsed, SECRET } from '../deliveries.ts'
import flagCreated from '../fixtures/workos/flag.created.json' with { type: 'json' }
import flagDeleted from '../fixtures/workos/flag.deleted.json' with { type: 'json' }
import ruleUpdated from '../fixtures/workos/flag.rule_updated.json' with { type: 'json' }
import flagUpdated from '../fixtures/workos/flag.updated.json' with { type: 'json' }
import organizationCreated from '../fixtures/workos/organization.created.json' with { type: 'json' }
import organizationDeleted from '../fixtures/workos/organization.deleted.json' with { type: 'json' }
import organizationUpdated from '../fixtures/workos/organization.updated.json' with { type: 'json' }
import sessionRevoked from '../fixtures/workos/session.revoked.json' with { type: 'json' }

const source = workosSource({ secrets: [SECRET], environment: 'production', asksPolicy: true })
const AT = Date.parse('2026-11-22T09:00:00.000Z')
const flag = {
  kind: 'flag',
  candidates: ['advanced-analytics', 'flag_01KAN0Q6Y3V8D2M4T9C1R5XEZP'],
  ours: 'advanced-analytics',
}
const org = { kind: 'org', candidates: ['org_01KAMZW0ACME'], ours: 'org_01KAMZW0ACME' }
const targets = {
  type: 'flag.targets',
  source: 'workos',
  environment: 'production',
  flag,
  access: 'some',
  deleted: false,
  click: true,
  targets: { organizations: [org], users: ['user_01KAMZW0GRACE'] },
  revision: (AT + 3) * 10 + 1,
}
const upserted = {
  type: 'org.upserted',
  source: 'workos',
  org,
  name: 'Acme GmbH',
  revision: (AT + 5) * 10,
}

test.each([
  [flagCreated, [{ type: 'ignored', why: 'flag_without_rule' }]],
  [flagUpdated, [{ ...targets, access: 'none', targets: null, revision: (AT + 2) * 10 }]],
  [ruleUpdated, [targets]],
  [
    flagDeleted,
    [
      {
        ...{ ...targets, access: 'none', deleted: true, revision: (AT + 4) * 10 + 2 },
        targets: { organizations: [], users: [] },
      },
    ],
  ],
  [organizationCreated, [upserted]],
  [
    organizationUpdated,
    [
      { ...upserted, name: 'Acme SE', revision: (AT + 6) * 10 + 1 },
      {
        type: 'org.linked',
        source: 'stripe',
        external_id: 'cus_TSbAcme0000001',
        org: 'org_01KAMZW0ACME',
        confirmed: true,
        click: true,
      },
    ],
  ],
  [organizationDeleted, [{ type: 'org.deleted', source: 'workos', org, revision: (AT + 7) * 10 + 2 }]],
  [
    sessionRevoked,
    [
      {
        type: 'session.revoked',
        source: 'workos',
        environment: 'production',
        sid: 'session_01KAN1SESSION',
        user: 'user_01KAMZW0GRACE',
      },
    ],
  ],
])('$event', async (event, value) => {
  expect(await parsed(source, event)).toEqual({ ok: true, value })
})

describe('a rule', () => {
  const rule = (data: object, context: object = {}) => ({
    ...ruleUpdated,
    data: { ...ruleUpdated.data, ...data },
    context: { ...ruleUpdated.context, ...context },
  })

  test.each([
    ['none', {}, { access_type: 'none' }, 'none'],
    ['some', {}, { access_type: 'some' }, 'some'],
    ['all', {}, { access_type: 'all' }, 'all'],
    ['all, but switched off', { enabled: false }, { access_type: 'all' }, 'none'],
  ])('for %s', async (_, data, context, access) => {
    expect(await parsed(source, rule(data, context))).toMatchObject({ value: [{ access }] })
  })

  test('without targets ends all grants that were imported', async () => {
    const configured_targets = { organizations: [], users: [] }
    expect(await parsed(source, rule({}, { configured_targets }))).toMatchObject({
      value: [{ targets: { organizations: [], users: [] } }],
    })
  })

  test.each([
    ['an access that nobody knows', 'context.access_type', {}, { access_type: 'most' }],
    ['no targets', 'context.configured_targets', {}, { configured_targets: undefined }],
    [
      'a target that is no id',
      'context.configured_targets.organizations.0.id',
      {},
      { configured_targets: { organizations: [{ id: 'a b' }], users: [] } },
    ],
    ['no slug', 'data.slug', { slug: '' }, {}],
  ])('with %s is for the quarantine: %s', async (_, detail, data, context) => {
    expect(await parsed(source, rule(data, context))).toEqual({
      ...{ ok: false, reason: 'payload_invalid', detail },
    })
  })

  test('of a flag whose slug cannot be a flag’s key here needs a mapping', async () => {
    const result = await parsed(source, rule({ slug: 'AdvancedAnalytics' }))
    expect(result).toMatchObject({
      value: [{ flag: { candidates: ['AdvancedAnalytics', flag.candidates[1]] } }],
    })
    expect(JSON.stringify(result)).not.toContain('"ours":"AdvancedAnalytics"')
  })
})

describe('an update of a flag', () => {
  const update = (data: object, previous: object | undefined) => ({
    ...flagUpdated,
    data: { ...flagUpdated.data, ...data },
    context: previous && { previous_attributes: { data: previous } },
  })

  test.each([
    ['switched on again is on for whom it was on', { enabled: true }, { enabled: false }, 'some'],
    ['switched on for everybody', { enabled: true, default_value: true }, { enabled: false }, 'all'],
    ['switched off is off', { enabled: false }, { enabled: true }, 'none'],
    ['renamed while it is off is still off', { enabled: false }, { name: 'Old' }, 'none'],
  ])('%s', async (_, data, previous, access) => {
    expect(await parsed(source, update(data, previous))).toMatchObject({
      value: [{ type: 'flag.targets', access, targets: null }],
    })
  })

  test.each([[{ name: 'Old' }], [undefined]])('of anything else has no effect: %j', async (previous) => {
    expect(await parsed(source, update({ enabled: true }, previous))).toEqual({
      ok: true,
      value: [{ type: 'ignored', why: 'flag_without_rule' }],
    })
  })
})

test.each([
  ['  Acme\u202e\u0000 GmbH\n', 'Acme   GmbH'],
  ['\u0007', 'org_01KAMZW0ACME'],
  ['x'.repeat(500), 'x'.repeat(200)],
])('an organization called %j is shown as %j', async (name, shown) => {
  const event = { ...organizationCreated, data: { ...organizationCreated.data, name } }
  expect(await parsed(source, event)).toMatchObject({ value: [{ name: shown }] })
})

test('the rule of a flag comes after an update of the same millisecond, and before its deletion', async () => {
  const at = { created_at: '2026-11-22T09:00:00.500Z' }
  const events = [
    { ...flagUpdated, ...at },
    { ...ruleUpdated, ...at },
    { ...flagDeleted, ...at },
  ]
  const revisions = await Promise.all(
    events.map(async (event) => {
      const result = await parsed(source, event)
      const [first] = result.ok ? result.value : []
      return first && 'revision' in first ? first.revision : 0
    }),
  )
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
  expect(new Set(revisions).size).toBe(3)
})
