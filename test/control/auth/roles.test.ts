/**
 * Who may call what: one suite over every route, driven by the OpenAPI document, so that a new route cannot be forgotten.
 * Where a call is refused, the audit log proves that nothing was done.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { createControl } from '../../../src/control/app.ts'
import { ROLES, type Role } from '../../../src/control/roles.ts'
import { type ControlUnderTest, setUp } from '../support/control.ts'

interface Route {
  readonly method: string
  readonly path: string
  readonly roles: readonly Role[]
  readonly operation: Record<string, unknown>
}

const app = createControl()
const openApi = app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 't', version: '1' } })
const routes: Route[] = Object.entries(openApi.paths ?? {}).flatMap(([path, methods]) =>
  Object.entries(methods as Record<string, Record<string, unknown>>).map(([method, operation]) => ({
    method: method.toUpperCase(),
    path,
    roles: operation['x-remint-roles'] as readonly Role[],
    operation,
  })),
)
const names = routes.map((route) => ({ name: `${route.method} ${route.path}`, ...route }))

/** Any values of the right form: authorization comes before anything else is looked at. */
const concrete = (path: string): string =>
  path
    .replace('/api/v1', '')
    .replace('{environment}', 'production')
    .replace('{key}', '0123456789abcdef')
    .replace(/\{\w+\}/g, 'something')

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
})

const rows = async () => (await control.auditRows()).length

test('every route of the API is in the OpenAPI document, and says who may use it', () => {
  const documented = new Set(routes.map(({ method, path }) => `${method} ${path}`))
  const served = app.routes
    .filter(({ method, path }) => method !== 'ALL' && path.startsWith('/api/v1/'))
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
  expect([...new Set(served)].sort()).toEqual([...documented].sort())
  expect(documented.size).toBeGreaterThan(30)
  for (const { roles, operation } of routes) {
    expect(roles.length).toBeGreaterThan(0)
    expect(operation.security).toEqual([{ bearer: [] }])
  }
})

test('no reader’s role changes anything, an approver agrees only, and nobody but an admin makes keys or rebuilds', () => {
  for (const { method, path, roles } of routes) {
    if (method === 'GET') continue
    expect(roles).not.toContain('viewer')
    if (!/\/changes\/\{change\}\/(approve|reject|apply|review)$/.test(path))
      expect(roles).not.toContain('approver')
    if (path.endsWith('/break-glass')) expect(roles).toEqual(['break-glass'])
    if (path.includes('/policies')) expect(roles).toEqual(['admin'])
    if (path.includes('/people')) expect(roles).toEqual(['admin'])
    if (path.includes('/api-keys') || path.endsWith('/rebuild')) expect(roles).toEqual(['admin'])
  }
})

describe.each(names)('$name', ({ method, path, roles }) => {
  const body = method === 'GET' ? {} : { body: {} }

  test('is closed without credentials', async () => {
    const before = await rows()
    const answer = await control.call(method, concrete(path), { role: null, ...body })
    expect(answer.status).toBe(401)
    expect(answer.body.code).toBe('unauthenticated')
    expect(answer.headers.get('www-authenticate')).toContain('Bearer')
    expect(await rows()).toBe(before)
  })

  test('is closed to a token that a stranger signed', async () => {
    const token = await control.operators.forged({ roles: [...ROLES] }, control.clock.now)
    const answer = await control.call(method, concrete(path), {
      role: null,
      headers: { authorization: `Bearer ${token}` },
      ...body,
    })
    expect(answer.status).toBe(401)
    expect(answer.body.code).toBe('token_refused')
  })

  test.each(ROLES.filter((role) => !roles.includes(role)).map((role) => [role]))(
    'is closed to %s',
    async (role) => {
      const before = await rows()
      const answer = await control.call(method, concrete(path), { role, ...body })
      expect(answer.status).toBe(403)
      expect(answer.body.code).toBe('role_missing')
      expect(await rows()).toBe(before)
    },
  )

  test.each(roles.map((role) => [role]))('is open to %s', async (role) => {
    const answer = await control.call(method, concrete(path), { role, ...body })
    expect([401, 403, 500]).not.toContain(answer.status)
  })
})

describe('a key that is limited to one environment', () => {
  const everywhere = names.filter(({ operation }) => operation['x-remint-everywhere'] === true)
  let limited: Record<string, string>
  beforeAll(async () => {
    const [key] = [{ name: 'staging', owner: 'system:ci', role: 'admin', environments: ['staging'] }]
    const body = { ...key, ends_at: new Date(control.clock.now + 86_400_000).toISOString(), reason: 'test' }
    const { body: made } = await control.call('POST', '/api-keys', { role: 'admin', body })
    limited = { authorization: `Bearer ${made.secret}` }
  })

  test('is refused by every route that is about all environments, before anything is read', async () => {
    expect(everywhere.map(({ name }) => name.replace('/api/v1', ''))).toEqual([
      'POST /plans',
      'PATCH /plans/{plan}',
      'GET /orgs',
      'POST /orgs',
      'GET /orgs/{org}',
      'PATCH /orgs/{org}',
      'GET /orgs/{org}/contracts/{contract}',
      'PUT /orgs/{org}/contracts/{contract}',
      'GET /mappings',
      'PUT /mappings/{source}/{kind}/{external_id}',
      'POST /contracts/{contract}/derive',
      'POST /drift/runs',
      'GET /api-keys',
      'GET /people',
      'GET /people/{subject}',
      'PUT /people/{subject}',
      'POST /people/{subject}/leave',
      'POST /people/{subject}/return',
      'POST /people/{subject}/erase',
    ])
    for (const { method, path } of everywhere) {
      const body = method === 'GET' ? {} : { body: {} }
      const answer = await control.call(method, concrete(path), { role: null, headers: limited, ...body })
      expect(answer.body.code, `${method} ${path}`).toBe('environment_forbidden')
    }
  })

  test('sees its own environment', async () => {
    for (const path of ['/flags', '/plans', '/grants', '/publishing', '/changes', '/policies']) {
      expect((await control.call('GET', path, { role: null, headers: limited })).status, path).toBe(200)
    }
  })
})

test.each([['GET'], ['POST'], ['DELETE']])('%s of what does not exist is closed first', async (method) => {
  expect((await control.call(method, '/nothing', { role: null })).status).toBe(401)
  const answer = await control.call(method, '/nothing', { role: 'admin' })
  expect(answer.status).toBe(404)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
})
