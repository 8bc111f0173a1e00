import { beforeEach, describe, expect, test } from 'vitest'
import {
  catalog,
  FORM,
  GATEWAY,
  grant,
  orgDocument,
  REFRESH_BODY,
  type Setup,
  setUp,
  userDocument,
} from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { UPSTREAM } from '../support/upstream.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

describe('a refresh comes back with a re-signed access token', () => {
  test('that carries the flags of now, for its own time', async () => {
    const response = await setup.refresh()
    expect(response.status).toBe(200)
    const answer = (await response.json()) as Record<string, unknown>
    expect(answer).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 300,
      refresh_token: 'rotated',
    })
    const claims = await setup.verified(answer.access_token as string)
    expect(claims).toMatchObject({
      iss: GATEWAY,
      sub: 'user_1',
      feature_flags: ['reports'],
      feature_flags_meta: { env: 'production', ver: '87.0', as_of: setup.now / 1000, src: 'fresh' },
    })
    expect(claims.jti).not.toBe('upstream-jti')
    expect(log.lines[0]).toMatchObject({
      level: 'info',
      route: 'token',
      status: 200,
      access_token: 'minted',
      jti: claims.jti,
      kid: setup.signingKey.kid,
      src: 'fresh',
      ver: '87.0',
      flags: 1,
      upstream_status: 200,
    })
  })

  test('and a change of the documents shows in the next one, five seconds later at most', async () => {
    const flags = async () => (await setup.verified((await setup.refreshed()).access_token)).feature_flags
    const some = { kind: 'entitlement', access: 'some' }
    setup.kv.put(
      'catalog:production',
      catalog({ sso: some, beta: some, killed: { ...some, killed: true } }, { pro: ['sso'] }),
    )
    const contract = { id: 'C', plan: 'pro', status: 'active', from: '2026-01-01T00:00:00Z', to: null }
    setup.kv.put('org:production:org_acme', orgDocument({ contracts: [contract], grants: [grant('killed')] }))
    expect(await flags()).toEqual(['sso'])
    setup.kv.put(
      'user:production:user_1',
      userDocument({ grants: [grant('beta'), grant('sso', { effect: 'deny' })] }),
    )
    setup.now += 5_000
    expect(await flags()).toEqual(['beta'])
  })

  test('that does not outlive what pays for its flags', async () => {
    setup.kv.put('catalog:production', catalog({ beta: { kind: 'rollout', access: 'some' } }))
    const to = new Date(setup.now + 42_000).toISOString()
    setup.kv.put('org:production:org_acme', orgDocument({ grants: [grant('beta', { to })] }))
    const answer = await setup.refreshed()
    expect(answer.expires_in).toBe(42)
    expect((await setup.verified(answer.access_token)).exp).toBe(setup.now / 1000 + 42)
  })

  test('for any grant whose answer holds an access token', async () => {
    for (const body of [
      'grant_type=authorization_code&code=c',
      'grant_type=client_credentials',
      'grant_type=urn:x:new',
    ]) {
      const answer = (await (await setup.refresh({ body })).json()) as { access_token: string }
      await setup.verified(answer.access_token)
      expect(setup.upstream.seen('/token').body).toBe(body)
    }
  })

  test('on a warm isolate with one subrequest, to upstream, and at most one read of KV', async () => {
    await setup.refreshed()
    const before = setup.upstream.requests.length
    setup.now += 5_000
    await setup.refreshed()
    expect(setup.upstream.requests.length - before).toBe(1)
    expect(setup.kv.reads).toHaveLength(2)
  })
})

