import { createExecutionContext } from 'cloudflare:test'
import { Hono } from 'hono'
import { beforeEach, describe, expect, test } from 'vitest'
import { Verifier } from '../../src/gateway/worker.ts'
import { createGuard, type Guard, type GuardOptions } from '../../src/guard/index.ts'
import { GATEWAY, makeSigningKey, type Setup } from '../gateway/support/gateway.ts'
import { captureLog } from '../gateway/support/log.ts'
import { entitle, mintToken, setUpVerification } from '../gateway/support/tokens.ts'
import { AUDIENCE } from '../gateway/support/upstream.ts'

captureLog()
let setup: Setup
let asked: string[]
let isDown: boolean
beforeEach(async () => {
  setup = await setUpVerification()
  asked = []
  isDown = false
})

/** A guard whose fetches reach the gateway under test. */
const makeGuard = (options: Partial<GuardOptions> = {}): Guard =>
  createGuard({
    issuer: GATEWAY,
    audience: AUDIENCE,
    now: () => setup.now,
    fetch: async (input, init) => {
      const { pathname } = new URL(String(input))
      asked.push(pathname)
      if (isDown) throw new TypeError('fetch failed')
      return setup.request(pathname, init as RequestInit)
    },
    ...options,
  })

const requestWith = (token?: string, scheme = 'Bearer') =>
  new Request('https://api.test/reports', {
    headers: token === undefined ? {} : { authorization: `${scheme} ${token}` },
  })

test('a good token passes, and says who it is', async () => {
  const token = await mintToken(setup)
  const checked = await makeGuard().check(requestWith(token), 'reports')
  expect(checked).toMatchObject({
    ok: true,
    identity: {
      sub: 'user_1',
      orgId: 'org_acme',
      sid: 'session_1',
      features: ['everybody', 'reports', 'sso'],
      freshness: 'claim',
      claims: { scope: 'openid profile' },
    },
  })
})

test.each([
  ['reports', true],
  [['reports', 'sso'], true],
  [['reports', 'scim'], false],
  [{ any: ['scim', 'sso'] }, true],
  [{ all: ['reports'], any: ['scim'] }, false],
  [[], true],
  [{ all: [] }, true],
])('with %j required: %s', async (required, ok) => {
  expect((await makeGuard().check(requestWith(await mintToken(setup)), required)).ok).toBe(ok)
})

test.each<[unknown]>([
  [undefined],
  [null],
  [7],
  [{}],
  [{ al: ['scim'] }],
  [{ features: ['scim'] }],
  [{ all: ['reports'], every: ['scim'] }],
  [{ all: 'scim' }],
  [{ all: undefined }],
  [{ any: [] }],
  [{ all: ['reports'], any: [] }],
  [[undefined]],
  [['']],
  [''],
])('the requirement %j is a mistake, never the requirement of nothing', async (required) => {
  const guard = makeGuard()
  const request = requestWith(await mintToken(setup))
  await expect(guard.check(request, required as never)).rejects.toThrow(TypeError)
  expect(() => guard.requireFeature(required as never)).toThrow(TypeError)
})

test('a freshness that is none is a mistake where it is checked, too', async () => {
  const request = requestWith(await mintToken(setup))
  await expect(makeGuard().check(request, 'reports', { freshness: 'now' as never })).rejects.toThrow(
    TypeError,
  )
})

