import { beforeEach, expect, test } from 'vitest'
import type { Setup } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { entitle, mintToken, setUpVerification } from '../support/tokens.ts'

const log = captureLog()
let setup: Setup
let token: string
beforeEach(async () => {
  setup = await setUpVerification()
  token = await mintToken(setup)
})

async function verify(freshness?: string, features: object = { all: ['reports'] }): Promise<Answer> {
  const response = await setup.request('/verify', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token, features, freshness }),
  })
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('pragma')).toBe('no-cache')
  expect(response.status).toBe(200)
  return response.json()
}

interface Answer {
  active: boolean
  allowed: boolean
  reason: string
  stale?: boolean
  current_feature_flags?: string[]
}

test('claim reads nothing', async () => {
  expect(await verify()).toMatchObject({ allowed: true })
  expect(await verify('claim')).not.toHaveProperty('stale')
  expect(setup.kv.reads).toEqual([])
})

test('live reads everything that it needs at once, and nothing while that is current', async () => {
  expect(await verify('live')).toMatchObject({ allowed: true, stale: false })
  expect(await verify('live')).toMatchObject({ allowed: true })
  expect(setup.kv.reads).toEqual([
    [
      'catalog:production',
      'org:production:org_acme',
      'user:production:user_1',
      'revoked:production:sid:session_1',
      'revoked:production:jti:token_1',
    ],
  ])
})

test('a flag that is taken away is refused within 6 s, and the answer says what is on now', async () => {
  expect(await verify('live')).toMatchObject({ allowed: true })
  entitle(setup, ['sso'])
  setup.now += 5_000
  expect(await verify('live')).toMatchObject({
    active: true,
    allowed: false,
    reason: 'feature_missing',
    missing: ['reports'],
    stale: true,
    current_feature_flags: ['everybody', 'sso'],
  })
  expect(await verify('claim')).toMatchObject({ allowed: true })
})

test('a session that is revoked elsewhere is refused within 6 s', async () => {
  expect(await verify('live')).toMatchObject({ allowed: true })
  setup.kv.put('revoked:production:sid:session_1', { format: 1, until: setup.now / 1000 + 300 })
  setup.now += 5_000
  expect(await verify('live')).toEqual({ active: false, allowed: false, reason: 'session_revoked' })
  expect(await verify('claim')).toMatchObject({ allowed: true })
})

test('a revocation once seen holds although another edge of KV does not know it', async () => {
  const key = 'revoked:production:jti:token_1'
  setup.kv.put(key, { format: 1, until: setup.now / 1000 + 300 })
  expect(await verify('live')).toMatchObject({ reason: 'session_revoked' })
  setup.kv.values.delete(key)
  setup.now += 60_000
  expect(await verify('live')).toMatchObject({ reason: 'session_revoked' })
})

test('an entry of the denylist that nobody can read still denies', async () => {
  setup.kv.put('revoked:production:sid:session_1', 'x')
  expect(await verify('live')).toMatchObject({ reason: 'session_revoked' })
})

test.each(['org', 'user'])('a token from before the %s’s epoch is refused', async (kind) => {
  const notBefore = { not_before: setup.now / 1000 + 1 }
  if (kind === 'org') entitle(setup, ['reports', 'sso'], notBefore)
  else {
    const document = {
      format: 1,
      user_id: 'user_1',
      version: 1,
      published_at: '2026-01-01T00:00:00Z',
      grants: [],
    }
    setup.kv.put('user:production:user_1', { ...document, ...notBefore })
  }
  expect(await verify('live')).toMatchObject({ active: false, reason: 'token_superseded' })
})

test('when KV fails, live answers from the last good documents, and not at all without any', async () => {
  expect(await verify('live')).toMatchObject({ allowed: true })
  setup.kv.fault = () => Promise.reject(new Error('down'))
  setup.now += 60_000
  expect(await verify('live')).toMatchObject({ allowed: true })
  expect(log.last).toMatchObject({ warnings: expect.arrayContaining(['kv_failed revoked']) })
  expect(log.text).not.toContain('session_1')
  token = await mintToken(setup, { sid: 'session_2' })
  expect(await verify('live')).toMatchObject({ active: true, allowed: false, reason: 'state_unknown' })
  expect(await verify('claim')).toMatchObject({ allowed: true })
})

// What takes access away counts as soon as it is known: these were "state unknown", which a guard's grace lets pass.
test.each<[string, Record<string, unknown>]>([
  ['an organization that cannot be read', { org_id: ['org_acme', 'org_globex'] }],
  ['an organization too long for a key', { org_id: 'x'.repeat(441) }],
])('a revoked session is refused for %s', async (_, claims) => {
  token = await mintToken(setup, claims)
  expect(await verify('live')).toMatchObject({ active: true, allowed: false, reason: 'state_unknown' })
  setup.kv.put('revoked:production:sid:session_1', { until: setup.now / 1000 + 300 })
  setup.now += 6_000
  expect(await verify('live')).toMatchObject({ active: false, reason: 'session_revoked' })
})

test.each([
  ['the catalog', 'catalog:production'],
  ['the organization', 'org:production:org_acme'],
  ['the user', 'user:production:user_1'],
])('a revoked session is refused while the document of %s cannot be read', async (_, key) => {
  setup.kv.put(key, '{')
  expect(await verify('live')).toMatchObject({ active: true, allowed: false, reason: 'state_unknown' })
  setup.kv.put('revoked:production:sid:session_1', { until: setup.now / 1000 + 300 })
  setup.now += 6_000
  expect(await verify('live')).toMatchObject({ active: false, reason: 'session_revoked' })
})

test('a token from before the epoch is refused while the catalog cannot be read', async () => {
  setup.kv.put('catalog:production', '{')
  entitle(setup, [], { not_before: setup.now / 1000 + 1 })
  expect(await verify('live')).toMatchObject({ active: false, reason: 'token_superseded' })
})

test.each(['LIVE', '', 'now'])('the freshness %j is no freshness', async (freshness) => {
  const body = JSON.stringify({ token, freshness })
  const headers = { 'content-type': 'application/json' }
  const response = await setup.request('/verify', { method: 'POST', headers, body })
  expect(response.status).toBe(400)
})

test('a bound token is not good as a plain bearer', async () => {
  token = await mintToken(setup, { cnf: { jkt: 'x' } })
  expect(await verify('claim')).toEqual({ active: false, allowed: false, reason: 'token_bound' })
  expect(await verify('live')).toEqual({ active: false, allowed: false, reason: 'token_bound' })
})
