/**
 * However a client authenticates and whichever grant it asks for, upstream decides, and what upstream refuses reaches
 * the client word for word.
 */
import { exportJWK, generateKeyPair } from 'jose'
import * as oidc from 'openid-client'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE, DEMO_APP, DEMO_SERVICE, type Idp, startIdp } from '../../dev/idp.ts'
import { EXECUTE, logIn, REDIRECT_URI, refresh } from './support/session.ts'
import { ACME_FLAGS, claimsOf, EVERYBODY_FLAGS, freePort, type TestGateway } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

const running = new Running()
/** A gateway that names itself, and one that preserves the issuer of a provider that lives behind it. */
const stages = {} as Record<'gateway' | 'preserve', { gateway: TestGateway; idp: Idp }>
const privateKey = generateKeyPair('ES256')

const SECRET = 'a-secret-with-reserved-characters:%+/&='
const common = { redirect_uris: [REDIRECT_URI], grant_types: ['authorization_code', 'refresh_token'] }

beforeAll(async () => {
  const jwk = { ...(await exportJWK((await privateKey).publicKey)), alg: 'ES256', use: 'sig' }
  const clients = [
    ...(['client_secret_basic', 'client_secret_post', 'client_secret_jwt'] as const).map((method) => ({
      ...common,
      client_id: method,
      client_secret: SECRET,
      token_endpoint_auth_method: method,
    })),
    {
      ...common,
      client_id: 'private_key_jwt',
      token_endpoint_auth_method: 'private_key_jwt' as const,
      jwks: { keys: [jwk] },
    },
  ]
  const [stage, port] = await Promise.all([openStage(running, inject('bundles').gateway), freePort()])
  const publicUrl = `http://localhost:${port}`
  const [own, behind] = await Promise.all([
    startIdp({ port: 0, clients }),
    startIdp({ port: 0, clients, issuer: publicUrl }),
  ])
  running.add(own)
  running.add(behind)
  const [gateway, preserve] = await Promise.all([
    openGateway(running, stage, { vars: { UPSTREAM_ORIGIN: own.url, UPSTREAM_ISSUER: own.url } }),
    openGateway(running, stage, {
      port,
      vars: { UPSTREAM_ORIGIN: behind.url, UPSTREAM_ISSUER: publicUrl, TOKEN_ISSUER: 'preserve' },
    }),
  ])
  stages.gateway = { gateway, idp: own }
  stages.preserve = { gateway: preserve, idp: behind }
}, 60_000)
afterAll(() => running.close())

const discover = (mode: keyof typeof stages, clientId: string, authentication: oidc.ClientAuth) =>
  oidc.discovery(new URL(stages[mode].gateway.url), clientId, undefined, authentication, { execute: EXECUTE })

describe('a session is opened and refreshed by a client that authenticates with', () => {
  /** A provider that does not know the gateway's issuer takes the token endpoint, as it was called, for its own. */
  const toTokenEndpoint: oidc.ModifyAssertionOptions = {
    [oidc.modifyAssertion]: (_header, payload) => {
      payload.aud = `${stages.gateway.gateway.url}/token`
    },
  }
  const key = async () => (await privateKey).privateKey
  const cases: [
    method: string,
    mode: keyof typeof stages,
    clientId: string,
    authentication: () => oidc.ClientAuth | Promise<oidc.ClientAuth>,
  ][] = [
    ['nothing', 'gateway', DEMO_APP, () => oidc.None()],
    ['client_secret_basic', 'gateway', 'client_secret_basic', () => oidc.ClientSecretBasic(SECRET)],
    ['client_secret_post', 'gateway', 'client_secret_post', () => oidc.ClientSecretPost(SECRET)],
    ['client_secret_jwt', 'preserve', 'client_secret_jwt', () => oidc.ClientSecretJwt(SECRET)],
    ['private_key_jwt', 'preserve', 'private_key_jwt', async () => oidc.PrivateKeyJwt(await key())],
    [
      'private_key_jwt for the token endpoint',
      'gateway',
      'private_key_jwt',
      async () => oidc.PrivateKeyJwt(await key(), toTokenEndpoint),
    ],
  ]
  test.each(cases)('%s (%s)', async (_, mode, clientId, authentication) => {
    const session = await logIn(await discover(mode, clientId, await authentication()))
    const spent = await refresh(session)
    expect(session.tokens.refresh_token).not.toBe(spent)
    expect(claimsOf(session.tokens.access_token)).toMatchObject({
      client_id: clientId,
      sub: 'user_ada',
      feature_flags: ACME_FLAGS,
    })
  })
})

test('client credentials give a token without an organization: what everybody has, and its own share of rollouts', async () => {
  const config = await discover('gateway', DEMO_SERVICE.id, oidc.ClientSecretBasic(DEMO_SERVICE.secret))
  const tokens = await oidc.clientCredentialsGrant(config, { scope: 'reports:read' })
  expect(claimsOf(tokens.access_token)).toMatchObject({
    aud: API_AUDIENCE,
    sub: DEMO_SERVICE.id,
    feature_flags: [...EVERYBODY_FLAGS, 'new-editor'],
    feature_flags_meta: { src: 'fresh' },
  })
  expect(tokens.refresh_token).toBeUndefined()
  expect(tokens.id_token).toBeUndefined()
})

describe('upstream’s refusal reaches the client word for word', () => {
  const wrong = Buffer.from('client_secret_basic:wrong').toString('base64')
  const cases: [
    name: string,
    body: Record<string, string>,
    headers: Record<string, string>,
    expected: object,
  ][] = [
    [
      'an unknown refresh token',
      { grant_type: 'refresh_token', refresh_token: 'never-issued', client_id: DEMO_APP },
      {},
      { status: 400, error: 'invalid_grant' },
    ],
    [
      'an unknown code',
      { grant_type: 'authorization_code', code: 'x', client_id: DEMO_APP, redirect_uri: REDIRECT_URI },
      {},
      { status: 400, error: 'invalid_grant' },
    ],
    [
      'a wrong client secret',
      { grant_type: 'refresh_token', refresh_token: 'never-issued' },
      { authorization: `Basic ${wrong}` },
      { status: 401, error: 'invalid_client' },
    ],
    [
      'a grant that upstream does not know',
      { grant_type: 'urn:example:grant', client_id: DEMO_APP },
      {},
      { status: 400, error: 'unsupported_grant_type' },
    ],
  ]
  test.each(cases)('%s', async (_, body, headers, expected) => {
    const { gateway, idp } = stages.gateway
    const [through, direct] = await Promise.all([ask(gateway.url), ask(idp.url)])
    expect(through).toEqual(direct)
    expect({ status: through.status, ...JSON.parse(through.body) }).toMatchObject(expected)

    async function ask(origin: string) {
      const response = await fetch(`${origin}/token`, {
        method: 'POST',
        headers,
        body: new URLSearchParams(body),
      })
      const kept = ['content-type', 'cache-control', 'www-authenticate']
      return {
        status: response.status,
        headers: kept.map((name) => response.headers.get(name)),
        body: await response.text(),
      }
    }
  })
})

test('no client secret, code or token is in the gateway’s log', async () => {
  const lines = Object.values(stages).flatMap(({ gateway }) => gateway.log)
  expect(lines.filter(({ route }) => route === 'token').length).toBeGreaterThan(10)
  const text = JSON.stringify(lines)
  for (const secret of [SECRET, encodeURIComponent(SECRET), DEMO_SERVICE.secret, 'never-issued', 'eyJ'])
    expect(text).not.toContain(secret)
})