describe('refused', () => {
  test.each<[string, number, () => Promise<Request>, string?]>([
    ['token_missing', 401, async () => requestWith()],
    [
      'authorization_malformed',
      401,
      async () => requestWith(await mintToken(setup), 'DPoP'),
      'invalid_request',
    ],
    [
      'authorization_repeated',
      401,
      async () => requestWith(`${await mintToken(setup)}, Bearer ${await mintToken(setup)}`),
      'invalid_request',
    ],
    ['token_malformed', 401, async () => requestWith('x'), 'invalid_token'],
    ['token_malformed', 401, async () => requestWith(`${await mintToken(setup)}=`), 'invalid_token'],
    [
      'token_header_refused',
      401,
      async () => requestWith(await mintToken(setup, {}, { jku: 'https://x.test' })),
      'invalid_token',
    ],
    [
      'type_refused',
      401,
      async () => requestWith(await mintToken(setup, {}, { typ: 'JWT' })),
      'invalid_token',
    ],
    ['key_unknown', 401, async () => requestWith(await mintToken(setup, {}, { kid: 'x' })), 'invalid_token'],
    [
      'key_unknown',
      401,
      async () => requestWith(await mintToken(setup, {}, { kid: undefined })),
      'invalid_token',
    ],
    [
      'claim_refused',
      401,
      async () => requestWith(await mintToken(setup, { iss: 'https://x.test' })),
      'invalid_token',
    ],
    [
      'claim_refused',
      401,
      async () => requestWith(await mintToken(setup, { aud: 'https://x.test' })),
      'invalid_token',
    ],
    [
      'claim_refused',
      401,
      async () => requestWith(await mintToken(setup, { nbf: setup.now / 1000 + 6 })),
      'invalid_token',
    ],
    [
      'claim_refused',
      401,
      async () => requestWith(await mintToken(setup, { exp: undefined })),
      'invalid_token',
    ],
    // Upstream's own token, where it speaks for the same issuer, has not passed the gateway.
    [
      'claim_refused',
      401,
      async () => requestWith(await mintToken(setup, { feature_flags_meta: undefined })),
      'invalid_token',
    ],
    [
      'token_expired',
      401,
      async () => requestWith(await mintToken(setup, { exp: setup.now / 1000 - 5 })),
      'invalid_token',
    ],
    [
      'token_bound',
      401,
      async () => requestWith(await mintToken(setup, { cnf: { jkt: 'x' } })),
      'invalid_token',
    ],
    [
      'feature_missing',
      403,
      async () => requestWith(await mintToken(setup, { feature_flags: [] })),
      'insufficient_scope',
    ],
    [
      'feature_missing',
      403,
      async () => requestWith(await mintToken(setup, { feature_flags: 'reports' })),
      'insufficient_scope',
    ],
  ])('%s: %i', async (reason, status, make, error) => {
    const checked = await makeGuard().check(await make(), 'reports')
    if (checked.ok) throw new Error('it passed')
    expect(checked.reason).toBe(reason)
    const { response } = checked
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('www-authenticate')).toBe(
      error === undefined ? 'Bearer realm="remint"' : `Bearer realm="remint", error="${error}"`,
    )
    expect(await response.json()).toMatchObject({ type: 'about:blank', status, code: reason })
  })

  test('another key under a known name', async () => {
    const other = await makeSigningKey()
    const token = await mintToken({ ...setup, signingKey: { ...other, kid: setup.signingKey.kid } })
    expect(await makeGuard().check(requestWith(token))).toMatchObject({
      ok: false,
      reason: 'signature_invalid',
    })
  })
})

test('five seconds of skew are tolerated', async () => {
  const seconds = setup.now / 1000
  const token = await mintToken(setup, { nbf: seconds + 5, exp: seconds - 4 })
  expect((await makeGuard().check(requestWith(token))).ok).toBe(true)
})

describe('the keys', () => {
  test('are fetched once, and again when they are five minutes old', async () => {
    const guard = makeGuard()
    const check = async () => (await guard.check(requestWith(await mintToken(setup)))).ok
    expect([await check(), await check()]).toEqual([true, true])
    expect(asked).toEqual(['/.well-known/jwks.json'])
    setup.now += 300_000
    expect(await check()).toBe(true)
    expect(asked.length).toBe(2)
  })

  test('stay good while the gateway is down, for as long as it takes', async () => {
    const guard = makeGuard()
    await guard.check(requestWith(await mintToken(setup)))
    isDown = true
    setup.now += 24 * 3600_000
    expect((await guard.check(requestWith(await mintToken(setup)))).ok).toBe(true)
  })

  test('that cannot be had make a 503, not a verdict', async () => {
    isDown = true
    const checked = await makeGuard().check(requestWith(await mintToken(setup)))
    if (checked.ok) throw new Error('it passed')
    expect([checked.reason, checked.response.status]).toEqual(['keys_unreachable', 503])
    expect(checked.response.headers.get('retry-after')).toBe('2')
  })

  test('are fetched by one request when many come before there are any', async () => {
    const guard = makeGuard()
    const token = await mintToken(setup)
    const checks = await Promise.all(Array.from({ length: 20 }, () => guard.check(requestWith(token))))
    expect(checks.every(({ ok }) => ok)).toBe(true)
    expect(asked).toEqual(['/.well-known/jwks.json'])
  })

  test('that cannot be had are asked for at most once a second', async () => {
    isDown = true
    const guard = makeGuard()
    const token = await mintToken(setup)
    const checkMany = () => Promise.all(Array.from({ length: 20 }, () => guard.check(requestWith(token))))
    for (const { ok } of [...(await checkMany()), ...(await checkMany())]) expect(ok).toBe(false)
    expect(asked.length).toBe(1)
    setup.now += 1000
    isDown = false
    for (const { ok } of await checkMany()) expect(ok).toBe(true)
    expect(asked.length).toBe(2)
  })

  test('are asked for at most once in 30 s by tokens of unknown keys', async () => {
    const guard = makeGuard()
    const unknown = await mintToken(setup, {}, { kid: 'x' })
    for (let i = 0; i < 5; i++) await guard.check(requestWith(unknown))
    expect(asked.length).toBe(1)
    setup.now += 30_000
    await guard.check(requestWith(unknown))
    expect(asked.length).toBe(2)
  })
})

