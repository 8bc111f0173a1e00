import { beforeEach, describe, expect, test } from 'vitest'
import { parseGuardUrl } from '../../../src/gateway/verification/guard_url.ts'
import type { Setup } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { bearer, entitle, mintToken, setUpVerification } from '../support/tokens.ts'

const log = captureLog()
const NAMES = ['subject', 'org', 'session', 'features', 'meta', 'reason'].map((name) => `x-remint-${name}`)

let setup: Setup
let token: string
beforeEach(async () => {
  setup = await setUpVerification()
  token = await mintToken(setup)
})

/** Asks, and checks what must hold of every answer. */
async function ask(path: string, init: RequestInit = bearer(token)): Promise<Response> {
  const response = await setup.request(path, init)
  expect([200, 401, 403]).toContain(response.status)
  for (const name of NAMES) expect(response.headers.has(name), name).toBe(true)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('pragma')).toBe('no-cache')
  return response
}

test('yes is 200 with an empty body and says who and what', async () => {
  const response = await ask('/guard/reports')
  expect(response.status).toBe(200)
  expect(await response.text()).toBe('')
  expect(Object.fromEntries(NAMES.map((name) => [name, response.headers.get(name)]))).toEqual({
    'x-remint-subject': 'user_1',
    'x-remint-org': 'org_acme',
    'x-remint-session': 'session_1',
    'x-remint-features': 'everybody reports sso',
    'x-remint-meta': `{"env":"production","ver":"87.12","as_of":${setup.now / 1000},"src":"fresh"}`,
    'x-remint-reason': 'allowed',
  })
  expect(log.last).toMatchObject({ route: 'guard', status: 200 })
})

test.each(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD', 'PROPFIND'])(
  'by %s',
  async (method) => {
    expect((await ask('/guard/reports', { ...bearer(token), method })).status).toBe(200)
    expect((await ask('/guard/scim', { ...bearer(token), method })).status).toBe(403)
    expect((await ask('/guard/reports', { method })).status).toBe(401)
  },
)

test.each([
  ['/guard', 200],
  ['/guard?all=reports,sso', 200],
  ['/guard?all=reports,scim', 403],
  ['/guard?any=scim,sso', 200],
  ['/guard?any=scim', 403],
  ['/guard?all=reports&any=scim,sso&freshness=live', 200],
  ['/guard/reports/any/path?page=2&all=nonsense%20', 200],
  ['/guard/scim/any/path?all=reports', 403],
  ['/guard/scim/reports', 403],
  ['/guard/reports;freshness=live/any/path', 200],
  ['/guard/;all=reports,sso/any', 200],
  ['/guard/;all=reports,scim/any', 403],
  ['/guard/reports?page=2', 200],
  // What is not understood is never taken for no requirement.
  ['/guard/', 403],
  ['/guard/;', 403],
  ['/guard/;/any', 403],
  ['/guard/;freshness=live', 403],
  ['/guard/;?all=reports', 403],
  ['/guard?any=scim&any=reports', 403],
  ['/guard?freshness=live&freshness=claim', 403],
  ['/guard/;any=scim;any=reports', 403],
  ['/guard//reports', 403],
  ['/guard/Reports', 403],
  ['/guard/reports%2f', 403],
  ['/guard/reports;freshness=maybe', 403],
  ['/guard/reports;al=scim', 403],
  ['/guard?al=scim', 403],
  ['/guard?all=', 403],
  ['/guard?any=', 403],
  ['/guard?freshness=Live', 403],
])('%s: %s', async (path, status) => {
  expect((await ask(path)).status).toBe(status)
})

