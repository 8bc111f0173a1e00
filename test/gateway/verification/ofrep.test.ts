import { beforeEach, describe, expect, test } from 'vitest'
import { catalog, type Setup } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { entitle, FLAGS, mintToken, SERVICE, setUpVerification } from '../support/tokens.ts'

captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
})

const KEY = { authorization: `Bearer ${SERVICE.secret}` }
const ACME = { targetingKey: 'org_acme' }

const evaluate = (key: string | undefined, body: unknown, headers: Record<string, string> = KEY) =>
  setup.request(`/ofrep/v1/evaluate/flags${key === undefined ? '' : `/${key}`}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

test.each([
  ['reports', true, 'TARGETING_MATCH', 'contract'],
  ['everybody', true, 'STATIC', 'rule_all'],
  ['scim', false, 'STATIC', 'default'],
  ['killed', false, 'DISABLED', 'killed'],
])('%s is %s: %s', async (key, value, reason, why) => {
  const response = await evaluate(key, { context: ACME })
  expect(response.status).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-store')
  const variant = value ? 'on' : 'off'
  expect(await response.json()).toEqual({ key, value, reason, variant, metadata: { reason: why } })
})

test.each([
  ['a percentage', { kind: 'rollout', access: 'some', percentage: 100 }, {}, true, 'SPLIT'],
  ['a rule that is off', { kind: 'rollout', access: 'none' }, {}, false, 'DISABLED'],
  ['a denial', { kind: 'rollout', access: 'all' }, { effect: 'deny' }, false, 'TARGETING_MATCH'],
  ['a beta', { kind: 'rollout', access: 'some' }, { effect: 'allow' }, true, 'TARGETING_MATCH'],
])('%s', async (_, rule, grant, value, reason) => {
  setup.kv.put('catalog:production', catalog({ ...FLAGS, new: rule }))
  const window = { from: '2026-01-01T00:00:00Z', to: null }
  const grants = 'effect' in grant ? [{ id: 'g', flag: 'new', source: 'beta', ...window, ...grant }] : []
  entitle(setup, [], { grants })
  expect(await (await evaluate('new', { context: ACME })).json()).toMatchObject({ value, reason })
})

test.each([
  ['reports', '{', 400, 'PARSE_ERROR'],
  ['reports', {}, 400, 'INVALID_CONTEXT'],
  ['reports', { context: 'x' }, 400, 'INVALID_CONTEXT'],
  ['reports', { context: { targetingKey: 'x', kind: 'robot' } }, 400, 'INVALID_CONTEXT'],
  ['everybody', { context: { targetingKey: 'u', kind: 'user', org_id: ['o'] } }, 400, 'INVALID_CONTEXT'],
  ['everybody', { context: { targetingKey: 'u', kind: 'user', org_id: '' } }, 400, 'INVALID_CONTEXT'],
  ['reports', { context: {} }, 400, 'TARGETING_KEY_MISSING'],
  ['reports', { context: { targetingKey: '' } }, 400, 'TARGETING_KEY_MISSING'],
  ['nothing', { context: ACME }, 404, 'FLAG_NOT_FOUND'],
  ['constructor', { context: ACME }, 404, 'FLAG_NOT_FOUND'],
])('%s with %j is %i %s', async (key, body, status, errorCode) => {
  const response = await evaluate(key, body)
  expect(response.status).toBe(status)
  expect(await response.json()).toMatchObject({ key, errorCode, errorDetails: expect.any(String) })
})

test('a user is asked about with its kind, and with its organization where that counts', async () => {
  const value = async (context: object) => {
    const answer = await evaluate('reports', { context })
    return ((await answer.json()) as { value: boolean }).value
  }
  expect(await value({ targetingKey: 'user_1', kind: 'user' })).toBe(false)
  expect(await value({ targetingKey: 'user_1', kind: 'user', org_id: 'org_acme' })).toBe(true)
})

describe('who may ask', () => {
  test.each([
    ['nobody', {}, 401],
    ['a wrong key', { 'x-api-key': 'wrong' }, 401],
    ['a key as X-API-Key', { 'x-api-key': SERVICE.secret }, 200],
  ])('%s: %i', async (_, headers, status) => {
    expect((await evaluate('reports', { context: ACME }, headers)).status).toBe(status)
  })

  test.each([
    ['org_acme', 200],
    ['user_1', 200],
    ['org_other', 403],
    ['user_2', 403],
  ])('a user’s own token about %s: %i', async (targetingKey, status) => {
    const headers = { authorization: `Bearer ${await mintToken(setup)}` }
    // Nothing in the context makes it another subject's question.
    const context = { targetingKey, kind: 'user', org_id: 'org_other' }
    const response = await evaluate('reports', { context }, headers)
    expect(response.status).toBe(status)
    if (status === 200) expect(await response.json()).toMatchObject({ value: true })
  })

  test('an expired token may not', async () => {
    const headers = { authorization: `Bearer ${await mintToken(setup, { exp: setup.now / 1000 })}` }
    const response = await evaluate('reports', { context: ACME }, headers)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('invalid_token')
  })
})

describe('all flags at once', () => {
  test('come sorted, each as it would alone', async () => {
    const response = await evaluate(undefined, { context: ACME })
    const { flags, metadata } = (await response.json()) as { flags: { key: string }[]; metadata: object }
    expect(flags.map(({ key }) => key)).toEqual(['everybody', 'killed', 'reports', 'scim', 'sso'])
    for (const flag of flags) expect(await (await evaluate(flag.key, { context: ACME })).json()).toEqual(flag)
    expect(metadata).toEqual({ version: '87.12' })
  })

  test('have an ETag that changes with what they depend on and with nothing else', async () => {
    const etag = async (context: object = ACME) =>
      (await evaluate(undefined, { context })).headers.get('etag')
    const first = await etag()
    expect(first).toMatch(/^"[\w-]+"$/)
    setup.now += 5_000
    expect(await etag()).toBe(first)
    expect(await etag({ targetingKey: 'org_other' })).not.toBe(first)
    entitle(setup, ['sso'])
    setup.now += 5_000
    expect(await etag()).not.toBe(first)
  })

  test.each([
    ['the tag', (tag: string) => tag, 304],
    ['the tag, weakened', (tag: string) => `W/${tag}`, 304],
    ['a list with it', (tag: string) => `"x", ${tag}`, 304],
    ['another', () => '"x"', 200],
  ])('are not sent again to who has %s', async (_, known, status) => {
    const tag = (await evaluate(undefined, { context: ACME })).headers.get('etag') as string
    const again = await evaluate(undefined, { context: ACME }, { ...KEY, 'if-none-match': known(tag) })
    expect([again.status, again.headers.get('etag')]).toEqual([status, tag])
    if (status === 304) expect(await again.text()).toBe('')
  })

  test('a tag of one subject says nothing about another', async () => {
    const tag = (await evaluate(undefined, { context: { targetingKey: 'org_a' } })).headers.get(
      'etag',
    ) as string
    const headers = { ...KEY, 'if-none-match': tag }
    expect((await evaluate(undefined, { context: { targetingKey: 'org_b' } }, headers)).status).toBe(200)
  })
})

test.each(['/ofrep/v1/configuration', '/ofrep/v1/evaluate/flags/a/b', '/access/v1/search/subject'])(
  'upstream is not shown the key of a service: %s',
  async (path) => {
    expect((await setup.request(path, { headers: KEY })).status).toBe(404)
    expect(setup.upstream.requests).toEqual([])
  },
)

// The protocol has a string.
test.each([7, ['org_acme'], { id: 'org_acme' }, true, null])(
  'a targetingKey %j is 400',
  async (targetingKey) => {
    const response = await evaluate(undefined, { context: { targetingKey } })
    expect([response.status, await response.json()]).toMatchObject([400, { errorCode: 'INVALID_CONTEXT' }])
  },
)

test('a page on any origin may ask', async () => {
  const headers = {
    origin: 'https://app.test',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type,if-none-match',
  }
  const preflight = await setup.request('/ofrep/v1/evaluate/flags', { method: 'OPTIONS', headers })
  expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, '*'])
  expect(preflight.headers.get('access-control-allow-headers')).toContain('if-none-match')
  const answer = await evaluate(undefined, { context: ACME }, { ...KEY, origin: 'https://app.test' })
  expect(answer.headers.get('access-control-expose-headers')).toContain('etag')
  expect(setup.upstream.requests).toEqual([])
})

test('when the state is unknown, providers keep what they have', async () => {
  setup.kv.fault = () => Promise.reject(new Error('down'))
  expect((await evaluate(undefined, { context: ACME })).status).toBe(503)
})