describe.each(['HTTP', 'a service binding'])('live over %s', (way) => {
  let hangs: boolean
  let guard: Guard
  beforeEach(() => {
    hangs = false
    const verifier = new Verifier(createExecutionContext(), setup.bindings)
    const binding = {
      verify: async (...question: Parameters<Verifier['verify']>) => {
        if (hangs) return new Promise<never>(() => {})
        if (isDown) throw new Error('down')
        return verifier.verify(...question)
      },
    }
    const options = { freshness: 'live', timeoutMs: 200 } as const
    guard =
      way === 'HTTP'
        ? makeGuard(options)
        : makeGuard({ ...options, gateway: binding, jwksUri: `${GATEWAY}/.well-known/jwks.json` })
  })

  test('passes with the flags that are on in both', async () => {
    entitle(setup, ['reports', 'scim'])
    const checked = await guard.check(requestWith(await mintToken(setup)), 'reports')
    expect(checked).toMatchObject({
      ok: true,
      identity: { features: ['everybody', 'reports'], freshness: 'live' },
    })
  })

  test('refuses a flag that was taken away, and says which', async () => {
    entitle(setup, ['sso'])
    const checked = await guard.check(requestWith(await mintToken(setup)), ['sso', 'reports'])
    if (checked.ok) throw new Error('it passed')
    expect(checked.response.status).toBe(403)
    expect(await checked.response.json()).toMatchObject({ code: 'feature_missing', missing: ['reports'] })
  })

  test('refuses a revoked session', async () => {
    setup.kv.put('revoked:production:sid:session_1', { until: setup.now / 1000 + 300 })
    const checked = await guard.check(requestWith(await mintToken(setup)), 'reports')
    expect(checked).toMatchObject({ ok: false, reason: 'token_inactive' })
  })

  test('does not ask about a token that does not verify, or lacks the flag', async () => {
    await guard.check(requestWith('x'), 'reports')
    await guard.check(requestWith(await mintToken(setup)), 'scim')
    expect(asked).toEqual(['/.well-known/jwks.json'])
    expect(setup.kv.reads).toEqual([])
  })

  test.each([
    ['down', 59, 'grace'],
    ['down', 60, 'live_unavailable'],
    ['without its documents', 59, 'grace'],
    ['without its documents', 60, 'live_unavailable'],
    ['too slow', 59, 'grace'],
    ['too slow', 60, 'live_unavailable'],
  ])('with a gateway that is %s, a token of %i s: %s', async (fault, age, outcome) => {
    await guard.check(requestWith())
    // The keys are fetched, so that only the live check fails.
    await guard.check(requestWith(await mintToken(setup, {}, {})), 'scim')
    if (fault === 'down') isDown = true
    if (fault === 'without its documents') setup.kv.fault = () => Promise.reject(new Error('down'))
    if (fault === 'too slow') {
      hangs = true
      if (way === 'HTTP') setup.kv.fault = () => new Promise(() => {})
    }
    const token = await mintToken(setup, { iat: setup.now / 1000 - age })
    const checked = await guard.check(requestWith(token), 'reports')
    if (checked.ok) expect(checked.identity.freshness).toBe(outcome)
    else {
      expect(checked.reason).toBe(outcome)
      expect(checked.response.status).toBe(503)
    }
    expect(checked.ok).toBe(outcome === 'grace')
  })

  test('a route can do with the claim', async () => {
    isDown = false
    const checked = await guard.check(requestWith(await mintToken(setup)), 'reports', { freshness: 'claim' })
    expect(checked).toMatchObject({ ok: true, identity: { freshness: 'claim' } })
    expect(asked).not.toContain('/verify')
  })
})

test.each([
  [404, '', 'live_unavailable'],
  [401, '', 'live_unavailable'],
  [403, '', 'live_unavailable'],
  [302, '', 'live_unavailable'],
  [200, '<html>', 'live_unavailable'],
  [200, '{"active":true}', 'live_unavailable'],
  [429, '', 'grace'],
  [500, '', 'grace'],
  [503, '', 'grace'],
])('live with a gateway that answers %i “%s”: %s', async (status, body, outcome) => {
  const guard = makeGuard({
    freshness: 'live',
    fetch: async (input, init) => {
      const { pathname } = new URL(String(input))
      return pathname === '/verify'
        ? new Response(body, { status })
        : setup.request(pathname, init as RequestInit)
    },
  })
  const checked = await guard.check(requestWith(await mintToken(setup)), 'reports')
  expect(checked.ok ? checked.identity.freshness : checked.reason).toBe(outcome)
})

