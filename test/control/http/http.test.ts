/** What holds for every route: errors, paging, idempotency, and the description of itself. */
import { beforeEach, describe, expect, test } from 'vitest'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

let control: ControlUnderTest
beforeEach(async () => {
  control = await setUp()
})

const organization = (id: string, key?: string, extra = {}) =>
  control.call('POST', '/orgs', {
    body: { id, name: id, reason: 'x', ...extra },
    ...(key !== undefined && { headers: { 'idempotency-key': key } }),
  })
const audited = async () => (await control.auditRows()).length

describe('a problem', () => {
  test('says what, where, and in which request', async () => {
    const answer = await control.call('POST', '/flags', {
      body: { key: 'NO', name: 'x', kind: 'other', reason: 'x' },
      headers: { 'x-request-id': 'req-7' },
    })
    expect(answer.status).toBe(400)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.body).toMatchObject({
      ...{ type: 'about:blank', title: 'Bad Request', status: 400, code: 'request_invalid' },
      request_id: 'req-7',
    })
    expect(answer.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/key',
      '/kind',
      '/owner',
    ])
    expect(JSON.stringify(answer.body)).not.toContain('other')
  })

  test.each([
    ['a body of another type', { 'content-type': 'text/plain' }, '{}', 415, 'body_not_json'],
    [
      'a body that is a form',
      { 'content-type': 'application/x-www-form-urlencoded' },
      'a=b',
      415,
      'body_not_json',
    ],
    [
      'a body in which a member occurs twice',
      { 'content-type': 'application/json' },
      '{"id":"a","name":"x","id":"b","reason":"x"}',
      400,
      'member_repeated',
    ],
    [
      'a body in which a member of a member occurs twice, once escaped',
      { 'content-type': 'application/json' },
      '{"id":"a","name":{"x":1,"\\u0078":2},"reason":"x"}',
      400,
      'member_repeated',
    ],
    ['a body that is no JSON', { 'content-type': 'application/json' }, '{', 400, 'request_invalid'],
    ['no body', {}, undefined, 415, 'body_not_json'],
    [
      'a body that is too large',
      { 'content-type': 'application/json' },
      JSON.stringify({ id: 'a', name: 'x'.repeat(70_000), reason: 'x' }),
      413,
      'body_too_large',
    ],
  ])('for %s', async (_, headers, body, status, code) => {
    const token = await control.operators.roleToken('admin', control.clock.now)
    const answer = await control.send('/api/v1/orgs', {
      method: 'POST',
      headers: { ...(headers as Record<string, string>), authorization: `Bearer ${token}` },
      ...(body !== undefined && { body }),
    })
    expect(answer.status).toBe(status)
    expect(answer.body.code).toBe(code)
    expect(await audited()).toBe(0)
  })
})

describe('a member or parameter that the route does not know', () => {
  test.each([
    ['a misspelt dry run', 'POST', '/orgs?dryrun=true', { id: 'org_a', name: 'a' }],
    ['a misspelt member', 'POST', '/orgs', { id: 'org_a', name: 'a', plann: 'pro' }],
    ['a misspelt filter', 'GET', '/orgs?plann=pro', undefined],
    ['a body to a rebuild', 'POST', '/publishing/staging/rebuild', { environment: 'production' }],
  ])('is refused: %s', async (_, method, path, body) => {
    const answer = await control.call(method, path, body ? { body: { reason: 'x', ...body } } : {})
    expect(answer.status).toBe(400)
    expect(answer.body.code).toBe('request_invalid')
    expect(JSON.stringify(answer.body)).not.toMatch(/plann|dryrun/)
    expect(await audited()).toBe(0)
  })
})

describe('text', () => {
  test.each([
    ['half a character', 'a\ud800'],
    ['NUL', 'a\u0000b'],
    ['what turns the line round', 'a\u202eb'],
    ['a line break', 'a\nb'],
  ])('with %s is no name', async (_, name) => {
    const answer = await organization('org_a', undefined, { name })
    expect(answer.status).toBe(400)
    expect(answer.body.errors[0].pointer).toBe('/name')
  })

  test('may have lines and any script where it gives reasons', async () => {
    expect(
      (await organization('org_a', undefined, { name: 'Žluť 東京 🎈', reason: 'one\ntwo' })).status,
    ).toBe(201)
    expect((await control.get('/audit/verify')).body.intact).toBe(true)
    expect((await organization('org_b', undefined, { reason: 'a\ud800' })).status).toBe(400)
  })
})

describe('an ETag', () => {
  const put = (query: string, access: string, ifMatch: number) =>
    control.call('PUT', `/flags/f/rules/production${query}`, { body: { access, reason: 'x' }, ifMatch })

  test('is that of the row as it is, where there was nothing to change', async () => {
    await control.liveFlag('f')
    const same = await put('', 'some', 1)
    expect(same.body).toMatchObject({ seq: null, data: { revision: 1 } })
    expect(same.headers.get('etag')).toBe('"1"')
    expect((await put('', 'all', 1)).status).toBe(200)
  })

  test('is not given to what is only tried', async () => {
    await control.liveFlag('f')
    const tried = await put('?dry_run=true', 'all', 1)
    expect(tried.status).toBe(200)
    expect(tried.headers.get('etag')).toBeNull()
  })
})

