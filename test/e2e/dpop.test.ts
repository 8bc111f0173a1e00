/**
 * DPoP (RFC 9449) through the gateway: proofs reach upstream for the address that the client signed them for, and a
 * token that is bound to a key stays so.
 */
import { calculateJwkThumbprint, exportJWK } from 'jose'
import * as oidc from 'openid-client'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { DEMO_APP, DEMO_SERVICE, startIdp } from '../../dev/idp.ts'
import { NONCE_CLIENT, type NonceIdp, startNonceIdp } from './support/nonce_idp.ts'
import { EXECUTE, logIn, refresh } from './support/session.ts'
import { ACME_FLAGS, claimsOf, freePort, verify } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

const running = new Running()
const modes = {} as Record<'preserve' | 'gateway' | 'nonce', string>
let nonceIdp: NonceIdp

beforeAll(async () => {
  const [stage, behindPort, noncePort] = await Promise.all([
    openStage(running, inject('bundles').gateway),
    freePort(),
    freePort(),
  ])
  const behindUrl = `http://localhost:${behindPort}`
  const nonceUrl = `http://localhost:${noncePort}`
  const behind = running.add(await startIdp({ port: 0, issuer: behindUrl }))
  const own = running.add(await startIdp({ port: 0 }))
  nonceIdp = running.add(await startNonceIdp(nonceUrl))
  await Promise.all([
    open('preserve', behind.url, behindUrl, behindPort),
    open('gateway', own.url, own.url),
    open('nonce', nonceIdp.url, nonceUrl, noncePort),
  ])

  async function open(mode: keyof typeof modes, origin: string, issuer: string, port?: number) {
    const vars = {
      UPSTREAM_ORIGIN: origin,
      UPSTREAM_ISSUER: issuer,
      TOKEN_ISSUER: mode === 'gateway' ? 'gateway' : 'preserve',
    }
    const gateway = await openGateway(running, stage, { vars, ...(port !== undefined && { port }) })
    modes[mode] = gateway.url
  }
}, 60_000)
afterAll(() => running.close())

async function client(mode: keyof typeof modes, clientId: string, authentication: oidc.ClientAuth) {
  const config = await oidc.discovery(new URL(modes[mode]), clientId, undefined, authentication, {
    execute: EXECUTE,
  })
  const keys = await oidc.randomDPoPKeyPair()
  const jkt = await calculateJwkThumbprint(await exportJWK(keys.publicKey))
  return { config, DPoP: oidc.getDPoPHandle(config, keys), jkt }
}

describe.each(['preserve', 'gateway'] as const)('TOKEN_ISSUER=%s', (mode) => {
  test('a bound token stays bound through log-in and refreshes', async () => {
    const { config, DPoP, jkt } = await client(mode, DEMO_APP, oidc.None())
    const session = await logIn(config, { DPoP })
    for (let turn = 0; turn < 3; turn++) {
      expect(session.tokens.token_type).toBe('dpop')
      expect(claimsOf(session.tokens.access_token)).toMatchObject({
        cnf: { jkt },
        feature_flags: ACME_FLAGS,
      })
      await refresh(session, DPoP)
    }
  })

  test('a bound token that is presented as a plain bearer is refused', async () => {
    const { config, DPoP } = await client(mode, DEMO_SERVICE.id, oidc.ClientSecretBasic(DEMO_SERVICE.secret))
    const { tokens } = await logIn(config, { DPoP })
    expect(await verify(modes[mode], tokens.access_token)).toEqual({
      active: false,
      allowed: false,
      reason: 'token_bound',
    })
  })

  test('a public client’s refresh token is of no use with another key, and stays good with its own', async () => {
    const { config, DPoP } = await client(mode, DEMO_APP, oidc.None())
    const session = await logIn(config, { DPoP })
    const thief = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair())
    await expect(refresh(session, thief)).rejects.toMatchObject({ error: 'invalid_grant' })
    await refresh(session, DPoP)
    expect(claimsOf(session.tokens.access_token).feature_flags).toEqual(ACME_FLAGS)
  })

  test('a proof for another address is refused by upstream', async () => {
    const { config } = await client(mode, DEMO_SERVICE.id, oidc.ClientSecretBasic(DEMO_SERVICE.secret))
    const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair(), {
      [oidc.modifyAssertion]: (_header, payload) => {
        payload.htu = 'https://elsewhere.example/token'
      },
    })
    const refused = oidc.clientCredentialsGrant(config, {}, { DPoP })
    await expect(refused).rejects.toMatchObject({ error: 'invalid_dpop_proof' })
  })
})

test('upstream’s DPoP-Nonce reaches the client, which answers with it', async () => {
  const { config, DPoP, jkt } = await client(
    'nonce',
    NONCE_CLIENT.id,
    oidc.ClientSecretBasic(NONCE_CLIENT.secret),
  )
  const first = await oidc.clientCredentialsGrant(config, {}, { DPoP })
  expect(nonceIdp.answers).toEqual([400, 200])
  expect(first.token_type).toBe('dpop')
  expect(claimsOf(first.access_token)).toMatchObject({ cnf: { jkt }, iss: modes.nonce })

  // The client keeps the nonce, so that the next request needs no second try.
  await oidc.clientCredentialsGrant(config, {}, { DPoP })
  expect(nonceIdp.answers).toEqual([400, 200, 200])
})
