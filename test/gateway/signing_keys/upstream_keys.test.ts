import type { JWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Keyring } from '../../../src/gateway/signing_keys/keyring.ts'
import { upstreamKeys } from '../../../src/gateway/signing_keys/upstream_keys.ts'
import { configOf, gatewayKey, keyringOf, type PrivateJwk } from '../support/gateway.ts'
import { makeSigner, type Signer } from '../support/upstream.ts'

let keyring: Keyring
let own: PrivateJwk
let ec: Signer
let rsa: Signer
beforeAll(async () => {
  own = await gatewayKey()
  keyring = await keyringOf(own)
  ;[ec, rsa] = await Promise.all([makeSigner('ES256'), makeSigner('RS256')])
})

/** The keys of an upstream whose answer the test decides. */
function keysOf(answer: () => Response | Promise<Response>, algorithms = 'RS256,ES256') {
  const state = { now: 1_000_000, answer, urls: [] as string[] }
  const fetcher = (async (url: string) => {
    state.urls.push(url)
    return state.answer()
  }) as unknown as typeof fetch
  const config = configOf({ UPSTREAM_ALGORITHMS: algorithms })
  const keys = upstreamKeys(
    async () => 'https://idp.test/jwks',
    config,
    keyring,
    fetcher,
    () => state.now,
  )
  return { state, keys }
}

const setOf =
  (...keys: unknown[]) =>
  () =>
    Response.json({ keys })

async function inHand(answer: () => Response, algorithms?: string) {
  const current = await keysOf(answer, algorithms).keys.current()
  if (!current.ok) throw new Error(current.reason)
  return current.value
}

describe('every key is given one algorithm when the set arrives', () => {
  const without = ({ alg: _, use: __, ...jwk }: JWK) => jwk
  test('its own where it names one, else the first configured one that fits', async () => {
    const set = await inHand(setOf(ec.jwk, { ...without(rsa.jwk), kid: 'bare' }), 'PS256,RS256,ES256')
    expect(set.candidates(ec.jwk.kid, 'ES256')[0]?.algorithm).toMatchObject({ name: 'ECDSA' })
    expect(set.candidates('bare', 'PS256')[0]?.algorithm).toMatchObject({ name: 'RSA-PSS' })
    expect(set.candidates('bare', 'RS256'), 'the other one is not open to the token').toEqual([])
  })

  test('Ed25519 is the other name of EdDSA', async () => {
    const { jwk } = await makeSigner('EdDSA')
    const set = await inHand(setOf({ ...jwk, alg: 'Ed25519' }), 'EdDSA')
    expect(set.candidates(jwk.kid, 'EdDSA')).toHaveLength(1)
  })

  test.each<[string, () => object]>([
    ['an algorithm that is not configured', () => ({ alg: 'RS512' })],
    ['an algorithm that does not fit its type', () => ({ alg: 'ES256' })],
    ['a symmetric algorithm', () => ({ alg: 'HS256' })],
    ['another use', () => ({ use: 'enc' })],
    ['other operations', () => ({ key_ops: ['encrypt'] })],
    ['no modulus', () => ({ n: undefined })],
    ['a type that is symmetric', () => ({ kty: 'oct', k: 'c2VjcmV0' })],
  ])('a key with %s is left out, and spoils no other', async (_, members) => {
    const set = await inHand(setOf({ ...rsa.jwk, ...members() }, ec.jwk))
    for (const alg of ['RS256', 'RS512', 'ES256', 'HS256'])
      expect(set.candidates(rsa.jwk.kid, alg)).toEqual([])
    expect(set.published.map(({ kid }) => kid)).toEqual([ec.jwk.kid])
  })
})

test('a key that is too short is left out, also where it shares its id with a good one', async () => {
  const pair = (await crypto.subtle.generateKey(
    {
      name: 'RSASSA-PKCS1-v1_5',
      modulusLength: 1024,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: 'SHA-256',
    },
    true,
    ['sign', 'verify'],
  )) as CryptoKeyPair
  const { n, e } = (await crypto.subtle.exportKey('jwk', pair.publicKey)) as JWK
  const set = await inHand(setOf({ ...rsa.jwk, n, e }, rsa.jwk))
  expect(set.candidates(rsa.jwk.kid, 'RS256')).toHaveLength(1)
  expect(set.published).toMatchObject([{ n: rsa.jwk.n }])
})

