/** What the client gets of a success: upstream's answer, byte for byte, with our tokens in it. */
import { decodeJwt } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { catalog, GATEWAY, type Setup, setUp, type TokenAnswer } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { UPSTREAM } from '../support/upstream.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUp()
})

test('only the token fields change, everything else is byte for byte upstream’s', async () => {
  const upstreamToken = await setup.upstream.sign(setup.upstream.claims())
  const around = (accessToken: string, expiresIn: number) =>
    `\n{ "token_type" : "DPoP",\t"n": 12345678901234567890, "user":{"access_token":"inner","é":"\\u00e9"},
  "access_token": "${accessToken}",
  "scope":"a b", "expires_in":${expiresIn} , "refresh_token":"r\\/2" }\r\n`
  setup.upstream.onToken = () => new Response(around(upstreamToken, 3600))
  const text = await (await setup.refresh()).text()
  const { access_token } = JSON.parse(text) as TokenAnswer
  expect(access_token).not.toBe(upstreamToken)
  expect(text).toBe(around(access_token, 300))
})

test('expires_in is not added where upstream gave none', async () => {
  setup.upstream.onToken = () =>
    setup.upstream.tokens(undefined, { expires_in: undefined, token_type: undefined })
  expect(Object.keys(await setup.refreshed())).toEqual(['access_token', 'refresh_token'])
})

test('status and headers are upstream’s; no length, encoding or tag of the old body; no store', async () => {
  setup.upstream.onToken = async () => {
    const headers = new Headers({
      'content-length': '7',
      etag: '"old"',
      'cache-control': 'private, max-age=60',
      'x-upstream': 'kept',
      'dpop-nonce': 'n2',
      'content-type': 'application/json;charset=utf-8',
      'server-timing': 'db;dur=3',
      connection: 'x-hop',
      'x-hop': '1',
    })
    headers.append('set-cookie', 'a=1')
    headers.append('set-cookie', 'b=2')
    return new Response((await setup.upstream.tokens()).body, { status: 201, headers })
  }
  const { status, headers } = await setup.refresh()
  expect(status).toBe(201)
  expect(headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  headers.delete('set-cookie')
  expect(Object.fromEntries(headers)).toEqual({
    'cache-control': 'no-store',
    pragma: 'no-cache',
    'content-type': 'application/json;charset=utf-8',
    'dpop-nonce': 'n2',
    'server-timing': 'db;dur=3, upstream;dur=0, lookup;dur=0, mint;dur=0',
    'x-upstream': 'kept',
  })
})

test('a DPoP-bound token keeps its binding and its token_type', async () => {
  const cnf = { jkt: 'thumbprint' }
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ cnf }), { token_type: 'DPoP' })
  const answer = (await setup.refreshed()) as TokenAnswer & { token_type: string }
  expect(answer.token_type).toBe('DPoP')
  expect((await setup.verified(answer.access_token)).cnf).toEqual(cnf)
})

describe('an opaque access token passes untouched', () => {
  test.each(['opaque-8f14e45f', 'v1.local.token', 'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA'])(
    '%s',
    async (opaque) => {
      setup.upstream.onToken = () => setup.upstream.answer(opaque)
      expect(await setup.refreshed()).toMatchObject({
        access_token: opaque,
        expires_in: 3600,
        refresh_token: 'rotated',
      })
      expect(log.last).toMatchObject({ access_token: 'opaque', status: 200 })
      expect(setup.kv.reads).toEqual([])
    },
  )

  test('though an ID token beside it is minted again, because its issuer changes', async () => {
    setup.upstream.onToken = async () =>
      setup.upstream.answer('opaque', { id_token: await setup.upstream.idToken() })
    const answer = await setup.refreshed()
    expect(answer.access_token).toBe('opaque')
    expect(await setup.verified(answer.id_token as string)).toMatchObject({
      iss: GATEWAY,
      nonce: 'n1',
      aud: 'app',
    })
  })
})

