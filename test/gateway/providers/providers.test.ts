/**
 * docs/providers.md, run: each provider's settings as they stand there, before a provider that serves and issues what the real
 * one does. Nothing of a live tenant is in here; the shapes are those of the providers' documentation and source.
 */
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import document from '../../../docs/providers.md?raw'
import { createGateway } from '../../../src/gateway/app.ts'
import { catalog, gatewayKey, orgDocument, TestKV, upstreamSigner } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { auth0 } from './auth0.ts'
import { authentik } from './authentik.ts'
import { cognito } from './cognito.ts'
import { dex } from './dex.ts'
import { entra } from './entra.ts'
import { google } from './google.ts'
import { keycloak } from './keycloak.ts'
import { okta } from './okta.ts'
import type { IssuedToken, Provider } from './provider.ts'
import { workos } from './workos.ts'
import { zitadel } from './zitadel.ts'

const PROVIDERS = [auth0, okta, entra, keycloak, cognito, google, dex, authentik, zitadel, workos]
const GATEWAY = 'https://auth.example.com'
const NOW = Math.floor(Date.now() / 1000) * 1000

/** What the gateway sets itself, and what says nothing about the user. */
const NOT_KEPT = ['iss', 'iat', 'exp', 'nbf', 'jti', 'nonce', 'at_hash', 'feature_flags']

const log = captureLog()

test('every recipe has a fixture', () => {
  const headings = [...document.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)
  expect(headings.filter((heading) => settingsOf(heading as string) !== undefined)).toEqual(
    PROVIDERS.map(({ name }) => name),
  )
})

describe.each(PROVIDERS)('$name', (provider) => {
  test('the settings are complete, and clients find the gateway', async () => {
    const request = await openGateway(provider)
    expect(await (await request('/healthz')).json()).toMatchObject({ status: 'ok' })
    const path = new URL(provider.discovery.url).pathname
    const published = (await (await request(path)).json()) as Record<string, string>
    expect(published).toMatchObject({
      jwks_uri: expect.stringMatching(`^${GATEWAY}/`),
      ...provider.published,
    })
    if (provider.logInAt === undefined) return
    const { pathname } = new URL(published.authorization_endpoint as string)
    const redirect = await request(`${pathname}?client_id=app&scope=openid`)
    expect(redirect.headers.get('location')).toBe(`${provider.logInAt}?client_id=app&scope=openid`)
  })

  test.each(provider.accessTokens.map((token) => [nameOf(token), token] as const))(
    'an access token is minted for its organization: %s',
    async (_name, token) => {
      const request = await openGateway(provider, token)
      const response = await logIn(provider, request)
      expect(response.status).toBe(200)
      const answer = (await response.json()) as { access_token: string; id_token?: string }
      expect(answer).toMatchObject({ ...provider.answer, ...provider.lowered, refresh_token: 'r1' })
      const issuer = provider.mintedIssuer ?? GATEWAY
      if (provider.idToken) {
        // The algorithm that clients of the provider expect.
        expect(decodeProtectedHeader(answer.id_token as string).alg).toBe(provider.alg)
        const { at_hash: _, ...idToken } = provider.idToken
        expect(decodeJwt(answer.id_token as string)).toMatchObject({ ...idToken, iss: issuer })
      }
      if (typeof token === 'string') return expect(answer.access_token).toBe(token)
      expect(decodeJwt(answer.access_token)).toMatchObject({
        ...keptOf(token),
        iss: issuer,
        feature_flags: ['reports', 'sso'],
        feature_flags_meta: { src: 'fresh' },
      })
      expect(log.lines.at(-1)).toMatchObject({ route: 'token', access_token: 'minted' })
      expect(log.lines.at(-1)?.warnings).toBeUndefined()
      const verdict = await request('/verify', {
        method: 'POST',
        headers: { authorization: `Bearer ${answer.access_token}`, 'content-type': 'application/json' },
        body: '{"features":{"all":["sso"]}}',
      })
      expect(await verdict.json()).toMatchObject({ active: true, allowed: true })
    },
  )

  test.each(provider.refused.map((token) => [token.name, token] as const))(
    'a token is withheld: %s',
    async (_name, token) => {
      const response = await logIn(provider, await openGateway(provider, token))
      expect(response.status).toBe(503)
      expect(await response.text()).not.toContain('access_token"')
      expect(log.lines.at(-1)).toMatchObject({ access_token: 'withheld', reason: expect.any(String) })
    },
  )

  test('each other way that a token needs is in the recipe', () => {
    const settings = provider.accessTokens.flatMap((token) =>
      typeof token === 'string' ? [] : Object.entries(token.settings ?? {}),
    )
    for (const [name, value] of settings) expect(sectionOf(provider.name)).toContain(`${name} = "${value}"`)
  })
})