describe('a token chooses among keys only by their id', () => {
  test('without one it finds the only key of its algorithm', async () => {
    const set = await inHand(setOf(ec.jwk, rsa.jwk))
    expect(set.candidates(undefined, 'RS256')).toEqual(set.candidates(rsa.jwk.kid, 'RS256'))
  })

  test('and none where there is a choice', async () => {
    const other = await makeSigner('ES256')
    const set = await inHand(setOf(ec.jwk, other.jwk))
    expect(set.candidates(undefined, 'ES256')).toEqual([])
    expect(set.candidates(other.jwk.kid, 'ES256')).toHaveLength(1)
  })

  test('of an id that two keys share, both may have signed', async () => {
    const other = await makeSigner('ES256')
    const set = await inHand(setOf(ec.jwk, { ...other.jwk, kid: ec.jwk.kid }))
    expect(set.candidates(ec.jwk.kid, 'ES256')).toHaveLength(2)
  })

  test.each<[string, (jwk: JWK) => JWK[]]>([
    ['as it is', (jwk) => [jwk, jwk]],
    ['once without alg', (jwk) => [jwk, { ...jwk, alg: undefined } as unknown as JWK]],
    ['once without use', (jwk) => [jwk, { ...jwk, use: undefined } as unknown as JWK]],
    ['once without kid', ({ kid, ...jwk }) => [{ kid, ...jwk } as JWK, jwk]],
    ['three times', (jwk) => [jwk, jwk, jwk]],
  ])('a key that is in the set twice is one: %s', async (_, twice) => {
    for (const { jwk, alg } of [ec, rsa]) {
      const set = await inHand(setOf(...twice(jwk)))
      expect(set.candidates(jwk.kid, alg)).toHaveLength(1)
      expect(set.candidates(undefined, alg).length).toBeGreaterThan(0)
    }
  })
})

describe('our own keys never count as upstream’s', () => {
  test('nor does another key under the gateway’s key id', async () => {
    const set = await inHand(setOf({ ...rsa.jwk, kid: own.kid }, ec.jwk))
    expect(set.published.map(({ kid }) => kid)).toEqual([ec.jwk.kid])
  })

  test.each<[string, (jwk: JWK) => JWK]>([
    ['as they are', (jwk) => jwk],
    ['under another id', (jwk) => ({ ...jwk, kid: 'renamed' })],
    ['without an id', ({ kid: _, ...jwk }) => jwk],
  ])('published by upstream %s', async (_, changed) => {
    const set = await inHand(setOf(changed(keyring.published[0] as JWK), ec.jwk))
    expect(set.published.map(({ kid }) => kid)).toEqual([ec.jwk.kid])
  })
})

test.each([null, 5, {}, 'verify', ['sign']])(
  'a key with key_ops %j does not spoil the others',
  async (keyOps) => {
    const set = await inHand(setOf(null, 7, { ...rsa.jwk, key_ops: keyOps }, ec.jwk))
    expect(set.candidates(ec.jwk.kid, 'ES256')).toHaveLength(1)
    expect(set.candidates(rsa.jwk.kid, 'RS256')).toEqual([])
  },
)

test('only public halves are published again, and only what a key is', async () => {
  const set = await inHand(setOf({ ...ec.jwk, d: 'CANARY', x5c: ['CANARY'], other: 'CANARY' }))
  const { kty, crv, x, y, kid, alg, use } = ec.jwk
  expect(set.published).toEqual([{ kty, crv, x, y, kid, alg, use }])
})

test('at most 64 keys are looked at', async () => {
  const many = Array.from({ length: 80 }, (_, i) => ({ ...ec.jwk, kid: `k${i}` }))
  const set = await inHand(setOf(...many))
  expect(set.published).toHaveLength(64)
})

describe('a set replaces the one before it whole, or not at all', () => {
  test('a key that upstream withdrew is gone with the next set', async () => {
    const { state, keys } = keysOf(setOf(ec.jwk, rsa.jwk))
    await keys.current()
    state.answer = setOf(rsa.jwk)
    state.now += 10 * 60_000
    const current = await keys.current()
    expect(current.ok && current.value.candidates(ec.jwk.kid, 'ES256')).toEqual([])
    expect(current.ok && current.value.candidates(rsa.jwk.kid, 'RS256')).toHaveLength(1)
  })

  test.each<[string, () => Response | Promise<Response>]>([
    ['a fault', () => new Response('', { status: 500 })],
    ['nobody', () => Promise.reject(new TypeError('refused'))],
    ['an empty set', setOf()],
    ['a set without a usable key', setOf({ kty: 'oct', k: 'x' }, null, 7, 'key')],
    ['no set', () => Response.json({ keys: {} })],
    ['HTML', () => new Response('<html>')],
  ])('%s never replaces good keys', async (_, answer) => {
    const { state, keys } = keysOf(setOf(ec.jwk))
    await keys.current()
    state.answer = answer
    state.now += 10 * 60_000
    const current = await keys.current()
    expect(state.urls).toHaveLength(2)
    expect(current.ok && current.value.candidates(ec.jwk.kid, 'ES256')).toHaveLength(1)
  })

  test('unreachable keys and unusable keys are different faults', async () => {
    const unreachable = keysOf(() => new Response('', { status: 503 })).keys
    expect(await unreachable.current()).toEqual({ ok: false, reason: 'keys_unreachable' })
    expect(await keysOf(setOf(rsa.jwk), 'ES256').keys.current()).toEqual({
      ok: false,
      reason: 'keys_unusable',
    })
  })
})