describe('upstream gets the request as it came', () => {
  test('body, query, client authentication, DPoP and fields that we do not know', async () => {
    const body = 'grant_type=refresh_token&refresh_token=r%2B1&resource=a&resource=b&new%5Fthing=%e2%9c%93'
    const headers = {
      ...FORM,
      authorization: 'Basic YTpi',
      dpop: 'proof',
      'idempotency-key': 'k',
      cookie: 'a=1',
    }
    await setup.request('/token?tenant=%2F1', { method: 'POST', headers, body })
    const seen = setup.upstream.seen('/token')
    expect(seen).toMatchObject({ method: 'POST', body, redirect: 'manual' })
    expect(seen.url.search).toBe('?tenant=%2F1')
    expect(Object.fromEntries(seen.headers)).toMatchObject({
      ...headers,
      'x-forwarded-host': 'auth.test',
      'x-forwarded-proto': 'https',
    })
  })

  test('at a token endpoint that has a query of its own', async () => {
    setup.upstream.onMetadata = () =>
      Response.json(setup.upstream.metadata({ token_endpoint: `${UPSTREAM}/token?p=policy` }))
    for (const path of ['/token', '/token?p=policy']) {
      await setup.request(path, { method: 'POST', headers: FORM, body: REFRESH_BODY })
      expect(setup.upstream.seen('/token').url.search).toBe('?p=policy')
    }
  })

  test.each(['/Token', '/token/', '//token', '/%74oken', '/x/..%2ftoken', '/token;x=1'])(
    'at its own spelling of the path, whichever the client chose: %s',
    async (path) => {
      const response = await setup.request(path, { method: 'POST', headers: FORM, body: REFRESH_BODY })
      await setup.verified(((await response.json()) as { access_token: string }).access_token)
      expect(setup.upstream.seen('/token').method).toBe('POST')
    },
  )
})

describe('a request that cannot be right is refused before upstream hears of it', () => {
  test.each([
    ['a body above 64 KiB', { body: 'x'.repeat(65 * 1024) }, 413],
    ['chunks above 64 KiB', { body: new Blob(['x'.repeat(65 * 1024)]).stream() }, 413],
    ['JSON without a grant', { body: '{}', headers: { 'content-type': 'application/json' } }, 400],
    ['text', { body: REFRESH_BODY, headers: { 'content-type': 'text/plain' } }, 415],
    ['a repeated parameter', { body: `${REFRESH_BODY}&client_id=other` }, 400],
    ['a missing parameter', { body: 'grant_type=refresh_token' }, 400],
    ['two authorizations', { headers: { ...FORM, authorization: 'Basic YTpi, Basic YTpj' } }, 400],
  ] as [string, RequestInit, number][])('%s', async (_, init, status) => {
    const response = await setup.refresh(init)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ error: 'invalid_request', request_id: expect.any(String) })
    expect(setup.upstream.count('/token')).toBe(0)
    expect(log.last).toMatchObject({ level: 'info', status, reason: expect.any(String) })
  })

  test.each(['GET', 'PUT', 'DELETE', 'HEAD'])('the method %s', async (method) => {
    const response = await setup.request('/token', { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
    expect(setup.upstream.count('/token')).toBe(0)
  })

  test('but a preflight is upstream’s to answer', async () => {
    const cors = { 'access-control-allow-origin': 'https://app.test' }
    setup.upstream.onOther = () => new Response(null, { status: 204, headers: cors })
    const response = await setup.request('/token', {
      method: 'OPTIONS',
      headers: { origin: 'https://app.test', 'access-control-request-method': 'POST' },
    })
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([
      204,
      'https://app.test',
    ])
    expect(setup.upstream.seen('/token').method).toBe('OPTIONS')
  })

  test.each([
    ['no browser asks', { 'access-control-request-method': 'POST' }],
    ['it is no preflight', { origin: 'https://app.test' }],
  ])('and OPTIONS is 405 where %s', async (_, headers) => {
    const response = await setup.request('/token', { method: 'OPTIONS', headers: new Headers(headers) })
    expect(response.status).toBe(405)
    expect(setup.upstream.count('/token')).toBe(0)
  })
})

