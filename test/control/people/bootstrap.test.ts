/** The first hour of a deployment: one secret makes one admin, and never a second one. */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { beforeEach, describe, expect, test } from 'vitest'
import { parseConfig } from '../../../src/control/config.ts'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'

const SECRET = `${'a'.repeat(31)}1`

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp({ BOOTSTRAP_SECRET: SECRET }, { guarded: true })
})

const bootstrap = (body: object = {}, bearer = SECRET, headers = {}) =>
  control.call('POST', '/bootstrap', {
    ...{ role: null, headers: { authorization: `Bearer ${bearer}`, ...headers } },
    body: { subject: 'user:ada', ...body },
  })
const as = async (sub: string, method: string, path: string, body?: object, ifMatch?: number) => {
  const token = await control.operators.token({ sub }, control.clock.now)
  return control.call(method, path, {
    ...{ role: null, headers: { authorization: `Bearer ${token}` } },
    ...(body && { body: { reason: 'a test', ...body } }),
    ...(ifMatch !== undefined && { ifMatch }),
  })
}
const key = () => ({ name: 'tools', owner: 'user:ada', role: 'admin', ends_at: control.in(30) })
/** The same database, with another secret. */
const again = async (secret: string) => {
  const context = createExecutionContext()
  const request = new Request('https://control.test/api/v1/bootstrap', {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'user:eve' }),
  })
  // Configuration is read once for each object.
  const environment = { ...control.environment, BOOTSTRAP_SECRET: secret }
  const response = await control.app.fetch(request, environment, context)
  await waitOnExecutionContext(context)
  return { status: response.status, body: (await response.json()) as { code?: string } }
}

describe('a bootstrap', () => {
  test('makes the first admin, the first policies and a key, with audit rows and without the name in them', async () => {
    const answer = await bootstrap({
      ...{ name: 'Ada Lovelace', email: 'ada@example.com', api_key: key() },
      policies: { production: { approvals: 2 } },
    })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect((await as('ada', 'GET', '/me')).body.roles).toEqual(['admin'])
    const headers = { authorization: `Bearer ${answer.body.secret}` }
    expect((await control.call('GET', '/me', { role: null, headers })).body).toMatchObject({
      ...{ actor: 'user:ada', roles: ['admin'], api_key: answer.body.api_key },
    })
    expect((await as('ada', 'GET', '/policies')).body.data).toMatchObject([
      { environment: 'staging', approvals: 0 },
      { environment: 'production', approvals: 2, revision: 1 },
    ])
    const rows = await control.auditRows()
    expect(rows.map(({ actor, action, entity }) => `${actor} ${action} ${entity}`)).toEqual([
      'system:policies policy.establish policy:staging',
      'system:policies policy.establish policy:production',
      'system:bootstrap policy.set policy:production',
      `system:bootstrap api_key.create api_key:${answer.body.api_key}`,
      'system:bootstrap person.bootstrap person:user:ada',
    ])
    expect(JSON.stringify(rows)).not.toMatch(/Lovelace|ada@example|aaaaaaa/)
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
  })

  test('alone leaves production protected', async () => {
    await bootstrap()
    await as('ada', 'POST', '/flags', { key: 'a', name: 'A', kind: 'rollout', owner: 'o' })
    expect((await as('ada', 'PUT', '/flags/a/rules/production', { access: 'all' }, 0)).status).toBe(202)
  })

  test.each([
    ['a policy of no environment', { policies: { moon: { approvals: 0 } } }, 404, 'environment_unknown'],
    [
      'a key for too long',
      { api_key: { ...{ name: 'x', owner: 'user:ada', role: 'admin' }, ends_at: '2099-01-01T00:00:00Z' } },
      422,
      'key_lifetime',
    ],
    [
      'a reserved key',
      {
        api_key: { ...{ name: 'x', owner: 'system:inbox', role: 'admin' }, ends_at: '2099-01-01T00:00:00Z' },
      },
      422,
      'key_owner_reserved',
    ],
    ['no subject', { subject: undefined }, 400, 'request_invalid'],
    ['a subject that is none', { subject: 'ada' }, 400, 'request_invalid'],
    ['a member that it does not know', { role: 'admin' }, 400, 'request_invalid'],
  ])('with %s makes nothing, and can be tried again', async (_, body, status, code) => {
    const answer = await bootstrap(body)
    expect([answer.status, answer.body.code]).toEqual([status, code])
    expect((await bindings.DB.prepare('SELECT * FROM people').all()).results).toEqual([])
    expect((await bootstrap()).status).toBe(201)
  })
})

