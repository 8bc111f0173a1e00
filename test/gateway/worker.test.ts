/**
 * The Worker itself: its entry, the KV binding of the runtime, the real clock, and an upstream behind a real socket.
 */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { beforeEach, describe, expect, inject, test } from 'vitest'
import type { EntitlementsKV, GatewayBindings } from '../../src/gateway/config.ts'
import worker from '../../src/gateway/worker.ts'
import { catalog, FORM, GATEWAY, gatewayKey, grant, orgDocument, REFRESH_BODY } from './support/gateway.ts'
import { captureLog } from './support/log.ts'

const log = captureLog()
const upstream = inject('upstream')
const kv = (env as unknown as { ENTITLEMENTS: KVNamespace }).ENTITLEMENTS

let bindings: GatewayBindings
let reads: unknown[]
/** The runtime's own, with a count. */
const counted: EntitlementsKV = {
  get(keys, options) {
    reads.push([keys, options])
    return kv.get(keys, options)
  },
  put: (key, value, options) => kv.put(key, value, options),
}
beforeEach(async () => {
  reads = []
  bindings = {
    ENTITLEMENTS: counted,
    ENVIRONMENT: 'production',
    ISSUER: GATEWAY,
    UPSTREAM_PROFILE: 'oidc',
    UPSTREAM_ORIGIN: upstream,
    UPSTREAM_ISSUER: upstream,
    UPSTREAM_AUDIENCE: 'https://api.test',
    UPSTREAM_TIMEOUT_MS: '200',
    SIGNING_KEYS: JSON.stringify({ keys: [await gatewayKey()] }),
  }
})

async function request(path: string, init?: RequestInit): Promise<Response> {
  const context = createExecutionContext()
  const response = await worker.fetch(new Request(`${GATEWAY}${path}`, init), bindings, context)
  await waitOnExecutionContext(context)
  return response
}

const refresh = (headers: Record<string, string> = {}) =>
  request('/token', { method: 'POST', headers: { ...FORM, ...headers }, body: REFRESH_BODY })

async function claimsOf(response: Response) {
  const { access_token } = (await response.json()) as { access_token: string }
  const jwks = createLocalJWKSet(await (await request('/.well-known/jwks.json')).json())
  return (await jwtVerify(access_token, jwks, { audience: 'https://api.test' })).payload
}

describe('with the KV of the runtime', () => {
  test('a refresh carries what was published there, read in one operation', async () => {
    const some = { kind: 'entitlement', access: 'some' }
    await kv.put('catalog:production', JSON.stringify(catalog({ sso: some, other: some })))
    await kv.put('org:production:org_acme', JSON.stringify(orgDocument({ grants: [grant('sso')] })))
    const response = await refresh()
    expect(response.status).toBe(200)
    expect(await claimsOf(response)).toMatchObject({
      feature_flags: ['sso'],
      feature_flags_meta: { src: 'fresh', ver: '87.12' },
    })
    expect(reads).toEqual([
      [
        ['catalog:production', 'org:production:org_acme', 'user:production:user_1'],
        { type: 'text', cacheTtl: 30 },
      ],
    ])
    expect(log.lines[0]).toMatchObject({ src: 'fresh', flags: 1 })
  })

  test('a refresh survives an empty one, without flags', async () => {
    for (const key of ['catalog:production', 'org:production:org_acme']) await kv.delete(key)
    expect(await claimsOf(await refresh())).toMatchObject({
      feature_flags: [],
      feature_flags_meta: { src: 'degraded' },
    })
  })

  test('a corrupt document is one that could not be read', async () => {
    await kv.put('catalog:production', JSON.stringify(catalog({ all: { kind: 'rollout', access: 'all' } })))
    await kv.put('org:production:org_acme', '{"format":1')
    expect(await claimsOf(await refresh())).toMatchObject({
      feature_flags: ['all'],
      feature_flags_meta: { src: 'degraded' },
    })
    expect(log.lines[0]).toMatchObject({ warnings: ['document_invalid org'] })
  })
})

describe('with an upstream behind a real socket', () => {
  test.each([
    ['cut off in the middle of its answer', 'cut-off', 'upstream_unreachable'],
    ['stalled in the middle of its answer', 'stalled', 'upstream_timeout'],
    ['slow', 'slow', 'upstream_timeout'],
  ])('%s: 503 with a time to retry', async (_, fault, reason) => {
    const response = await refresh({ 'x-fault': fault })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
    expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
    expect(log.last).toMatchObject({ reason })
  })

  test('a compressed token answer comes out whole, and says nothing of the old encoding', async () => {
    const response = await refresh()
    expect(response.headers.has('content-encoding')).toBe(false)
    expect(response.headers.has('content-length')).toBe(false)
    expect(await response.json()).toMatchObject({ expires_in: 300, refresh_token: 'rotated' })
  })

  test('a compressed page comes out whole', async () => {
    const response = await request('/page')
    expect(await response.text()).toBe(`<p>${'grüße '.repeat(1000)}</p>`)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
  })

  test('a redirect is not followed, every cookie is kept, and no body stays no body', async () => {
    const redirect = await request('/redirect')
    expect([redirect.status, redirect.headers.get('location')]).toEqual([302, '/page'])
    expect((await request('/cookies')).headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2; Path=/'])
    const notModified = await request('/not-modified')
    expect([notModified.status, notModified.headers.get('etag'), await notModified.text()]).toEqual([
      304,
      '"x"',
      '',
    ])
    expect((await request('/empty')).status).toBe(204)
    const head = await request('/page', { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })
})

test('the deployed entry answers with the bindings of wrangler.toml, and asks for what it lacks', async () => {
  const entry = (exports as unknown as { default: Fetcher }).default
  const response = await entry.fetch('https://auth.test/healthz')
  expect(response.status).toBe(503)
  expect(await response.json()).toEqual({
    status: 'misconfigured',
    problems: [
      'SIGNING_KEYS: is required: a private JWK Set as JSON, made by `npm run keys -- generate` in Remint’s repository',
      'SESSION_PEPPER: is required with the binding REFRESH_SESSIONS: make one with `openssl rand -hex 32`',
    ],
  })
})
