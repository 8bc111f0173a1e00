/**
 * Verifiers that are not ours accept what the gateway mints, in every algorithm that it signs with, and accept nothing
 * else: services downstream need no library of this project.
 */
import { createHash } from 'node:crypto'
import type { Server } from 'node:http'
import express from 'express'
import { auth, claimCheck } from 'express-oauth2-jwt-bearer'
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import jwt from 'jsonwebtoken'
import jwksClient from 'jwks-rsa'
import * as oidc from 'openid-client'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE } from '../../dev/idp.ts'
import { makeKey } from '../../dev/keys/file.ts'
import { ALGORITHMS } from '../../dev/keys/rotation.ts'
import { type MockIdp, startMockIdp } from './support/mock_idp.ts'
import { EXECUTE, logIn, type Session } from './support/session.ts'
import { ACME_FLAGS, claimsOf, verify } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

type Algorithm = (typeof ALGORITHMS)[number]

const running = new Running()
const stages = {} as Record<Algorithm, { gateway: string; session: Session }>
let upstream: MockIdp

beforeAll(async () => {
  const stage = await openStage(running, inject('bundles').gateway)
  upstream = running.add(await startMockIdp())
  const vars = { UPSTREAM_ORIGIN: upstream.url, UPSTREAM_ISSUER: upstream.url }
  await Promise.all(
    ALGORITHMS.map(async (alg) => {
      const signingKeys = JSON.stringify({ keys: [await makeKey(alg, new Date())] })
      const { url } = await openGateway(running, stage, { vars, signingKeys })
      const config = await oidc.discovery(new URL(url), 'spa', undefined, oidc.None(), { execute: EXECUTE })
      stages[alg] = { gateway: url, session: await logIn(config) }
    }),
  )
}, 60_000)
afterAll(() => running.close())

const accessToken = (alg: Algorithm): string => stages[alg].session.tokens.access_token

/** The last character of a signature changed, in the bits that count. */
const forged = (token: string): string => `${token.slice(0, -4)}${token.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`

describe.each(ALGORITHMS)('%s', (alg) => {
  test('jose verifies a minted token as RFC 9068 says', async () => {
    const { gateway } = stages[alg]
    const keys = createRemoteJWKSet(new URL(`${gateway}/.well-known/jwks.json`))
    const options = { issuer: gateway, audience: API_AUDIENCE, typ: 'at+jwt', algorithms: [alg] }
    const { payload, protectedHeader } = await jwtVerify(accessToken(alg), keys, options)
    expect(payload).toMatchObject({ sub: 'user_ada', org_id: 'org_acme', feature_flags: ACME_FLAGS })
    expect(protectedHeader).toEqual({ alg, kid: protectedHeader.kid, typ: 'at+jwt' })
    await expect(jwtVerify(forged(accessToken(alg)), keys, options)).rejects.toMatchObject({
      code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
    })
  })

  test('the ID token carries the hash of the minted access token, and openid-client takes it', async () => {
    const { session, gateway } = stages[alg]
    const { id_token: idToken = '', access_token: token } = session.tokens
    const hash = createHash(alg === 'EdDSA' ? 'sha512' : 'sha256')
      .update(token)
      .digest()
    expect(decodeProtectedHeader(idToken).alg).toBe(alg)
    expect(decodeJwt(idToken)).toMatchObject({
      iss: gateway,
      aud: 'spa',
      nonce: session.nonce,
      at_hash: hash.subarray(0, hash.length / 2).toString('base64url'),
    })
  })

  test('the discovery document names the algorithm that clients will see', () => {
    const { session } = stages[alg]
    expect(session.config.serverMetadata().id_token_signing_alg_values_supported).toEqual([alg])
  })

  test('live verification says what offline verification says', async () => {
    const { gateway } = stages[alg]
    expect(await verify(gateway, accessToken(alg), { all: ['sso'], any: ['scim'] })).toMatchObject({
      active: true,
      allowed: false,
      reason: 'feature_missing',
      missing: ['scim'],
    })
    expect(await verify(gateway, forged(accessToken(alg)))).toEqual({
      active: false,
      allowed: false,
      reason: 'signature_invalid',
    })
  })
})

describe('jsonwebtoken and jwks-rsa', () => {
  test.each(['RS256', 'ES256'] as const)('verify a token with %s', async (alg) => {
    const { gateway } = stages[alg]
    const client = jwksClient({ jwksUri: `${gateway}/.well-known/jwks.json` })
    const getKey: jwt.GetPublicKeyOrSecret = (header, done) =>
      client.getSigningKey(header.kid).then(
        (key) => done(null, key.getPublicKey()),
        (error) => done(error),
      )
    const options: jwt.VerifyOptions = { algorithms: [alg], issuer: gateway, audience: API_AUDIENCE }
    const check = (token: string) =>
      new Promise((resolve, reject) => {
        jwt.verify(token, getKey, options, (error, claims) => (error ? reject(error) : resolve(claims)))
      })
    expect(await check(accessToken(alg))).toMatchObject({ feature_flags: ACME_FLAGS })
    await expect(check(forged(accessToken(alg)))).rejects.toThrow('invalid signature')
  })
})

describe('express-oauth2-jwt-bearer, strict, with the gateway as its issuer', () => {
  let api: string
  let handled = 0

  beforeAll(async () => {
    const app = express()
    app.use(auth({ issuerBaseURL: stages.RS256.gateway, audience: API_AUDIENCE, strict: true }))
    app.get('/reports/:flag', hasFlag, (request, response) => {
      handled++
      response.json(request.auth?.payload)
    })
    const server: Server = app.listen(0, '127.0.0.1')
    running.add({ close: () => new Promise<void>((done) => server.close(() => done())) })
    await new Promise((ready) => server.once('listening', ready))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the API has no port')
    api = `http://localhost:${address.port}`
  })

  const hasFlag: express.RequestHandler = (request, response, next) =>
    claimCheck(({ feature_flags: flags }) => (flags as string[]).includes(String(request.params.flag)))(
      request,
      response,
      next,
    )

  const ask = (token: string, flag = 'sso') =>
    fetch(`${api}/reports/${flag}`, { headers: { authorization: `Bearer ${token}` } })

  test('lets a minted token through, and gates a route on its flags', async () => {
    const allowed = await ask(accessToken('RS256'))
    expect([allowed.status, (await allowed.json()).feature_flags]).toEqual([200, ACME_FLAGS])
    expect((await ask(accessToken('RS256'), 'scim')).status).toBe(401)
    expect(handled).toBe(1)
  })

  const cases: [name: string, token: () => string | Promise<string>][] = [
    ['upstream’s own token', () => upstreamToken()],
    ['an ID token of the gateway', () => stages.RS256.session.tokens.id_token as string],
    ['a token of another gateway', () => accessToken('ES256')],
    ['a forged token', () => forged(accessToken('RS256'))],
  ]
  test.each(cases)('refuses %s', async (_, token) => {
    const before = handled
    expect((await ask(await token())).status).toBe(401)
    expect(handled).toBe(before)
  })
})

async function upstreamToken(): Promise<string> {
  const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'r1', client_id: 'spa' })
  const response = await fetch(`${upstream.url}/token`, { method: 'POST', body })
  const { access_token: token } = (await response.json()) as { access_token: string }
  expect(claimsOf(token).sub).toBe('user_ada')
  return token
}