describe('a client behind a proxy that appends', () => {
  test.each([
    ['a path with dot segments', 'https://a/guard/scim/../reports'],
    ['an encoded dot segment', 'https://a/guard/scim/%2E%2e/reports'],
    ['a backslash', 'https://a/guard/scim\\..\\reports'],
  ])('cannot change the requirement with %s', (_, url) => {
    expect(parseGuardUrl(url)).toEqual({ ok: false, reason: 'requirement_malformed' })
  })

  test.each([
    ['https://a/guard/scim/x?all=&any=reports&freshness=claim', ['scim'], [], 'claim'],
    ['https://a/guard/scim;freshness=live?freshness=claim', ['scim'], [], 'live'],
    ['https://a/guard/scim;freshness=live/?freshness=claim', ['scim'], [], 'live'],
    ['https://a/guard/scim;any=sso?any=reports', ['scim'], ['sso'], 'claim'],
    ['https://a/guard/scim?freshness=live', ['scim'], [], 'live'],
  ])('cannot weaken it: %s', (url, all, any, freshness) => {
    expect(parseGuardUrl(url)).toEqual({ ok: true, value: { requirement: { all, any }, freshness } })
  })

  test('cannot name another requirement in the headers that proxies send', async () => {
    const forwarded = {
      authorization: `Bearer ${token}`,
      'x-forwarded-uri': '/guard/reports',
      'x-original-url': '/guard/reports',
      'x-forwarded-method': 'OPTIONS',
    }
    expect((await ask('/guard/scim', { headers: forwarded })).status).toBe(403)
  })
})

test.each([
  '//guard/reports',
  '/Guard/reports',

  '/guard%2freports',
  '/guard.json',
  '/guard;x',
])('the misspelt path %s is refused here, whatever upstream would say to it', async (path) => {
  expect((await ask(path)).status).toBe(403)
  expect(setup.upstream.requests).toEqual([])
})

test('what only begins like a guard is upstream’s', async () => {
  expect(await (await setup.request('/guardian')).text()).toBe('upstream page')
})

test.each([
  ['no token', {}, 401, 'token_missing', 'Bearer realm="remint"'],
  ['another scheme', { authorization: 'DPoP x' }, 401, 'authorization_malformed', 'invalid_request'],
  ['garbage', { authorization: 'Bearer x.y.z' }, 401, 'token_malformed', 'invalid_token'],
])('%s is refused', async (_, headers, status, reason, challenge) => {
  const response = await ask('/guard/reports', { headers: headers as Record<string, string> })
  expect(response.status).toBe(status)
  expect(response.headers.get('x-remint-reason')).toBe(reason)
  expect(response.headers.get('x-remint-subject')).toBe('')
  expect(response.headers.get('www-authenticate')).toContain(challenge)
  expect(await response.json()).toMatchObject({ status, code: reason })
})

test('two Authorization headers are refused, each good', async () => {
  const headers = new Headers(bearer(token).headers as Record<string, string>)
  headers.append('authorization', `Bearer ${token}`)
  const response = await ask('/guard/reports', { headers })
  expect(response.status).toBe(401)
  expect(response.headers.get('x-remint-reason')).toBe('authorization_repeated')
})

test('a missing flag is 403 insufficient_scope', async () => {
  const response = await ask('/guard/scim')
  expect(response.status).toBe(403)
  expect(response.headers.get('www-authenticate')).toBe('Bearer realm="remint", error="insufficient_scope"')
})

test('live lists only what is still on', async () => {
  entitle(setup, ['sso'])
  const response = await ask('/guard/sso;freshness=live')
  expect(response.headers.get('x-remint-features')).toBe('everybody sso')
  expect((await ask('/guard/reports?freshness=live')).status).toBe(403)
})

test('when the state is unknown, live is 403 and not an error', async () => {
  setup.kv.fault = () => Promise.reject(new Error('down'))
  const response = await ask('/guard/reports?freshness=live')
  expect([response.status, response.headers.get('x-remint-reason')]).toEqual([403, 'state_unknown'])
})

test('values that a header cannot hold are percent-encoded', async () => {
  token = await mintToken(setup, { sub: 'Zoë\r\nX: 1 %', org_id: 'Ørsted' })
  const response = await ask('/guard/reports')
  expect(response.headers.get('x-remint-subject')).toBe('Zo%C3%AB%0D%0AX:%201%20%25')
  expect(response.headers.get('x-remint-org')).toBe('%C3%98rsted')
})

test('a gateway that is not configured refuses in a way that proxies understand', async () => {
  setup = await setUpVerification({ ISSUER: 'nonsense' })
  const response = await ask('/guard/reports')
  expect([response.status, response.headers.get('x-remint-reason')]).toEqual([403, 'misconfigured'])
})