const nameOf = (token: IssuedToken | string): string => (typeof token === 'string' ? 'opaque' : token.name)

/** The claims that a minted token has from the provider's. */
const keptOf = ({ claims }: IssuedToken): object =>
  Object.fromEntries(
    Object.entries(claims).filter(([name, value]) => !NOT_KEPT.includes(name) && value !== undefined),
  )

function sectionOf(heading: string): string {
  const [, rest = ''] = document.split(`\n## ${heading}\n`)
  return rest.split(/^## /m)[0] ?? ''
}

/** The vars of a recipe: the block of settings under its heading. */
function settingsOf(heading: string): Record<string, string> | undefined {
  const [, toml] = /^```toml\n([\s\S]*?)^```$/m.exec(sectionOf(heading)) ?? []
  if (toml === undefined) return undefined
  return Object.fromEntries([...toml.matchAll(/^(\w+) = "(.*?)"/gm)].map(([, name, value]) => [name, value]))
}

type Send = (path: string, init?: RequestInit) => Promise<Response>

/** A log-in, as a client sends it. */
function logIn({ name, token }: Provider, request: Send): Promise<Response> {
  const parameters = { grant_type: 'authorization_code', code: crypto.randomUUID(), client_id: 'app' }
  const init =
    name === 'WorkOS'
      ? { body: JSON.stringify(parameters), headers: { 'content-type': 'application/json' } }
      : { body: new URLSearchParams(parameters) }
  return request(token, { method: 'POST', ...init })
}

function documentOf({ discovery, followsForwardedHost }: Provider, asGateway: boolean): object {
  const { document, url } = discovery
  if (!followsForwardedHost || asGateway) return document
  return JSON.parse(JSON.stringify(document).replaceAll(GATEWAY, new URL(url).origin))
}

/** The gateway with the recipe's settings, before a provider that issues this token. */
async function openGateway(provider: Provider, issued: IssuedToken | string = ''): Promise<Send> {
  const { settings = {}, organization = provider.organization } = typeof issued === 'string' ? {} : issued
  const signer = await upstreamSigner(provider.alg)
  const times = { iat: NOW / 1000, exp: NOW / 1000 + 3600 }
  const sign = ({ header, claims }: IssuedToken): Promise<string> =>
    new SignJWT({ ...claims, ...times, ...('nbf' in claims && { nbf: times.iat }) })
      .setProtectedHeader({ alg: signer.alg, kid: signer.jwk.kid, ...header })
      .sign(signer.key)

  async function tokens(): Promise<Response> {
    const { idToken } = provider
    return Response.json({
      access_token: typeof issued === 'string' ? issued : await sign(issued),
      refresh_token: 'r1',
      // WorkOS says neither.
      ...(provider.name !== 'WorkOS' && { token_type: 'Bearer', expires_in: 3600 }),
      ...(idToken && { id_token: await sign({ name: 'ID token', header: {}, claims: idToken }) }),
      ...provider.answer,
    })
  }

  const answer = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const { url, method, headers } = new Request(input, init)
    const asGateway = headers.get('x-forwarded-host') === new URL(GATEWAY).host
    if (url === provider.discovery.url) return Response.json(documentOf(provider, asGateway))
    if (url === provider.jwks) return Response.json({ keys: [{ ...signer.jwk, ...provider.key }] })
    if (method === 'POST' && new URL(url).pathname === provider.token) return tokens()
    return new Response('not found', { status: 404 })
  }

  const kv = new TestKV()
  const flags = {
    reports: { kind: 'entitlement', access: 'all' },
    sso: { kind: 'entitlement', access: 'some' },
  }
  kv.put('catalog:production', catalog(flags))
  const contract = {
    id: 'C',
    plan: null,
    status: 'active',
    from: '2026-01-01T00:00:00Z',
    to: null,
    add: ['sso'],
  }
  kv.put(`org:production:${organization}`, orgDocument({ contracts: [contract] }, organization))
  const app = createGateway({ fetch: answer as typeof fetch, now: () => NOW })
  const bindings = {
    ...{ ENVIRONMENT: 'production', ISSUER: GATEWAY, ENTITLEMENTS: kv },
    SIGNING_KEYS: JSON.stringify({ keys: [await gatewayKey('ES256'), await gatewayKey('RS256')] }),
    ...settingsOf(provider.name),
    ...settings,
  }
  return async (path, init) => app.request(GATEWAY + path, init, bindings)
}
