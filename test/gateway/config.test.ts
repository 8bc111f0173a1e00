import { describe, expect, test } from 'vitest'
import { isSecureUrl } from '../../src/core/secure_url.ts'
import { parseConfig, preservesIssuer } from '../../src/gateway/config.ts'
import { configOf, TestKV } from './support/gateway.ts'

const OIDC = {
  ENTITLEMENTS: new TestKV(),
  ENVIRONMENT: 'production',
  ISSUER: 'https://auth.example.com',
  UPSTREAM_PROFILE: 'oidc',
  UPSTREAM_ORIGIN: 'https://idp.example.com',
  UPSTREAM_ISSUER: 'https://idp.example.com/tenant/',
  UPSTREAM_AUDIENCE: 'https://api.example.com',
  SIGNING_KEYS: '{"keys":[]}',
}
const WORKOS = {
  ...OIDC,
  UPSTREAM_PROFILE: 'workos',
  UPSTREAM_ORIGIN: 'https://api.workos.com',
  UPSTREAM_ISSUER: 'https://api.workos.com',
  UPSTREAM_AUDIENCE: undefined,
  UPSTREAM_CLIENT_ID: 'client_01ABC',
}

/** The binding of the Durable Object, and the secret that it needs. */
const SESSIONS = { REFRESH_SESSIONS: { getByName: () => {} }, SESSION_PEPPER: '01234567'.repeat(4) }

const problemsOf = (bindings: object) => {
  const parsed = parseConfig(bindings)
  return parsed.ok ? [] : parsed.problems
}

test('oidc: what is not given has its default, and tokens carry the gateway as issuer', () => {
  expect(parseConfig(OIDC)).toEqual({
    ok: true,
    config: {
      environment: 'production',
      issuer: 'https://auth.example.com',
      tokenIssuer: 'https://auth.example.com/',
      formerIssuers: ['https://auth.example.com'],
      clockSkewSeconds: 60,
      guardOrigin: undefined,
      tokenMaxSeconds: 300,
      staleMaxSeconds: 3600,
      orgClaim: 'org_id',
      stripHeaders: [],
      verifiers: [],
      reuseSeconds: 10,
      upstream: {
        profile: 'oidc',
        origin: 'https://idp.example.com',
        issuer: 'https://idp.example.com/tenant/',
        issuers: ['https://idp.example.com/tenant/'],
        audiences: ['https://api.example.com'],
        clientIds: [],
        tokenPaths: [],
        algorithms: ['RS256', 'ES256'],
        timeoutMs: 10_000,
      },
    },
  })
})

test('workos: needs no audience, and tokens keep the issuer of upstream', () => {
  expect(parseConfig(WORKOS)).toMatchObject({
    ok: true,
    config: {
      tokenIssuer: 'https://api.workos.com',
      upstream: { clientIds: ['client_01ABC'], audiences: [] },
    },
  })
})

test.each([
  [OIDC, 'gateway', 'https://auth.example.com/', false],
  [OIDC, undefined, 'https://auth.example.com/', false],
  [{ ...OIDC, UPSTREAM_ISSUER: 'https://idp.example.com' }, 'gateway', 'https://auth.example.com', false],
  [OIDC, 'preserve', 'https://idp.example.com/tenant/', true],
  [OIDC, 'https://tokens.example.com', 'https://tokens.example.com', false],
  [WORKOS, 'gateway', 'https://auth.example.com', false],
  [WORKOS, 'preserve', 'https://api.workos.com', true],
])('TOKEN_ISSUER %#: %s', (bindings, TOKEN_ISSUER, tokenIssuer, preserved) => {
  const parsed = parseConfig({ ...bindings, TOKEN_ISSUER })
  expect(parsed).toMatchObject({ ok: true, config: { tokenIssuer } })
  expect(parsed.ok && preservesIssuer(parsed.config)).toBe(preserved)
})

test('numbers and lists are read as such', () => {
  const config = configOf({
    TOKEN_MAX_SECONDS: '60',
    STALE_MAX_SECONDS: '0',
    UPSTREAM_TIMEOUT_MS: '2500',
    UPSTREAM_ALGORITHMS: 'EdDSA, PS256',
    ORG_CLAIM: 'https://example.com/org',
  })
  expect(config).toMatchObject({
    tokenMaxSeconds: 60,
    staleMaxSeconds: 0,
    orgClaim: 'https://example.com/org',
  })
  expect(config.upstream).toMatchObject({ timeoutMs: 2500, algorithms: ['EdDSA', 'PS256'] })
})

describe('refresh sessions', () => {
  test.each<[string, Record<string, unknown>, string[]]>([
    ['are optional', {}, []],
    ['are bound with a pepper', SESSIONS, []],
    [
      'need a pepper',
      { REFRESH_SESSIONS: SESSIONS.REFRESH_SESSIONS },
      ['SESSION_PEPPER: is required with the binding REFRESH_SESSIONS: make one with `openssl rand -hex 32`'],
    ],
    [
      'need a pepper that cannot be guessed',
      { ...SESSIONS, SESSION_PEPPER: 'short' },
      ['SESSION_PEPPER: must have at least 32 characters: make one with `openssl rand -hex 32`'],
    ],
    [
      'need a pepper of more than a few letters',
      { ...SESSIONS, SESSION_PEPPER: 'abcdefg'.repeat(9) },
      ['SESSION_PEPPER: must have at least 8 different characters: make one with `openssl rand -hex 32`'],
    ],
    [
      'are a Durable Object binding',
      { ...SESSIONS, REFRESH_SESSIONS: 'RefreshSession' },
      ['REFRESH_SESSIONS: must be a Durable Object binding of the class RefreshSession'],
    ],
    [
      'are what the interval is for',
      { REFRESH_REUSE_SECONDS: '10' },
      ['REFRESH_REUSE_SECONDS: has no effect without the binding REFRESH_SESSIONS'],
    ],
    [
      'do not reuse answers for long',
      { ...SESSIONS, REFRESH_REUSE_SECONDS: '61' },
      ['REFRESH_REUSE_SECONDS: must be a whole number from 0 to 60'],
    ],
  ])('%s', (_, vars, problems) => {
    expect(problemsOf({ ...OIDC, ...vars })).toEqual(problems)
  })
})

