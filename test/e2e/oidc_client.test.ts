/**
 * `openid-client` against a real identity provider through the gateway, in every way that tokens can be issued:
 * discovery, log-in, refresh with rotation, ID tokens, log-out. The client is certified and independent of this project.
 */
import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as oidc from 'openid-client'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE, DEMO_SERVICE, startIdp } from '../../dev/idp.ts'
import { EXECUTE, HOME_URI, logIn, REDIRECT_URI, refresh, type Session } from './support/session.ts'
import { ACME_FLAGS, claimsOf, freePort, ownKids, verify } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

interface Mode {
  readonly name: string
  readonly gateway: string
  /** What tokens and the discovery document name. */
  readonly issuer: string
  readonly idp: string
  /** Whether tokens name the provider, so that its own signatures stay true. */
  readonly preserved: boolean
  readonly config: oidc.Configuration
  session: Session
}

const running = new Running()
const modes = new Map<string, Mode>()
const NAMES = [
  'issuer: the gateway',
  'issuer: preserved, the provider behind the gateway',
  'issuer: preserved, the provider’s own address',
  'issuer: another URL with a path',
]

beforeAll(async () => {
  const [stage, shared, behindPort, urlPort] = await Promise.all([
    openStage(running, inject('bundles').gateway),
    startIdp({ port: 0 }).then((idp) => running.add(idp)),
    freePort(),
    freePort(),
  ])
  const publicUrl = `http://localhost:${behindPort}`
  const otherUrl = `http://127.0.0.1:${urlPort}/tenants/acme`
  const behind = running.add(await startIdp({ port: 0, issuer: publicUrl }))
  const [own, preservedBehind, preservedOwn, url] = NAMES as [string, string, string, string]
  await Promise.all([
    open(own, { idp: shared.url, issuer: undefined }),
    open(preservedBehind, { idp: behind.url, issuer: publicUrl, tokenIssuer: 'preserve', port: behindPort }),
    open(preservedOwn, { idp: shared.url, issuer: shared.issuer, tokenIssuer: 'preserve' }),
    open(url, { idp: shared.url, issuer: otherUrl, tokenIssuer: otherUrl, port: urlPort }),
  ])

  async function open(
    name: string,
    options: { idp: string; issuer: string | undefined; tokenIssuer?: string; port?: number },
  ): Promise<void> {
    const { idp, tokenIssuer, port = await freePort() } = options
    const upstreamIssuer = name === preservedBehind ? publicUrl : idp
    const vars = {
      UPSTREAM_ORIGIN: idp,
      UPSTREAM_ISSUER: upstreamIssuer,
      TOKEN_ISSUER: tokenIssuer ?? 'gateway',
    }
    const { url: gateway } = await openGateway(running, stage, { vars, port })
    const issuer = options.issuer ?? gateway
    const config = name === preservedOwn ? await configure(gateway) : await discover(issuer)
    const session = await logIn(config)
    modes.set(name, { name, gateway, issuer, idp, preserved: tokenIssuer === 'preserve', config, session })
  }
}, 60_000)
afterAll(() => running.close())

const discover = (issuer: string): Promise<oidc.Configuration> =>
  oidc.discovery(new URL(issuer), DEMO_SERVICE.id, undefined, oidc.ClientSecretBasic(DEMO_SERVICE.secret), {
    execute: EXECUTE,
  })

/** A client of the provider's own issuer cannot discover the gateway there; it is given the gateway's document. */
async function configure(gateway: string): Promise<oidc.Configuration> {
  const metadata = await (await fetch(`${gateway}/.well-known/openid-configuration`)).json()
  const authentication = oidc.ClientSecretBasic(DEMO_SERVICE.secret)
  const config = new oidc.Configuration(metadata, DEMO_SERVICE.id, undefined, authentication)
  for (const prepare of EXECUTE) prepare(config)
  return config
}