describe('an ID token in the answer', () => {
  const withIdToken = async (idToken: string) => {
    setup.upstream.onToken = () => setup.upstream.tokens(undefined, { id_token: idToken })
    return (await setup.refreshed()).id_token as string
  }

  test('is minted again under the gateway’s issuer, hash and all', async () => {
    const upstreamHash = 'upstream-hash'
    const idToken = await withIdToken(await setup.upstream.idToken({ at_hash: upstreamHash }))
    const claims = await setup.verified(idToken)
    expect(claims).toMatchObject({ iss: GATEWAY, sub: 'user_1', nonce: 'n1', exp: setup.now / 1000 + 3600 })
    expect(claims.at_hash).not.toBe(upstreamHash)
    expect(claims).not.toHaveProperty('feature_flags')
  })

  test('stays as it is where the issuer is preserved and nothing in it speaks of the access token', async () => {
    setup = await setUp({ TOKEN_ISSUER: 'preserve' })
    const upstreams = await setup.upstream.idToken()
    expect(await withIdToken(upstreams)).toBe(upstreams)
    const hashed = await withIdToken(await setup.upstream.idToken({ at_hash: 'x' }))
    expect(decodeJwt(hashed)).toMatchObject({ iss: UPSTREAM })
    expect((await setup.verified(hashed)).at_hash).not.toBe('x')
  })

  test.each<[string, () => Promise<string>, string]>([
    ['expired', () => setup.upstream.idToken({ exp: 1 }), 'token_expired'],
    ['of another issuer', () => setup.upstream.idToken({ iss: 'https://other.test' }), 'issuer_mismatch'],
    ['an access token', () => setup.upstream.sign(setup.upstream.claims()), 'type_refused'],
    ['encrypted', async () => 'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA', 'token_malformed'],
  ])(
    'that does not verify (%s) is left to the client, and the session is not lost',
    async (_, make, reason) => {
      const idToken = await make()
      expect(await withIdToken(idToken)).toBe(idToken)
      expect(log.last).toMatchObject({ status: 200, id_token: reason, access_token: 'minted' })
    },
  )
})

test('a token above 2 KiB is minted, with a warning', async () => {
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ filler: 'x'.repeat(2048) }))
  await setup.refreshed()
  expect(log.last).toMatchObject({ level: 'warn', warnings: ['access_token_over_2_kib'] })
})

test('one that no verifier takes says so by name', async () => {
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ filler: 'x'.repeat(11_900) }))
  setup.kv.put('catalog:production', catalog(manyFlags()))
  const { access_token } = await setup.refreshed()
  expect(access_token.length).toBeGreaterThan(16 * 1024)
  expect(log.last).toMatchObject({ level: 'warn', warnings: ['access_token_over_16_kib'] })
})

const manyFlags = () =>
  Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [`a-flag-of-many-${i}`, { kind: 'entitlement', access: 'all' }]),
  )

describe('what upstream says of the end of the access token besides is that of the minted token', () => {
  const exp = () => setup.now / 1000 + 300
  test.each<[string, unknown, () => unknown]>([
    ['expires_at', 2_000_000_000, exp],
    ['expires_at', 2_000_000_000_000, () => exp() * 1000],
    ['expires_at', '2033-05-18T03:33:20Z', () => new Date(exp() * 1000).toISOString()],
    ['expires_on', '2000000000', () => String(exp())],
    ['ext_expires_in', 3600, () => 300],
    ['ext_expires_in', '3600', () => '300'],
    ['expires_at', null, () => null],
    ['expires_at', 'never', () => 'never'],
    ['refresh_token_expires_in', 3600, () => 3600],
    ['refresh_expires_in', 3600, () => 3600],
  ])('%s: %j', async (name, given, expected) => {
    setup.upstream.onToken = () => setup.upstream.tokens(undefined, { [name]: given })
    expect(await setup.refreshed()).toMatchObject({ expires_in: 300, [name]: expected() })
  })

  test('where the token is opaque, nothing of it changes', async () => {
    const members = { expires_at: 2_000_000_000, ext_expires_in: 7200 }
    setup.upstream.onToken = () => setup.upstream.answer('opaque', members)
    expect(await setup.refreshed()).toMatchObject({ expires_in: 3600, ...members })
  })
})