describe('never twice', () => {
  test('with one secret, also when the admin has left since', async () => {
    await bootstrap()
    expect((await bootstrap({ subject: 'user:eve' })).body.code).toBe('bootstrap_used')
    await bindings.DB.prepare("UPDATE people SET gone_at = '2026-01-01T00:00:00.000Z'").run()
    expect((await bootstrap({ subject: 'user:eve' })).body.code).toBe('bootstrap_used')
  })

  test('of two at once, one wins', async () => {
    const answers = await Promise.all([bootstrap(), bootstrap({ subject: 'user:eve' })])
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409])
    expect((await bindings.DB.prepare('SELECT * FROM people').all()).results).toHaveLength(1)
  })

  test('with another secret while there is an admin; and again when there is none', async () => {
    await bootstrap({ api_key: key() })
    const [second, third] = ['b'.repeat(32), 'c'.repeat(32)]
    expect((await again(second)).body.code).toBe('bootstrap_done')
    await bindings.DB.prepare("UPDATE people SET gone_at = '2026-01-01T00:00:00.000Z'").run()
    // The admin's key is still good.
    expect((await again(second)).body.code).toBe('bootstrap_done')
    control.clock.now += 31 * DAY_MS
    expect((await again(third)).status).toBe(201)
  })

  test('while configuration names an admin', async () => {
    control = await setUp({ BOOTSTRAP_SECRET: SECRET, ACCESS_ROLES: 'ada@example.com=editor|admin' })
    expect((await bootstrap()).body.code).toBe('bootstrap_done')
  })

  test('to set a policy that somebody has set', async () => {
    control = await setUp({ BOOTSTRAP_SECRET: SECRET })
    const answer = await bootstrap({ policies: { production: { approvals: 5 } } })
    expect(answer.body.code).toBe('policy_set')
  })

  test('by an admin who signs in', async () => {
    const answer = await control.call('POST', '/bootstrap', { role: 'admin', body: { subject: 'user:eve' } })
    expect([answer.status, answer.body.code]).toEqual([409, 'bootstrap_done'])
  })
})

describe('the secret', () => {
  test('is refused where it is wrong, and who guesses is slowed down', async () => {
    const headers = { 'cf-connecting-ip': '192.0.2.1' }
    for (let guess = 0; guess < 30; guess++) {
      const answer = await bootstrap({}, `${SECRET}${guess}`, headers)
      expect([answer.status, answer.body.code]).toEqual([401, 'token_refused'])
    }
    expect((await bootstrap({}, SECRET, headers)).status).toBe(429)
    expect((await bootstrap({}, SECRET)).status).toBe(201)
  })

  test.each([
    ['GET', '/me'],
    ['POST', '/api-keys'],
    ['PUT', '/people/user:ada'],
    ['GET', '/bootstrap/'],
    ['POST', '/bootstrap/x'],
  ])('opens nothing else: %s %s', async (method, path) => {
    const headers = { authorization: `Bearer ${SECRET}` }
    const body = method === 'GET' ? {} : { body: {} }
    expect((await control.call(method, path, { role: null, headers, ...body })).status).toBe(401)
  })

  test('opens nothing where none is configured', async () => {
    control = await setUp({}, { guarded: true })
    for (const bearer of [SECRET, 'undefined', '']) {
      expect((await bootstrap({}, bearer)).status).toBe(401)
    }
  })

  test.each(['short', 'a'.repeat(31), `${'a'.repeat(40)} b`])('is none: %s', (secret) => {
    const parsed = parseConfig({ ...control.environment, BOOTSTRAP_SECRET: secret })
    expect(parsed.ok ? [] : parsed.problems).toEqual([
      'BOOTSTRAP_SECRET: must be at least 32 characters, as `openssl rand -hex 32` prints them',
    ])
  })
})
