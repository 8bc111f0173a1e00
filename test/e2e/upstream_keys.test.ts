/**
 * Upstream's keys in the life of a gateway: rotated while sessions refresh, out of reach, and needed by nobody who only
 * verifies what the gateway has signed.
 */
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { eventually } from '../support/eventually.ts'
import { type MockIdp, refreshRequest, startMockIdp } from './support/mock_idp.ts'
import { accessTokenHash } from './support/session.ts'
import { ACME_FLAGS, claimsOf, ownKids, type TestGateway, verify } from './support/stage.ts'
import { openGateway, openStage, type Stage } from './support/workerd.ts'

const running = new Running()
let stage: Stage
let upstream: MockIdp
let gateway: TestGateway

beforeAll(async () => {
  stage = await openStage(running, inject('bundles').gateway)
})
afterAll(() => running.close())

beforeEach(async () => {
  upstream = running.add(await startMockIdp())
  gateway = await openGateway(running, stage, {
    vars: { UPSTREAM_ORIGIN: upstream.url, UPSTREAM_ISSUER: upstream.url, TOKEN_ISSUER: 'preserve' },
  })
})

interface Answer {
  readonly status: number
  readonly body: { access_token: string; id_token?: string; error?: string; request_id?: string }
}

async function refresh(origin = gateway.url): Promise<Answer> {
  const response = await fetch(`${origin}/token`, refreshRequest())
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

const reasonOf = async ({ body }: Answer) =>
  (await gateway.logged(({ request_id }) => request_id === body.request_id)).reason

async function publishedKids(): Promise<(string | undefined)[]> {
  const response = await fetch(`${gateway.url}/.well-known/jwks.json`)
  return ((await response.json()) as { keys: { kid?: string }[] }).keys.map(({ kid }) => kid)
}

test('an ID token that holds the hash of the replaced access token is re-signed, in upstream’s name', async () => {
  const { access_token: token, id_token: idToken = '' } = (await refresh()).body
  const own = await ownKids(gateway.url)
  for (const jwt of [token, idToken]) expect(own).toContain(decodeProtectedHeader(jwt).kid)
  expect(decodeJwt(idToken)).toMatchObject({ iss: upstream.url, aud: 'spa', at_hash: accessTokenHash(token) })
  expect(claimsOf(token).iss).toBe(upstream.url)
  const keys = createRemoteJWKSet(new URL(`${gateway.url}/.well-known/jwks.json`))
  const { access_token: direct } = (await refresh(upstream.url)).body
  for (const jwt of [token, idToken, direct]) await jwtVerify(jwt, keys, { issuer: upstream.url })
})

describe('when upstream rotates its key', () => {
  test('the sessions that refresh at that moment go on, and the keys are fetched once for all of them', async () => {
    const old = decodeProtectedHeader((await refresh(upstream.url)).body.access_token).kid
    expect((await refresh()).status).toBe(200)
    expect(await publishedKids()).toContain(old)
    const fetched = upstream.counts.jwks

    await upstream.rotate()
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh()))
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200))
    for (const { body } of answers) expect(claimsOf(body.access_token).feature_flags).toEqual(ACME_FLAGS)
    expect(upstream.counts.jwks).toBe(fetched + 1)
    const current = decodeProtectedHeader((await refresh(upstream.url)).body.access_token).kid
    expect(await publishedKids()).toContain(current)
  })

  test('a token of the key that it has withdrawn is refused, and does not make the gateway ask again', async () => {
    const { access_token: withdrawn } = (await refresh(upstream.url)).body
    await refresh()
    await upstream.rotate()
    expect((await refresh()).status).toBe(200)
    expect(await publishedKids()).not.toContain(decodeProtectedHeader(withdrawn).kid)

    const fetched = upstream.counts.jwks
    for (let turn = 0; turn < 3; turn++) {
      upstream.bend((body) => {
        body.access_token = withdrawn
      })
      const refused = await refresh()
      expect([refused.status, await reasonOf(refused)]).toEqual([503, 'key_unknown'])
    }
    expect(upstream.counts.jwks).toBe(fetched)
  })
})

describe('when upstream’s keys are out of reach', () => {
  const outage = (idp: MockIdp) => {
    idp.jwksFault = (response) => response.writeHead(500).end('oops')
  }

  test('before the first refresh, the refresh token is not spent', async () => {
    outage(upstream)
    const refused = await refresh()
    expect([refused.status, refused.body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(await reasonOf(refused)).toBe('keys_unreachable')
    expect(upstream.counts.token).toBe(0)
    upstream.jwksFault = undefined
    // For a second the gateway remembers that it has asked in vain, so that a crowd does not keep upstream down.
    const recovered = await eventually(async () => {
      const answer = await refresh()
      return answer.status === 200 ? answer : undefined
    }, 'the recovery')
    expect(claimsOf(recovered.body.access_token).feature_flags).toEqual(ACME_FLAGS)
    expect(upstream.counts.token).toBe(1)
  })

  test('a token with a key that was not fetched yet is “cannot tell”, and the fetched keys stay good', async () => {
    const { access_token: known } = (await refresh(upstream.url)).body
    await refresh()
    await upstream.rotate()
    outage(upstream)
    const refused = await refresh()
    expect([refused.status, await reasonOf(refused)]).toEqual([503, 'keys_unreachable'])
    upstream.bend((body) => {
      body.access_token = known
    })
    expect((await refresh()).status).toBe(200)
  })
})

test('while upstream is down, sessions cannot refresh but tokens are verified and keys are served', async () => {
  const { access_token: token } = (await refresh()).body
  await upstream.close()
  const refused = await refresh()
  expect([refused.status, await reasonOf(refused)]).toEqual([503, 'upstream_unreachable'])
  expect(await verify(gateway.url, token, { all: ['sso'] })).toMatchObject({ active: true, allowed: true })
  expect(await publishedKids()).toContain(decodeProtectedHeader(token).kid)
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200)
  expect((await fetch(`${gateway.url}/anything`)).status).toBe(503)
})
