import { beforeEach, describe, expect, test } from 'vitest'
import type { Setup } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { basic, bearer, entitle, mintToken, SERVICE, setUpVerification } from '../support/tokens.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
})

const KEY = { authorization: `Bearer ${SERVICE.secret}` }
const acme = { type: 'organization', id: 'org_acme' }
const use = { name: 'use' }
const feature = (id: string) => ({ type: 'feature', id })

const ask = (body: unknown, headers: Record<string, string> = KEY, path = 'evaluation') =>
  setup.request(`/access/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

test.each([
  ['a flag of the contract', acme, use, feature('reports'), true, 'contract'],
  ['a flag for everybody', acme, use, feature('everybody'), true, 'rule_all'],
  ['a flag that was not bought', acme, use, feature('scim'), false, 'default'],
  ['a flag that was killed', acme, use, feature('killed'), false, 'killed'],
  ['a flag that is none', acme, use, feature('nothing'), false, 'feature_unknown'],
  ['another action', acme, { name: 'delete' }, feature('reports'), false, 'action_unknown'],
  ['another resource', acme, use, { type: 'document', id: 'reports' }, false, 'resource_unknown'],
  ['another subject', { type: 'robot', id: 'org_acme' }, use, feature('reports'), false, 'subject_unknown'],
  [
    'a user without an organization',
    { type: 'user', id: 'user_1' },
    use,
    feature('reports'),
    false,
    'default',
  ],
  [
    'a user of the organization',
    { type: 'user', id: 'user_1', properties: { org_id: 'org_acme' } },
    use,
    feature('reports'),
    true,
    'contract',
  ],
])('%s', async (_, subject, action, resource, decision, reason) => {
  const response = await ask({ subject, action, resource, context: { ip: '::1' }, unknown: 1 })
  expect(response.status).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(await response.json()).toEqual({ decision, context: { reason } })
})

test.each([
  ['no subject', { action: use, resource: feature('a') }],
  ['a subject without an id', { subject: { type: 'user' }, action: use, resource: feature('a') }],
  ['an action that is a string', { subject: acme, action: 'use', resource: feature('a') }],
  ['no JSON', '{'],
  ['a list', []],
])('%s is 400', async (_, body) => {
  expect((await ask(body)).status).toBe(400)
})

describe('a user whose organization cannot be read', () => {
  // What everybody has, and its organization was denied.
  const subject = (org_id: unknown) => ({ type: 'user', id: 'user_1', properties: { org_id } })
  const malformed = [['org_acme'], { id: 'org_acme' }, '', 'o'.repeat(600), true]

  test.each(malformed.map((org_id) => [org_id]))('is not one without: %j', async (org_id) => {
    const question = { subject: subject(org_id), action: use, resource: feature('everybody') }
    expect((await ask(question)).status).toBe(400)
    const several = await ask({ evaluations: [question] }, KEY, 'evaluations')
    expect(await several.json()).toEqual({
      evaluations: [{ decision: false, context: { error: { status: 400, message: expect.any(String) } } }],
    })
    expect(setup.kv.reads).toEqual([])
  })

  test('is not told from what is known of the user alone', async () => {
    const claims = { org_id: ['org_acme', 'org_globex'], feature_flags: ['everybody'] }
    const token = await mintToken(setup, claims)
    await ask({ subject: { type: 'user', id: 'user_1' }, action: use, resource: feature('everybody') })
    const answer = await setup.request('/guard/everybody;freshness=live', bearer(token))
    expect([answer.status, answer.headers.get('x-remint-reason')]).toEqual([403, 'state_unknown'])
  })

  test('null is none', async () => {
    const question = { subject: subject(null), action: use, resource: feature('everybody') }
    expect(await (await ask(question)).json()).toMatchObject({ decision: true })
  })
})

describe('the request id', () => {
  test.each(['abc-123', 'anything at all; "quoted"'])('%j comes back as it was', async (id) => {
    const answer = await ask(
      { subject: acme, action: use, resource: feature('a') },
      { ...KEY, 'x-request-id': id },
    )
    expect(answer.headers.get('x-request-id')).toBe(id)
    const refused = await ask({}, { 'x-request-id': id })
    expect([refused.status, refused.headers.get('x-request-id')]).toEqual([401, id])
  })
})

describe('who may ask', () => {
  const question = (subject: object) => ({ subject, action: use, resource: feature('reports') })
  test.each([
    ['nobody', {}, 401],
    ['a wrong key', { authorization: 'Bearer wrong' }, 401],
    ['a key by Basic', { authorization: basic(SERVICE.name, SERVICE.secret) }, 200],
    ['a key as X-API-Key', { 'x-api-key': SERVICE.secret }, 200],
    ['two headers', { authorization: `Bearer ${SERVICE.secret}, Bearer x` }, 401],
  ])('%s: %i', async (_, headers, status) => {
    const response = await ask(question(acme), headers)
    expect(response.status).toBe(status)
    if (status === 401) {
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /)
      expect(setup.kv.reads).toEqual([])
    } else expect(log.last).toMatchObject({ caller: 'reader' })
  })

  test.each([
    [acme, 200],
    [{ type: 'user', id: 'user_1' }, 200],
    [{ type: 'user', id: 'user_1', properties: { org_id: 'org_acme' } }, 200],
    [{ type: 'user', id: 'user_1', properties: { org_id: 'org_other' } }, 403],
    [{ type: 'user', id: 'user_2' }, 403],
    [{ type: 'organization', id: 'org_other' }, 403],
    [{ type: 'organization', id: 'user_1' }, 403],
  ])('a user’s own token about %j: %i', async (subject, status) => {
    const headers = { authorization: `Bearer ${await mintToken(setup)}` }
    expect((await ask(question(subject), headers)).status).toBe(status)
  })

  test('a user’s own token gets what it allows now: not what is off, and not what it does not carry', async () => {
    const headers = { authorization: `Bearer ${await mintToken(setup)}` }
    entitle(setup, ['sso', 'scim'])
    const decide = async (flag: string) =>
      (await ask({ subject: acme, action: use, resource: feature(flag) }, headers)).json()
    expect(await decide('sso')).toEqual({ decision: true, context: { reason: 'contract' } })
    expect(await decide('reports')).toEqual({ decision: false, context: { reason: 'default' } })
    expect(await decide('scim')).toEqual({ decision: false, context: { reason: 'not_in_token' } })
  })
})

describe('several at once', () => {
  const evaluations = ['reports', 'scim', 'sso'].map((flag) => ({ resource: feature(flag) }))
  const run = async (body: object, headers = KEY) => {
    const response = await ask({ subject: acme, action: use, ...body }, headers, 'evaluations')
    expect(response.status).toBe(200)
    return (await response.json()) as { evaluations: { decision: boolean; context: object }[] }
  }

  test.each([
    [undefined, [true, false, true]],
    ['execute_all', [true, false, true]],
    ['deny_on_first_deny', [true, false]],
    ['permit_on_first_permit', [true]],
  ])('%s', async (evaluations_semantic, decisions) => {
    const answer = await run({ evaluations, options: { evaluations_semantic, other: 1 } })
    expect(answer.evaluations.map(({ decision }) => decision)).toEqual(decisions)
    expect(setup.kv.reads.length).toBe(1)
  })

  test('the values on top are defaults, which an item overrides', async () => {
    const answer = await run({
      resource: feature('reports'),
      evaluations: [{}, { subject: { type: 'organization', id: 'org_other' } }, { action: { name: 'sell' } }],
    })
    expect(answer.evaluations.map(({ decision }) => decision)).toEqual([true, false, false])
  })

  test('a wrong item is reported in its place', async () => {
    const answer = await run({ evaluations: [{ resource: feature('reports') }, {}, { resource: 1 }] })
    const error = { error: { status: 400, message: expect.any(String) } }
    expect(answer.evaluations).toEqual([
      { decision: true, context: { reason: 'contract' } },
      { decision: false, context: error },
      { decision: false, context: error },
    ])
  })

  test('an item about somebody else is a denial for a user’s own token', async () => {
    const token = await mintToken(setup)
    const subject = { type: 'organization', id: 'org_other' }
    const answer = await run(
      { evaluations: [{ resource: feature('reports') }, { subject, resource: feature('reports') }] },
      { authorization: `Bearer ${token}` },
    )
    expect(answer.evaluations[1]).toMatchObject({ decision: false, context: { error: { status: 403 } } })
  })

  test.each([{}, { evaluations: [] }])('without items it is the single question: %j', async (body) => {
    const question = { subject: acme, action: use, resource: feature('reports'), ...body }
    expect(await (await ask(question, KEY, 'evaluations')).json()).toMatchObject({ decision: true })
  })

  test('more than 100 are refused, and so is a semantic that is none', async () => {
    const many = { evaluations: Array.from({ length: 101 }, () => ({ resource: feature('a') })) }
    expect((await ask({ subject: acme, action: use, ...many }, KEY, 'evaluations')).status).toBe(400)
    const options = { evaluations_semantic: 'first' }
    expect((await ask({ subject: acme, action: use, evaluations, options }, KEY, 'evaluations')).status).toBe(
      400,
    )
  })
})

test('when the state is unknown, it is an error and not a decision', async () => {
  setup.kv.fault = () => Promise.reject(new Error('down'))
  const response = await ask({ subject: acme, action: use, resource: feature('reports') })
  expect([response.status, response.headers.get('retry-after')]).toEqual([500, '2'])
})

test('the metadata names the endpoints', async () => {
  const response = await setup.request('/.well-known/authzen-configuration')
  expect(await response.json()).toEqual({
    policy_decision_point: 'https://auth.test',
    access_evaluation_endpoint: 'https://auth.test/access/v1/evaluation',
    access_evaluations_endpoint: 'https://auth.test/access/v1/evaluations',
  })
})
