import { CompactSign, exportJWK, generateKeyPair, type JWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { loadKeyring } from '../../../src/gateway/signing_keys/keyring.ts'
import { gatewayKey, keyringOf, makeSigningKey, type PrivateJwk } from '../support/gateway.ts'

let active: PrivateJwk
let next: PrivateJwk
beforeAll(async () => {
  active = await gatewayKey()
  next = await makeSigningKey('EdDSA')
})

/** What is left of a key once it is retired. */
const publicOnly = ({ d: _, p: __, q: ___, dp: ____, dq: _____, qi: ______, ...jwk }: JWK) =>
  jwk as PrivateJwk

const problemsOf = async (keys: unknown) => {
  const loaded = await loadKeyring(typeof keys === 'string' ? keys : JSON.stringify({ keys }))
  return loaded.ok ? [] : loaded.problems
}

describe('each algorithm signs and verifies', () => {
  test.each(['ES256', 'RS256', 'EdDSA'])('%s', async (alg) => {
    const jwk = await gatewayKey(alg)
    const keyring = await keyringOf(jwk)
    expect(keyring.active).toMatchObject({ kid: jwk.kid, alg })
    expect(keyring.algorithms).toEqual([alg])
    expect(keyring.active.key.extractable).toBe(false)
    const jws = await new CompactSign(new Uint8Array([1]))
      .setProtectedHeader({ alg })
      .sign(keyring.active.key)
    expect(jws.split('.')).toHaveLength(3)
    expect(keyring.find(jwk.kid, alg)?.usages).toEqual(['verify'])
  })
})

test('the first key signs; next and retired ones verify and are published', async () => {
  const retired = await makeSigningKey('RS256')
  const keyring = await keyringOf(active, next, publicOnly(retired))
  expect(keyring.active.kid).toBe(active.kid)
  for (const { kid, alg } of [active, next, retired]) {
    expect(keyring.has(kid)).toBe(true)
    expect(keyring.find(kid, alg)?.type).toBe('public')
  }
  expect(keyring.published.map(({ kid }) => kid)).toEqual([active.kid, next.kid, retired.kid])
  expect(keyring.algorithms, 'clients will never see a new signature of a retired key').toEqual([
    'ES256',
    'EdDSA',
  ])
})

describe('what upstream signed with an algorithm is signed with', () => {
  const made = { created_at: '2026-01-01T00:00:00Z' }
  const promoted = { ...made, promoted_at: '2026-01-02T00:00:00Z' }
  test.each<[string, string, () => Promise<JWK[]>, string]>([
    ['the same, if there is such a key', 'RS256', async () => [active, await gatewayKey('RS256')], 'RS256'],
    [
      'the same, where the key tool says that the key signs',
      'RS256',
      async () => [active, { ...(await gatewayKey('RS256')), ...promoted }],
      'RS256',
    ],
    ['that of access tokens, if there is none', 'RS256', async () => [active], 'ES256'],
    ['that of access tokens, where upstream’s is unknown', 'RS512', async () => [active, next], 'ES256'],
    [
      'that of access tokens, while such a key waits to be promoted',
      'RS256',
      async () => [active, { ...(await gatewayKey('RS256')), ...made }],
      'ES256',
    ],
    [
      'that of access tokens, once such a key is retired',
      'RS256',
      async () => [active, publicOnly(await gatewayKey('RS256'))],
      'ES256',
    ],
  ])('%s', async (_, alg, keys, expected) => {
    const keyring = await keyringOf(...(await keys()))
    expect(keyring.signerLike(alg).alg).toBe(expected)
    expect(keyring.active.kid, 'access tokens keep theirs').toBe(active.kid)
  })

  test('the first key of an algorithm signs, and the second waits', async () => {
    const second = await makeSigningKey('EdDSA')
    const keyring = await keyringOf(active, next, second)
    expect(keyring.signerLike('EdDSA').kid).toBe(next.kid)
    expect(keyring.nextAlgorithms).toEqual(['EdDSA'])
  })
})

test('one key serves one algorithm, and nothing is found by chance', async () => {
  const keyring = await keyringOf(active)
  expect(keyring.find(active.kid, 'ES384')).toBeUndefined()
  expect(keyring.find(undefined, 'ES256')).toBeUndefined()
  expect(keyring.find('other', 'ES256')).toBeUndefined()
  expect(keyring.has(undefined)).toBe(false)
})

test('what is published is the public half, member by member', async () => {
  const rsa = await gatewayKey('RS256')
  const odd = { ...active, secret: 'CANARY', x5c: ['CANARY'], key_ops: ['sign'] }
  const { published } = await keyringOf(odd, next, rsa)
  const ec = { kty: 'EC', crv: 'P-256', x: active.x, y: active.y, kid: active.kid, alg: 'ES256', use: 'sig' }
  const okp = { kty: 'OKP', crv: 'Ed25519', x: next.x, kid: next.kid, alg: 'EdDSA', use: 'sig' }
  const { n, e, kid } = rsa
  expect(published).toEqual([ec, okp, { kty: 'RSA', n, e, kid, alg: 'RS256', use: 'sig' }])
})

describe('a set with one bad key is refused whole, and the key is named by its place', () => {
  const bad = (members: object) => [active, { ...next, ...members }]
  test.each<[string, () => unknown, string]>([
    ['not JSON', () => 'CANARY', 'must be a JWK Set'],
    ['a single key', () => JSON.stringify(active), 'must be a JWK Set'],
    ['no key', () => [], 'must be a JWK Set'],
    ['nine keys', () => new Array(9).fill(active), 'must be a JWK Set'],
    ['a key without kty', () => [{ alg: 'ES256' }], 'must be a JWK Set'],
    ['a symmetric key', () => [active, { kty: 'oct', k: 'CANARY', alg: 'HS256' }], 'key 2: alg must be'],
    ['no alg', () => bad({ alg: undefined }), 'key 2: alg must be'],
    ['an alg that does not fit', () => bad({ alg: 'RS256' }), 'key 2: alg must be'],
    ['an alg that is not for minting', () => bad({ alg: 'ES512' }), 'key 2: alg must be'],
    ['a key for encryption', () => bad({ use: 'enc' }), 'key 2: alg must be'],
    ['no kid', () => bad({ kid: undefined }), 'key 2: kid must be the RFC 7638 thumbprint'],
    ['a kid of its own', () => bad({ kid: 'key-1' }), 'key 2: kid must be the RFC 7638 thumbprint'],
    ['the same key twice', () => [active, active], 'key 2: is in the set twice'],
    ['a point that is not on the curve', () => [{ ...active, x: active.y }], 'key 1: '],
    ['an incomplete key', () => [{ ...active, y: undefined }], 'key 1: cannot be imported'],
    [
      'a first key without its private half',
      () => [publicOnly(active), next],
      'key 1: signs, and so needs its private half',
    ],
  ])('%s', async (_, keys, problem) => {
    const problems = await problemsOf(keys())
    expect(problems.length).toBeGreaterThan(0)
    expect(problems[0]).toContain(`SIGNING_KEYS: ${problem}`)
  })

  test('two halves that are not of one key', async () => {
    for (const alg of ['ES256', 'EdDSA']) {
      const [one, other] = [await makeSigningKey(alg), await makeSigningKey(alg)]
      expect(await problemsOf([{ ...one, d: other.d }]), alg).toEqual([
        expect.stringMatching(/key 1: cannot be/),
      ])
    }
  })

  test('an RSA key that is too short to sign with', async () => {
    const { privateKey } = (await crypto.subtle.generateKey(
      {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      },
      true,
      ['sign', 'verify'],
    )) as CryptoKeyPair
    const { calculateJwkThumbprint } = await import('jose')
    const jwk = await exportJWK(privateKey)
    const problems = await problemsOf([{ ...jwk, alg: 'RS256', kid: await calculateJwkThumbprint(jwk) }])
    expect(problems).toEqual([expect.stringMatching(/key 1: cannot be/)])
  })

  test('every problem is named at once', async () => {
    expect(
      await problemsOf([publicOnly(active), { ...next, kid: 'x' }, { kty: 'oct', k: 'x' }]),
    ).toHaveLength(3)
  })
})

test('no problem quotes a key', async () => {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(privateKey)
  const problems = await problemsOf([
    { ...jwk, kid: 'CANARY', alg: 'ES256', d: 'CANARY', x: 'CANARY' },
    { ...jwk, alg: 'CANARY' },
  ])
  expect(problems.length).toBeGreaterThan(1)
  for (const value of ['CANARY', jwk.d, jwk.x, jwk.y]) expect(problems.join()).not.toContain(value)
})
