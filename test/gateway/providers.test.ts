/** What providers do differently: issuers, audiences, clocks, organizations. One row a provider or a report of one. */
import { describe, expect, test } from 'vitest'
import { catalog, GATEWAY, orgDocument, type Setup, setUp, WORKOS } from './support/gateway.ts'
import { captureLog } from './support/log.ts'
import { AUDIENCE, UPSTREAM } from './support/upstream.ts'

const log = captureLog()
type Claims = Record<string, unknown>

async function refreshWith(setup: Setup, claims: Claims): Promise<{ status: number; claims?: Claims }> {
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims(claims))
  const path = setup.bindings.UPSTREAM_PROFILE === 'workos' ? '/user_management/authenticate' : '/token'
  const response = await setup.request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'grant_type=refresh_token&refresh_token=r1&client_id=app',
  })
  if (response.status !== 200) return { status: response.status }
  const { access_token } = (await response.json()) as { access_token: string }
  return { status: 200, claims: await setup.verified(access_token) }
}

/** Whether verification takes the minted token too: `/verify` asks the same of its audience. */
async function verifies(setup: Setup, claims: Claims): Promise<boolean> {
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims(claims))
  const { access_token: token } = await setup.refreshed()
  const headers = { 'content-type': 'application/json' }
  const answer = await setup.request('/verify', { method: 'POST', headers, body: JSON.stringify({ token }) })
  return ((await answer.json()) as { active: boolean }).active
}

describe('for whom an access token is', () => {
  const NO_AUDIENCE = { UPSTREAM_AUDIENCE: undefined, UPSTREAM_CLIENT_ID: 'c1,c2' }
  const BOTH = { UPSTREAM_AUDIENCE: `${AUDIENCE}, https://other.test`, UPSTREAM_CLIENT_ID: 'c1' }
  test.each<[string, Record<string, string | undefined>, Claims, boolean]>([
    ['one of several audiences', BOTH, { aud: 'https://other.test' }, true],
    ['another audience', BOTH, { aud: 'https://third.test' }, false],
    [
      'another audience, though of a known client',
      BOTH,
      { aud: 'https://third.test', client_id: 'c1' },
      false,
    ],
    [
      'Cognito: no aud, but client_id',
      NO_AUDIENCE,
      { aud: undefined, client_id: 'c1', token_use: 'access' },
      true,
    ],
    ['Kinde: an empty aud, and azp', NO_AUDIENCE, { aud: [], azp: 'c2' }, true],
    ['Okta: cid', NO_AUDIENCE, { aud: undefined, cid: 'c2' }, true],
    ['Entra v1: appid', NO_AUDIENCE, { aud: undefined, appid: 'c2' }, true],
    [
      'any audience, where clients are what counts',
      NO_AUDIENCE,
      { aud: 'https://x.test', client_id: 'c1' },
      true,
    ],
    ['another client', NO_AUDIENCE, { aud: undefined, client_id: 'c3' }, false],
    ['no client', NO_AUDIENCE, { aud: undefined }, false],
    ['no aud beside audiences, of a known client', BOTH, { aud: undefined, client_id: 'c1' }, true],
    ['no aud beside audiences, and no clients', {}, { aud: undefined, client_id: 'c1' }, false],
    ['an audience with a space', { UPSTREAM_AUDIENCE: 'openid api' }, { aud: 'openid api' }, true],
    ['audiences that are joined with spaces', { UPSTREAM_AUDIENCE: 'api' }, { aud: 'openid api' }, true],
    ['a part of a word is no audience', { UPSTREAM_AUDIENCE: 'api' }, { aud: 'openid apis' }, false],
    ['a client that is no text', NO_AUDIENCE, { aud: undefined, client_id: ['c1'] }, false],
    [
      'WorkOS: none, whatever is left in the vars',
      { ...WORKOS, UPSTREAM_AUDIENCE: 'left over' },
      { aud: undefined },
      true,
    ],
    [
      'WorkOS: another, where one is configured',
      { ...WORKOS, UPSTREAM_AUDIENCE: 'api' },
      { aud: 'x' },
      false,
    ],
  ])('%s', async (_, vars, claims, accepted) => {
    const setup = await setUp(vars)
    expect((await refreshWith(setup, claims)).status).toBe(accepted ? 200 : 503)
    if (!accepted) expect(log.last).toMatchObject({ reason: 'audience_mismatch', access_token: 'withheld' })
    else if (vars.UPSTREAM_PROFILE === undefined) expect(await verifies(setup, claims)).toBe(true)
  })
})