test.each([
  ['oidc', OIDC, 10],
  ['workos', WORKOS, 30],
  ['off', { ...OIDC, REFRESH_REUSE_SECONDS: '0' }, 0],
])('the reuse interval: %s', (_, vars, reuseSeconds) => {
  expect(parseConfig({ ...vars, ...SESSIONS })).toMatchObject({ ok: true, config: { reuseSeconds } })
})

test('every required var that is missing is named at once', () => {
  expect(problemsOf({}).map((problem) => problem.split(':')[0])).toEqual([
    'ENTITLEMENTS',
    'ENVIRONMENT',
    'ISSUER',
    'UPSTREAM_PROFILE',
    'UPSTREAM_ORIGIN',
    'UPSTREAM_ISSUER',
    'SIGNING_KEYS',
  ])
})

describe('a wrong value is one problem, by the name of its var', () => {
  test.each([
    ['ENTITLEMENTS', {}],
    ['ENVIRONMENT', 'Production!'],
    ['ENVIRONMENT', 'pro:duction'],
    ['ISSUER', 'auth.example.com'],
    ['ISSUER', 'http://auth.example.com'],
    ['ISSUER', 'https://auth.example.com/'],
    ['ISSUER', 'https://auth.example.com/tenant'],
    ['UPSTREAM_PROFILE', 'saml'],
    ['UPSTREAM_ORIGIN', 'https://idp.example.com/path'],
    ['UPSTREAM_ORIGIN', 'https://user:secret@idp.example.com'],
    ['UPSTREAM_ORIGIN', 'https://auth.example.com'],
    ['UPSTREAM_ISSUER', 'ftp://idp.example.com'],
    ['UPSTREAM_AUDIENCE', ''],
    ['UPSTREAM_AUDIENCE', undefined],
    ['UPSTREAM_CLIENT_ID', 'client/../other'],
    ['UPSTREAM_ALGORITHMS', 'HS256'],
    ['UPSTREAM_ALGORITHMS', 'RS256,none'],
    ['UPSTREAM_ALGORITHMS', ''],
    ['UPSTREAM_TIMEOUT_MS', '10s'],
    ['UPSTREAM_TIMEOUT_MS', '99'],
    ['UPSTREAM_TIMEOUT_MS', '30000'],
    ['UPSTREAM_TIMEOUT_MS', ''],
    ['TOKEN_ISSUER', 'upstream'],
    ['TOKEN_ISSUER', 'http://auth.example.com'],
    ['TOKEN_MAX_SECONDS', '0'],
    ['TOKEN_MAX_SECONDS', '-300'],
    ['TOKEN_MAX_SECONDS', '1e3'],
    ['STALE_MAX_SECONDS', '3600.5'],
    ['ORG_CLAIM', ''],
    ['SIGNING_KEYS', 7],
  ])('%s=%j', (name, value) => {
    const problems = problemsOf({ ...OIDC, [name]: value })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(new RegExp(`^${name}: `))
  })

  test('an issuer that upstream already speaks for cannot be the gateway’s alone', () => {
    const vars = { ...OIDC, UPSTREAM_ISSUER: OIDC.ISSUER }
    expect(problemsOf(vars)).toEqual([expect.stringMatching(/^TOKEN_ISSUER: must be preserve/)])
    expect(problemsOf({ ...vars, TOKEN_ISSUER: 'preserve' })).toEqual([])
  })

  test('workos needs the client id', () => {
    expect(problemsOf({ ...WORKOS, UPSTREAM_CLIENT_ID: undefined })).toEqual([
      expect.stringMatching(/^UPSTREAM_CLIENT_ID: is required/),
    ])
  })
})

test('no problem quotes a value: a secret in the wrong var stays where it is', () => {
  const canary = 'CANARY-5f1c'
  const bindings = Object.fromEntries(Object.keys(OIDC).map((name) => [name, canary]))
  const more = {
    UPSTREAM_CLIENT_ID: `${canary}/`,
    UPSTREAM_ALGORITHMS: canary,
    UPSTREAM_TIMEOUT_MS: canary,
    TOKEN_ISSUER: canary,
    TOKEN_MAX_SECONDS: canary,
    STALE_MAX_SECONDS: canary,
  }
  const problems = problemsOf({ ...bindings, ...more })
  expect(problems.length).toBeGreaterThan(9)
  expect(problems.join('\n')).not.toContain(canary)
})

test.each([
  ['https://idp.example.com', true],
  ['https://localhost', true],
  ['http://localhost:9000', true],
  ['http://127.0.0.1:9000', true],
  ['http://[::1]:9000', true],
  ['http://127.0.0.2', false],
  ['http://localhost.example.com', false],
  ['http://idp.example.com', false],
  ['data:text/plain,https://idp.example.com', false],
  ['idp.example.com', false],
  ['', false],
])('%j may be called: %s', (value, secure) => {
  expect(isSecureUrl(value)).toBe(secure)
})
