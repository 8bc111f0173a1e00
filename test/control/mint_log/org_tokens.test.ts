/** What an organization's tokens held over time: pages, filters, and what keys may see. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'
import { minted, store } from './support.ts'

const START = Date.parse('2026-11-20T00:00:00.000Z')
const at = (minutes: number) => START + minutes * 60_000
const iso = (minutes: number) => new Date(at(minutes)).toISOString()

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
  // Two of each minute, so that time alone does not order them.
  const events = Array.from({ length: 12 }, (_, i) =>
    minted({
      ...{ jti: `j-${String(i).padStart(2, '0')}`, org: 'org_a', at: at(i >> 1) },
      ...{ flags: i % 3 === 0 ? ['reports', 'sso'] : ['sso'], sub: i % 2 === 0 ? 'auth0|ada' : 'bob' },
      env: i < 8 ? 'production' : 'staging',
    }),
  )
  const dropped = { format: 1, type: 'token.dropped', env: 'staging', count: 2, at: at(1) }
  await store(...events, minted({ org: 'org_b' }), minted(), dropped, { ...dropped, env: 'production' }, 'x')
})

const get = async (query = '') => (await control.get(`/orgs/org_a/tokens${query}`)).body
const jtis = (body: { data: { jti: string }[] }) => body.data.map(({ jti }) => Number(jti.slice(2)))

test('they come newest first, as they were minted, with what was lost', async () => {
  const body = await get()
  expect(jtis(body)).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
  expect(body.next_cursor).toBeNull()
  expect(body.data[2]).toMatchObject({
    ...{ jti: 'j-09', environment: 'staging', flags: ['reports', 'sso'], sub: 'bob', minted_at: iso(4) },
  })
  expect(body.losses).toMatchObject([
    { environment: 'production', reason: 'dropped', count: 2 },
    { environment: 'staging', reason: 'dropped', count: 2 },
    { environment: 'unknown', reason: 'unreadable', count: 1 },
  ])
})

test.each<[string, number[]]>([
  ['?environment=staging', [11, 10, 9, 8]],
  ['?flag=reports', [9, 6, 3, 0]],
  ['?flag=report', []],
  ['?sub=auth0%7Cada', [10, 8, 6, 4, 2, 0]],
  [`?since=${iso(1)}&until=${iso(3)}`, [5, 4, 3, 2]],
  [`?environment=production&flag=reports&sub=bob&since=${iso(1)}`, [3]],
])('%s are some of them', async (query, expected) => {
  expect(jtis(await get(query))).toEqual(expected)
})

test.each([[1], [3], [5], [12]])(
  'pages of %i neither repeat nor hide any, also when more come in',
  async (limit) => {
    const seen: number[] = []
    let cursor: string | null = ''
    let pages = 0
    while (cursor !== null) {
      const body = await get(`?limit=${limit}&until=${iso(60)}${cursor && `&cursor=${cursor}`}`)
      seen.push(...jtis(body))
      cursor = body.next_cursor
      if (pages++ === 0) await store(minted({ jti: `late-${limit}`, org: 'org_a', at: at(100) }))
    }
    expect(seen).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    expect(pages).toBe(Math.ceil(12 / limit))
  },
)

test('an organization that nobody knows has none', async () => {
  expect((await control.get('/orgs/org_x/tokens')).body.data).toEqual([])
})

test('the number of statements does not grow with the rows', async () => {
  const statements = async (limit: number) =>
    (await control.get(`/orgs/org_a/tokens?limit=${limit}`)).headers.get('server-timing')?.split('d1')[1]
  expect(await statements(10)).toBe(await statements(1))
})

test.each([
  ['?environment=moon', 404, 'environment_unknown'],
  ['?cursor=YWJj', 400, 'cursor_invalid'],
  ['?cursor=%C3%A4', 400, 'cursor_invalid'],
  ['?since=yesterday', 400, 'request_invalid'],
  ['?limit=0', 400, 'request_invalid'],
  ['?user=ada', 400, 'request_invalid'],
])('%s is refused', async (query, status, code) => {
  const answer = await control.get(`/orgs/org_a/tokens${query}`)
  expect(answer.status).toBe(status)
  expect(answer.body.code).toBe(code)
})

describe('a key for staging', () => {
  const ask = async (query: string) => {
    const { secret } = await control.must('POST', '/api-keys', {
      ...{
        name: 'ci',
        owner: 'system:ci',
        role: 'viewer',
        ends_at: control.in(3),
        environments: ['staging'],
      },
    })
    return control.call('GET', `/orgs/org_a/tokens${query}`, {
      ...{ role: null, headers: { authorization: `Bearer ${secret}` } },
    })
  }

  test.each([[''], ['?environment=staging']])(
    'sees tokens and losses of staging alone, asked %j',
    async (query) => {
      const { body } = await ask(query)
      expect(jtis(body)).toEqual([11, 10, 9, 8])
      expect(body.losses).toMatchObject([{ environment: 'staging', reason: 'dropped', count: 2 }])
    },
  )

  test('is refused those of production', async () => {
    expect((await ask('?environment=production')).body.code).toBe('environment_forbidden')
  })
})