describe('by whom an access token is', () => {
  const V1 = 'https://sts.windows.net/t/'
  test('Entra: the token says v1, the discovery document v2', async () => {
    const setup = await setUp({ UPSTREAM_ISSUER: `${UPSTREAM},${V1}` })
    const { claims } = await refreshWith(setup, { iss: V1 })
    expect(claims).toMatchObject({ iss: GATEWAY, sub: 'user_1' })
    expect((await refreshWith(setup, {})).status).toBe(200)
    expect((await refreshWith(setup, { iss: 'https://sts.windows.net/other/' })).status).toBe(503)
  })

  test.each([
    ['gateway', GATEWAY],
    ['preserve', UPSTREAM],
  ])('an ID token of the second issuer is re-signed too: %s', async (policy, iss) => {
    const setup = await setUp({ UPSTREAM_ISSUER: `${UPSTREAM},${V1}`, TOKEN_ISSUER: policy })
    setup.upstream.onToken = async () =>
      setup.upstream.tokens(undefined, { id_token: await setup.upstream.idToken({ iss: V1 }) })
    expect(await setup.verified((await setup.refreshed()).id_token ?? '')).toMatchObject({ iss })
  })

  // IdentityServer, OpenIddict, authentik, Keycloak behind a proxy.
  test('a provider that makes its issuer of X-Forwarded-Host sees one address only', async () => {
    const setup = await setUp({ UPSTREAM_ISSUER: GATEWAY, TOKEN_ISSUER: 'preserve' })
    const issuerFor = (headers: Headers | undefined) => {
      const host = headers?.get('x-forwarded-host')
      return host ? `${headers?.get('x-forwarded-proto')}://${host}` : UPSTREAM
    }
    const { upstream } = setup
    const lastHeaders = () => upstream.requests.at(-1)?.headers
    upstream.onMetadata = () => {
      const issuer = issuerFor(lastHeaders())
      return Response.json(
        upstream.metadata({ issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks` }),
      )
    }
    upstream.onToken = () => upstream.tokens(upstream.claims({ iss: issuerFor(lastHeaders()) }))
    expect(await setup.verified((await setup.refreshed()).access_token)).toMatchObject({ iss: GATEWAY })
    for (const path of ['/.well-known/openid-configuration', '/jwks'])
      expect(upstream.seen(path).headers.get('x-forwarded-host'), path).toBe('auth.test')
  })

  test('a key set at another origin does not receive it', async () => {
    const setup = await setUp()
    setup.upstream.onMetadata = () =>
      Response.json(setup.upstream.metadata({ jwks_uri: 'https://keys.test/jwks' }))
    await setup.refreshed()
    expect(setup.upstream.seen('/jwks').headers.has('x-forwarded-host')).toBe(false)
  })
})

describe('upstream’s clock is ahead', () => {
  test.each([
    [{}, 4, 200],
    [{}, 8, 200],
    [{}, 20, 200],
    [{}, 60, 200],
    [{}, 61, 503],
    [{ CLOCK_SKEW_SECONDS: '0' }, 1, 503],
    [{ CLOCK_SKEW_SECONDS: '300' }, 300, 200],
    [{ CLOCK_SKEW_SECONDS: '5' }, 6, 503],
  ])('%j, by %i s: %i', async (vars, ahead, status) => {
    const setup = await setUp(vars)
    const now = setup.now / 1000
    const times = { iat: now + ahead, nbf: now + ahead, exp: now + ahead + 3600 }
    const answer = await refreshWith(setup, times)
    expect(answer.status).toBe(status)
    if (!answer.claims) return
    const { iat = 0, nbf = 0, exp = 0 } = answer.claims as Record<string, number>
    expect([iat, nbf, exp]).toEqual([now, now, now + 300])
  })

  test('an ID token is valid at once too', async () => {
    const setup = await setUp()
    const now = setup.now / 1000
    setup.upstream.onToken = async () =>
      setup.upstream.tokens(undefined, {
        id_token: await setup.upstream.idToken({ iat: now + 20, nbf: now + 20, auth_time: now - 5 }),
      })
    const claims = await setup.verified((await setup.refreshed()).id_token ?? '')
    expect(claims).toMatchObject({ iat: now, nbf: now, auth_time: now - 5 })
  })

  test('a token that would end as it begins has expired', async () => {
    const setup = await setUp()
    expect((await refreshWith(setup, { exp: setup.now / 1000 + 0.7 })).status).toBe(503)
    expect(log.last.reason).toBe('token_expired')
  })
})

describe('the organization of a token', () => {
  test.each<[string, string, Claims, string[], string]>([
    ['Clerk', 'o.id', { o: { id: 'org_acme' } }, ['sso'], 'fresh'],
    [
      'Keycloak 26, a map',
      'organization.*.id',
      { organization: { acme: { id: 'org_acme' } } },
      ['sso'],
      'fresh',
    ],
    ['Keycloak 26, a list', 'organization', { organization: ['org_acme'] }, ['sso'], 'fresh'],
    ['none at all', 'o.id', {}, [], 'fresh'],
    ['two', 'organization', { organization: ['org_acme', 'org_globex'] }, [], 'degraded'],
    ['without its id', 'o.id', { o: { rol: 'admin' } }, [], 'degraded'],
  ])('%s', async (_, path, says, flags, src) => {
    const setup = await setUp({ ORG_CLAIM: path })
    setup.kv.put('catalog:production', catalog({ sso: { kind: 'entitlement', access: 'some' } }))
    const contract = {
      id: 'C',
      plan: null,
      status: 'active',
      from: '2026-01-01T00:00:00Z',
      to: null,
      add: ['sso'],
    }
    setup.kv.put('org:production:org_acme', orgDocument({ contracts: [contract] }))
    const { claims } = await refreshWith(setup, { org_id: undefined, ...says })
    expect([claims?.feature_flags, (claims?.feature_flags_meta as Claims | undefined)?.src]).toEqual([
      flags,
      src,
    ])
    const line = log.lines.find(({ route }) => route === 'token')
    expect(line?.warnings ?? []).toEqual(src === 'degraded' ? ['org_unreadable'] : [])
  })
})