describe.each(NAMES)('%s', (name) => {
  const mode = (): Mode => modes.get(name) as Mode

  test('the client finds every endpoint at the gateway, under one issuer', () => {
    const { config, gateway, issuer } = mode()
    const metadata = config.serverMetadata()
    expect(metadata.issuer).toBe(issuer)
    const endpoints = Object.entries(metadata).filter(([key]) => /_(endpoint|uri)$/.test(key))
    expect(endpoints.length).toBeGreaterThanOrEqual(5)
    for (const [, address] of endpoints) expect(new URL(address as string).origin).toBe(gateway)
  })

  test('a log-in gives an access token with the flags of now', async () => {
    const { session, issuer, gateway } = mode()
    const claims = claimsOf(session.tokens.access_token)
    expect(claims).toMatchObject({
      iss: issuer,
      aud: API_AUDIENCE,
      sub: 'user_ada',
      org_id: 'org_acme',
      client_id: DEMO_SERVICE.id,
      scope: 'reports:read',
      roles: ['admin'],
      feature_flags: ACME_FLAGS,
      feature_flags_meta: { env: 'production', src: 'fresh' },
    })
    expect(session.tokens.expires_in).toBe((claims.exp as number) - (claims.iat as number))
    expect(await verify(gateway, session.tokens.access_token)).toMatchObject({
      active: true,
      feature_flags: ACME_FLAGS,
      sid: claims.sid,
    })
  })

  test('the authorization response names the issuer that the client asked', () => {
    const { session, issuer } = mode()
    expect(session.callback.searchParams.get('iss')).toBe(issuer)
  })

  test('the client has verified an ID token of the same issuer as the access token', async () => {
    const { session, issuer, preserved, gateway } = mode()
    const { alg, kid = '' } = decodeProtectedHeader(session.tokens.id_token as string)
    const own = await ownKids(gateway)
    // Where it still is true it stays the provider's own; else the gateway signs it again, with the same algorithm.
    expect([alg, own.includes(kid)]).toEqual(['RS256', !preserved])
    expect(own).toContain(decodeProtectedHeader(session.tokens.access_token).kid)
    expect(session.tokens.claims()).toMatchObject({
      iss: issuer,
      aud: DEMO_SERVICE.id,
      sub: 'user_ada',
      nonce: session.nonce,
    })
  })

  test('refresh tokens rotate many times in a row, and each refresh mints a new token', async () => {
    const { config, agent } = mode().session
    const session = await logIn(config, { agent })
    const seen = new Set([session.tokens.refresh_token])
    const ids = new Set([claimsOf(session.tokens.access_token).jti])
    for (let turn = 1; turn <= 4; turn++) {
      await refresh(session)
      seen.add(session.tokens.refresh_token)
      const claims = claimsOf(session.tokens.access_token)
      ids.add(claims.jti)
      expect(claims.feature_flags).toEqual(ACME_FLAGS)
      expect(decodeJwt(session.tokens.id_token as string).iss).toBe(claims.iss)
    }
    expect([seen.size, ids.size]).toEqual([5, 5])
  })

  test('a spent refresh token ends the session as it does without the gateway', async () => {
    const { config, gateway, idp } = mode()
    const through = await logIn(config)
    const spent = await refresh(through)
    const answer = await spend(gateway, spent)
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect(answer).toEqual(await spend(idp, spent))
    // The provider takes the whole grant back, the newest refresh token included.
    await expect(refresh(through)).rejects.toMatchObject({ error: 'invalid_grant', status: 400 })
  })

  test('logging out with the ID token that the client holds ends the session at the provider, and for live', async () => {
    const { config, gateway, preserved } = mode()
    const session = await logIn(config)
    const again = await logIn(config, { agent: session.agent })
    const silent = oidc.buildAuthorizationUrl(config, {
      redirect_uri: REDIRECT_URI,
      scope: 'openid',
      prompt: 'none',
      code_challenge: await oidc.calculatePKCECodeChallenge(oidc.randomPKCECodeVerifier()),
      code_challenge_method: 'S256',
    })
    const loggedIn = await session.agent.browse(silent, REDIRECT_URI)
    expect(loggedIn.url.searchParams.get('code')).toMatch(/./)

    const live = async ({ tokens }: Session) => {
      const headers = { authorization: `Bearer ${tokens.access_token}` }
      return (await fetch(`${gateway}/guard?freshness=live`, { headers })).status
    }
    expect(await live(again)).toBe(200)

    const logout = oidc.buildEndSessionUrl(config, {
      id_token_hint: again.tokens.id_token as string,
      post_logout_redirect_uri: HOME_URI,
      state: 'bye',
    })
    const arrival = await session.agent.browse(logout, HOME_URI)
    expect(arrival).toEqual({ url: new URL(`${HOME_URI}?state=bye`), pages: ['Log out'] })
    const loggedOut = await session.agent.browse(silent, REDIRECT_URI)
    expect(loggedOut.url.searchParams.get('error')).toBe('login_required')
    await expect(refresh(again)).rejects.toMatchObject({ error: 'invalid_grant' })
    // Where the provider's own ID token is left as it is, nothing in it names the session.
    expect(await live(again)).toBe(preserved ? 200 : 401)
  })
})

async function spend(origin: string, refreshToken: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${origin}/token`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${DEMO_SERVICE.id}:${DEMO_SERVICE.secret}`).toString('base64')}`,
    },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken }),
  })
  return { status: response.status, body: await response.json() }
}