test('live with a binding to something else is refused', async () => {
  const verify = () =>
    Promise.reject(new TypeError('The RPC receiver does not implement the method "verify".'))
  const guard = makeGuard({
    freshness: 'live',
    gateway: { verify },
    jwksUri: `${GATEWAY}/.well-known/jwks.json`,
  })
  const checked = await guard.check(requestWith(await mintToken(setup)), 'reports')
  expect(checked).toMatchObject({ ok: false, reason: 'live_unavailable' })
})

describe('Hono', () => {
  test('a handler behind requireFeature knows who asks, and one that is refused does not run', async () => {
    const { requireFeature } = makeGuard()
    let runs = 0
    const app = new Hono().get('/reports', requireFeature('reports'), (c) => {
      runs += 1
      return c.text(`${c.var.remint.orgId}: ${c.var.remint.features.join()}`)
    })
    const ask = async (token: string) =>
      app.request('/reports', { headers: { authorization: `Bearer ${token}` } })
    expect(await (await ask(await mintToken(setup))).text()).toBe('org_acme: everybody,reports,sso')
    expect((await ask(await mintToken(setup, { feature_flags: [] }))).status).toBe(403)
    expect((await app.request('/reports')).status).toBe(401)
    expect(runs).toBe(1)
  })
})

describe('the audience', () => {
  const reasonFor = async (audience: GuardOptions['audience'], aud: unknown) => {
    const checked = await makeGuard({ audience }).check(requestWith(await mintToken(setup, { aud })))
    return checked.ok ? 'allowed' : checked.reason
  }

  test.each<[GuardOptions['audience'], unknown, string]>([
    ['a', 'a', 'allowed'],
    ['a', ['b', 'a'], 'allowed'],
    [['a', 'b'], 'b', 'allowed'],
    // Some providers join several with spaces, and some audiences have one.
    ['a', 'openid a', 'allowed'],
    ['openid a', 'openid a', 'allowed'],
    ['a', 'openid ab', 'claim_refused'],
    ['a', undefined, 'claim_refused'],
    ['a', [], 'claim_refused'],
    ['a', '', 'claim_refused'],
    ['a', { a: 'a' }, 'claim_refused'],
    // WorkOS AuthKit and Cognito.
    [false, undefined, 'allowed'],
    [false, [], 'allowed'],
    [false, '', 'allowed'],
    [false, 'a', 'claim_refused'],
    [false, ['a'], 'claim_refused'],
    [false, null, 'claim_refused'],
    [false, 7, 'claim_refused'],
    [false, { a: 'a' }, 'claim_refused'],
  ])('%j, of a token for %j: %s', async (audience, aud, expected) => {
    expect(await reasonFor(audience, aud)).toBe(expected)
  })
})

test.each<[string, () => unknown]>([
  ['an audience that is true', () => makeGuard({ audience: true as never })],
  ['an audience of false in a list', () => makeGuard({ audience: [false] as never })],
  ['no issuer', () => makeGuard({ issuer: '' })],
  ['no audience', () => makeGuard({ audience: [] })],
  ['an empty audience', () => makeGuard({ audience: '' })],
  ['a freshness that is none', () => makeGuard({ freshness: 'now' as never })],
  ['an issuer that is no URL', () => makeGuard({ issuer: 'x' })],
  ['a time-out of nothing', () => makeGuard({ timeoutMs: 0 })],
  ['an issuer over plain HTTP', () => makeGuard({ issuer: 'http://auth.test' })],
  ['a gateway over plain HTTP', () => makeGuard({ gateway: 'http://auth.test' })],
  ['keys over plain HTTP', () => makeGuard({ jwksUri: 'http://auth.test/jwks.json' })],
  ['a route that requires nothing', () => makeGuard().requireFeature([])],
  ['a flag that cannot be', () => makeGuard().requireFeature('Not A Flag')],
])('a guard with %s is not made', (_, make) => {
  expect(make).toThrow(TypeError)
})

test.each(['http://localhost:8787', 'http://127.0.0.1:8787', 'http://[::1]:8787'])(
  'a gateway on this machine may do without TLS: %s',
  (gateway) => {
    expect(() => makeGuard({ gateway, issuer: gateway })).not.toThrow()
  },
)
