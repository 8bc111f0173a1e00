/** Credentials: operators' tokens, Cloudflare Access assertions and API keys. */
import { beforeAll, describe, expect, test } from 'vitest'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'
import type { TokenOptions } from '../support/operators.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
})

const me = (headers: Record<string, string>) => control.call('GET', '/me', { role: null, headers })
const bearer = async (options: TokenOptions) =>
  me({ authorization: `Bearer ${await control.operators.token(options, control.clock.now)}` })

describe('an access token', () => {
  test('says who somebody is and which roles they have', async () => {
    const answer = await bearer({ sub: 'olivia', roles: ['editor', 'superuser', 7] })
    expect(answer.body).toEqual({
      actor: 'user:olivia',
      api_key: null,
      roles: ['editor'],
      environments: null,
    })
  })

  test('without roles opens nothing', async () => {
    expect((await bearer({})).status).toBe(403)
    expect((await bearer({ roles: 'admin' })).status).toBe(403)
  })

  test('whose roles are a customer’s, in another claim, opens nothing', async () => {
    expect((await bearer({ claims: { roles: ['admin'] } })).status).toBe(403)
  })

  test.each<[string, TokenOptions]>([
    ['of another issuer', { issuer: 'https://elsewhere.test' }],
    ['for another audience', { audience: 'https://product.test/api' }],
    ['that has expired', { exp: 1_700_000_000 }],
    ['that is an ID token', { claims: { nonce: 'n' }, header: { typ: 'JWT' } }],
    ['that is an ID token of Keycloak', { claims: { typ: 'ID' }, header: { typ: 'JWT' } }],
    ['that is a refresh token of Keycloak', { claims: { typ: 'Refresh' }, header: { typ: 'JWT' } }],
    ['that is an ID token of Cognito', { claims: { token_use: 'id' }, header: { typ: undefined } }],
    ['that is a logout token', { claims: { events: { a: {} } }, header: { typ: 'JWT' } }],
    ['with the hash of a state', { claims: { s_hash: 'x' }, header: { typ: 'JWT' } }],
    ['that says ID under a header at+jwt', { claims: { typ: 'ID' } }],
    ['of the future', { claims: { iat: 4_000_000_000 } }],
    ['whose iat is in milliseconds', { claims: { iat: 1_700_000_000_000 } }],
    ['whose iat is negative', { claims: { iat: -1 } }],
    ['whose iat is no number', { claims: { iat: '7' } }],
    ['of another type', { header: { typ: 'logout+jwt' } }],
    ['that is bound to a key', { claims: { cnf: { jkt: 'x' } } }],
    ['that brings its own keys', { header: { jku: 'https://evil.test/keys' } }],
    ['without a subject', { sub: '' }],
  ])('%s is refused', async (_, options) => {
    const answer = await bearer({ roles: ['admin'], ...options })
    expect(answer.status).toBe(401)
    expect(answer.body.code).toBe('token_refused')
  })

  test.each<[string, TokenOptions]>([
    ['of Keycloak before 25', { claims: { typ: 'Bearer', nonce: 'n' }, header: { typ: 'JWT' } }],
    ['of Cognito', { claims: { token_use: 'access' }, header: { typ: undefined } }],
    ['without iat', { claims: { iat: undefined } }],
  ])('%s is accepted', async (_, options) => {
    expect((await bearer({ roles: ['admin'], ...options })).status).toBe(200)
  })

  test('from a clock that is a minute ahead is accepted', async () => {
    const iat = Math.floor(control.clock.now / 1000) + 59
    expect((await bearer({ roles: ['admin'], claims: { iat } })).status).toBe(200)
  })

  test.each([
    ['Bearer'],
    ['Basic YTpi'],
    ['Bearer a.b.c'],
    ['Bearer a.b.c, Bearer d.e.f'],
    ['Bearer remint_short'],
  ])('%s is refused', async (authorization) => {
    expect((await me({ authorization })).status).toBe(401)
  })

  test('is neither good nor bad while the keys cannot be fetched', async () => {
    const cold = await setUp()
    cold.operators.state.reachable = false
    const answer = await cold.get('/me')
    expect(answer.status).toBe(503)
    expect(answer.body.code).toBe('identity_unreachable')
    expect(answer.headers.get('retry-after')).not.toBeNull()
    // A provider that does not answer does not get a request for every token that arrives.
    const before = cold.operators.state.fetches
    for (let i = 0; i < 5; i++) expect((await cold.get('/me')).status).toBe(503)
    expect(cold.operators.state.fetches).toBe(before)
    cold.clock.now += 1_000
    cold.operators.state.reachable = true
    expect((await cold.get('/me')).status).toBe(200)
    control = cold
  })

  test('of an unknown key causes at most one fetch', async () => {
    await control.get('/me')
    const before = control.operators.state.fetches
    for (let i = 0; i < 5; i++) await bearer({ roles: ['admin'], header: { kid: `unknown-${i}` } })
    expect(control.operators.state.fetches - before).toBeLessThanOrEqual(1)
  })
})