describe('pages', () => {
  beforeEach(async () => {
    for (const id of ['c', 'a', 'e', 'b', 'd']) await organization(id)
  })

  test('show every row once, in order', async () => {
    const seen: string[] = []
    let cursor = ''
    do {
      const { body } = await control.get(`/orgs?limit=2${cursor && `&cursor=${cursor}`}`)
      expect(body.data.length).toBeLessThanOrEqual(2)
      seen.push(...body.data.map(({ id }: { id: string }) => id))
      cursor = body.next_cursor ?? ''
      // A row that comes before the cursor meanwhile repeats nothing.
      await organization(`0-${seen.length}`)
    } while (cursor)
    expect(seen).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  test.each([
    ['limit=0', 'request_invalid'],
    ['limit=201', 'request_invalid'],
    ['limit=x', 'request_invalid'],
    ['cursor=%25%25', 'cursor_invalid'],
  ])('are refused for %s', async (query, code) => {
    const answer = await control.get(`/orgs?${query}`)
    expect(answer.status).toBe(400)
    expect(answer.body.code).toBe(code)
  })
})

describe('an Idempotency-Key', () => {
  test('makes a repetition answer as the first time, and do nothing', async () => {
    const first = await organization('org_a', 'k1')
    const second = await organization('org_a', 'k1')
    expect(second.status).toBe(201)
    expect(second.body).toEqual(first.body)
    expect(second.headers.get('etag')).toBe('"1"')
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect(await audited()).toBe(1)
  })

  test('used for something else is refused', async () => {
    await organization('org_a', 'k1')
    const answer = await organization('org_b', 'k1')
    expect(answer.status).toBe(422)
    expect(answer.body.code).toBe('idempotency_key_reused')
    expect(await audited()).toBe(1)
  })

  test('is one actor’s own', async () => {
    await organization('org_a', 'k1')
    const other = await control.call('POST', '/orgs', {
      role: 'editor',
      body: { id: 'org_b', name: 'b', reason: 'x' },
      headers: { 'idempotency-key': 'k1' },
    })
    expect(other.status).toBe(201)
  })

  test('lets what was refused be tried again', async () => {
    await organization('org_a')
    expect((await organization('org_a', 'k1')).status).toBe(409)
    expect((await organization('org_b', 'k1')).status).toBe(201)
  })

  test('sent many times at once is done once', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => organization('org_a', 'k1')))
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201])
    expect(new Set(answers.map(({ body }) => body.seq)).size).toBe(1)
    expect(await audited()).toBe(1)
  })

  test('of a form that is none is refused', async () => {
    expect((await organization('org_a', 'a key!')).body.code).toBe('idempotency_key_invalid')
  })
})

describe('the API describes itself', () => {
  test('in OpenAPI 3.1, with every answer of success a schema', async () => {
    const { body, status } = await control.send('/openapi.json', {})
    expect(status).toBe(200)
    expect(body.openapi).toBe('3.1.0')
    for (const methods of Object.values(body.paths) as Record<string, { responses: object }>[]) {
      for (const operation of Object.values(methods)) {
        const codes = Object.keys(operation.responses)
        expect(codes.some((code) => code.startsWith('2'))).toBe(true)
        expect(codes).toEqual(expect.arrayContaining(['4XX', '5XX']))
      }
    }
    expect(JSON.stringify(body)).not.toContain('secret_hash')
  })

  test('on a page that runs no script and loads nothing', async () => {
    const { body, headers } = await control.send('/docs', {})
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/)
    expect(body).toContain('>PUT</span><code>/api/v1/flags/{flag}/rules/{environment}</code>')
    expect(body).not.toMatch(/ style=|`|undefined/)
    const targets = [...body.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)
    const ids = new Set([...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))
    expect(targets.filter((id) => !ids.has(id))).toEqual([])
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('at the door, until there is a console', async () => {
    const { status, headers } = await control.send('/', {})
    expect(status).toBe(302)
    expect(headers.get('location')).toBe('/docs')
  })

  test('on a page that loads nothing', async () => {
    const { body } = await control.send('/docs', {})
    expect(body).not.toMatch(/<script|https?:\/\/|<link|<img/)
  })
})

test('a credential reaches no log, error or row', async () => {
  const lines: string[] = []
  const { info, error, warn } = console
  Object.assign(console, {
    info: (line: string) => lines.push(line),
    error: (line: string) => lines.push(line),
    warn: (line: string) => lines.push(line),
  })
  let planted: string[] = []
  try {
    const { secret } = await control.must('POST', '/api-keys', {
      ...{ name: 'ci', owner: 'system:ci', role: 'editor', ends_at: control.in(3) },
    })
    const token = await control.operators.roleToken('admin', control.clock.now)
    planted = [secret.slice(-43), token.slice(-40)]
    for (const bearer of [secret, token, `${secret}x`, `${token}x`]) {
      await control.call('POST', '/orgs', {
        role: null,
        headers: { authorization: `Bearer ${bearer}` },
        body: { id: `org_${bearer.length}`, name: 'x', reason: 'x' },
      })
    }
  } finally {
    Object.assign(console, { info, error, warn })
  }
  expect(lines.length).toBeGreaterThan(4)
  const tables = await Promise.all(
    ['audit', 'documents', 'idempotency', 'organizations', 'api_keys'].map(async (table) =>
      JSON.stringify((await bindings.DB.prepare(`SELECT * FROM ${table}`).all()).results),
    ),
  )
  for (const canary of planted) expect([...lines, ...tables].join('\n')).not.toContain(canary)
})