describe('before the refresh token is spent', () => {
  test.each<[string, (setup: Setup) => void, string]>([
    [
      'upstream’s keys are unreachable',
      ({ upstream }) => (upstream.onJwks = () => new Response('', { status: 500 })),
      'keys_unreachable',
    ],
    [
      'upstream’s keys are of no use',
      ({ upstream }) => (upstream.onJwks = () => Response.json({ keys: [] })),
      'keys_unusable',
    ],
    [
      'upstream cannot be described',
      ({ upstream }) => (upstream.onMetadata = () => new Response('', { status: 502 })),
      'metadata_unreachable',
    ],
    [
      'its description is of another issuer',
      ({ upstream }) => (upstream.onMetadata = () => Response.json(upstream.metadata({ issuer: 'x' }))),
      'metadata_issuer_mismatch',
    ],
    [
      'its description names no keys',
      ({ upstream }) =>
        (upstream.onMetadata = () => Response.json(upstream.metadata({ jwks_uri: undefined }))),
      'metadata_incomplete',
    ],
    [
      'its description names a plain http endpoint',
      ({ upstream }) =>
        (upstream.onMetadata = () =>
          Response.json(upstream.metadata({ token_endpoint: 'http://idp.test/token' }))),
      'metadata_incomplete',
    ],
  ])('%s: 503, and it is still good', async (_, bend, reason) => {
    bend(setup)
    const response = await setup.refresh()
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('2')
    expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
    expect(setup.upstream.count('/token')).toBe(0)
    expect(log.last).toMatchObject({ level: 'error', reason })
  })

  test('keys that were had before will do while upstream’s key set is down', async () => {
    await setup.refreshed()
    setup.upstream.onJwks = () => new Response('', { status: 500 })
    setup.now += 11 * 60_000
    await setup.verified((await setup.refreshed()).access_token)
  })
})

describe('after upstream has accepted, no fault of the gateway costs the session', () => {
  const some = { kind: 'entitlement', access: 'some' }
  const publish = () => {
    setup.kv.put(
      'catalog:production',
      catalog({ reports: { kind: 'entitlement', access: 'all' }, sso: some }),
    )
    setup.kv.put('org:production:org_acme', orgDocument({ grants: [grant('sso')] }))
  }
  const refreshedClaims = async () => {
    const answer = await setup.refreshed()
    expect(answer.refresh_token).toBe('rotated')
    const { feature_flags, feature_flags_meta } = await setup.verified(answer.access_token)
    return [feature_flags, (feature_flags_meta as { src: string }).src]
  }
  const failing = () => Promise.reject(new Error('down'))

  test('KV down: first stale, then degraded once STALE_MAX_SECONDS are over', async () => {
    publish()
    expect(await refreshedClaims()).toEqual([['reports', 'sso'], 'fresh'])
    setup.kv.fault = failing
    setup.now += 3_600_000
    expect(await refreshedClaims()).toEqual([['reports', 'sso'], 'stale'])
    expect(log.lines.at(-2)).toMatchObject({ level: 'warn', src: 'stale' })
    setup.now += 1_000
    expect(await refreshedClaims()).toEqual([[], 'degraded'])
  })

  test('a corrupt document: degraded to what everybody has, and the log names its key', async () => {
    publish()
    setup.kv.put('org:production:org_acme', '{"format":1')
    expect(await refreshedClaims()).toEqual([['reports'], 'degraded'])
    expect(log.lines[0]).toMatchObject({
      level: 'warn',
      warnings: ['document_invalid org'],
    })
  })

  test('a corrupt document after a good one: the good one', async () => {
    publish()
    await refreshedClaims()
    setup.kv.put('org:production:org_acme', '[]')
    setup.now += 5_000
    expect(await refreshedClaims()).toEqual([['reports', 'sso'], 'stale'])
  })

  test('no catalog: no flags', async () => {
    setup.kv.values.clear()
    expect(await refreshedClaims()).toEqual([[], 'degraded'])
    expect(log.lines[0]).toMatchObject({ warnings: ['catalog_missing catalog'] })
  })

  test('KV that never answers: degraded after two seconds', async () => {
    setup.kv.fault = () => new Promise(() => {})
    expect(await refreshedClaims()).toEqual([[], 'degraded'])
  })
})