describe('a Cloudflare Access assertion', () => {
  const assertion = async (email: string, claims = {}) =>
    me({ 'cf-access-jwt-assertion': await control.operators.assertion(email, control.clock.now, claims) })

  test('has the roles that configuration gives the address', async () => {
    expect((await assertion('Ada@example.com')).body).toMatchObject({
      actor: 'user:ada@example.com',
      roles: ['editor', 'approver'],
    })
  })

  test('has the roles that the identity provider sends along', async () => {
    const answer = await assertion('new@example.com', { custom: { remint_roles: ['viewer'] } })
    expect(answer.body.roles).toEqual(['viewer'])
  })

  test.each([
    ['of the global session', 'org'],
    ['of another kind', 'App'],
    ['of no kind', undefined],
  ])('%s is refused', async (_, type) => {
    const answer = await assertion('ada@example.com', { type })
    expect([answer.status, answer.body.code]).toEqual([401, 'token_refused'])
  })

  test('of somebody without roles opens nothing', async () => {
    expect((await assertion('nobody@example.com')).status).toBe(403)
  })

  test('does not count where an Authorization header says otherwise', async () => {
    const jwt = await control.operators.assertion('ada@example.com', control.clock.now)
    expect((await me({ 'cf-access-jwt-assertion': jwt, authorization: 'Bearer a.b.c' })).status).toBe(401)
  })
})

describe('an API key', () => {
  const make = (body: Record<string, unknown> = {}) =>
    control.must('POST', '/api-keys', {
      ...{ name: 'ci', owner: 'system:ci', role: 'editor', ends_at: control.in(30) },
      ...body,
    })

  test('is shown once, works, and is kept as a hash that nobody is shown', async () => {
    const { secret, data, seq } = await make()
    expect(secret).toMatch(/^remint_[a-z0-9]{16}_[\w-]{43}$/)
    const answer = await me({ authorization: `Bearer ${secret}` })
    expect(answer.body).toMatchObject({ actor: 'system:ci', api_key: data.id, roles: ['editor'] })

    const random = secret.split('_').slice(2).join('_')
    const stored = await bindings.DB.prepare('SELECT * FROM api_keys').all()
    const audit = await bindings.DB.prepare('SELECT * FROM audit WHERE seq = ?').bind(seq).all()
    const list = (await control.call('GET', '/api-keys')).body
    expect(JSON.stringify([stored.results, audit.results, list])).not.toContain(random)
    const hash = (stored.results[0] as { secret_hash: string }).secret_hash
    expect(JSON.stringify([audit.results, list])).not.toContain(hash)
  })

  test('is not shown again to who repeats the request', async () => {
    const request = {
      body: { name: 'a', owner: 'system:a', role: 'viewer', ends_at: control.in(3), reason: 'x' },
      headers: { 'idempotency-key': 'make-a-key' },
    }
    const first = await control.call('POST', '/api-keys', request)
    const second = await control.call('POST', '/api-keys', request)
    expect(first.body.secret).toMatch(/^remint_/)
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect(second.body.data).toEqual(first.body.data)
    expect(second.body.secret).toBeUndefined()
  })

  test('with another secret is refused', async () => {
    const { secret } = await make()
    expect((await me({ authorization: `Bearer ${secret.slice(0, -1)}_` })).status).toBe(401)
  })

  test('ends', async () => {
    const { secret } = await make({ ends_at: control.in(1) })
    control.clock.now += 2 * DAY_MS
    expect((await me({ authorization: `Bearer ${secret}` })).status).toBe(401)
  })

  test('that is revoked opens nothing any more', async () => {
    const { secret, data } = await make()
    await control.must('POST', `/api-keys/${data.id}/revoke`, {})
    expect((await me({ authorization: `Bearer ${secret}` })).status).toBe(401)
    const again = await control.call('POST', `/api-keys/${data.id}/revoke`, { body: { reason: 'x' } })
    expect(again.body.code).toBe('key_revoked')
  })

  test('for staging cannot change production, nor what is for all environments', async () => {
    const { secret } = await make({ environments: ['staging'] })
    const headers = { authorization: `Bearer ${secret}`, 'if-match': '"0"' }
    await control.must('POST', '/flags', { key: 'a', name: 'a', kind: 'entitlement', owner: 'o' })
    const put = (environment: string) =>
      control.call('PUT', `/flags/a/rules/${environment}`, {
        role: null,
        headers,
        body: { access: 'all', reason: 'x' },
      })
    expect((await put('staging')).status).toBe(200)
    const production = await put('production')
    expect(production.status).toBe(403)
    expect(production.body.code).toBe('environment_forbidden')
    const org = await control.call('POST', '/orgs', {
      role: null,
      headers,
      body: { id: 'org_x', name: 'x', reason: 'x' },
    })
    expect(org.body.code).toBe('environment_forbidden')
  })

  test.each([
    ['longer than a year', { ends_at: new Date(Date.now() + 400 * DAY_MS).toISOString() }, 422],
    ['that has ended', { ends_at: '2020-01-01T00:00:00Z' }, 422],
    ['for break-glass', { role: 'break-glass' }, 400],
  ])('%s is not made', async (_, body, status) => {
    const answer = await control.call('POST', '/api-keys', {
      body: {
        ...{ name: 'x', owner: 'system:x', role: 'viewer', ends_at: control.in(3), reason: 'x' },
        ...body,
      },
    })
    expect(answer.status).toBe(status)
  })
})

test('configuration is checked as a whole, and says nothing but names', async () => {
  const wrong = await setUp({ ENVIRONMENTS: 'Production', OIDC_AUDIENCE: undefined, ACCESS_ROLES: 'x=king' })
  const health = await wrong.send('/healthz', {})
  expect(health.status).toBe(503)
  expect(health.body.problems.map((problem: string) => problem.split(':')[0])).toEqual([
    'ENVIRONMENTS',
    'ACCESS_ROLES',
    'OIDC_AUDIENCE',
  ])
  expect((await wrong.get('/flags')).status).toBe(503)
  expect(JSON.stringify(health.body)).not.toContain('king')
})
