/** Which of the published keys count: the marked ones, each imported by itself. */
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { importKeySet } from '../../src/guard/key_set.ts'

const own: Record<string, JWK & { remint?: unknown }> = {}
beforeAll(async () => {
  for (const alg of ['ES256', 'RS256', 'EdDSA']) {
    const { publicKey } = await generateKeyPair(alg, { extractable: true })
    own[alg] = { ...(await exportJWK(publicKey)), kid: alg, alg, use: 'sig', remint: 'production' }
  }
})

async function usable(...keys: unknown[]): Promise<string[]> {
  const set = await importKeySet({ keys })
  if (!set.ok) throw new Error(set.reason)
  return [...set.value.keys].flatMap(([kid, key]) => (key ? [kid] : []))
}

test('keys of all three algorithms', async () => {
  expect(await usable(own.ES256, own.RS256, own.EdDSA)).toEqual(['ES256', 'RS256', 'EdDSA'])
})

test('Ed25519 is another name of EdDSA', async () => {
  expect(await usable({ ...own.EdDSA, alg: 'Ed25519' })).toEqual(['EdDSA'])
})

/** Each stood for the whole set once: no token verified, and no new key was ever learned. */
describe.each<[string, () => unknown]>([
  ['null', () => null],
  ['a string', () => 'key'],
  ['a list', () => [own.ES256]],
  ['an empty object', () => ({})],
  ['RSA without a modulus', () => ({ kty: 'RSA', alg: 'RS256', kid: 'x', e: 'AQAB', remint: 'production' })],
  ['RSA with a bad modulus', () => ({ ...own.RS256, kid: 'x', n: '!' })],
  ['EC without y', () => ({ ...own.ES256, kid: 'x', y: undefined })],
  ['EC that is not on the curve', () => ({ ...own.ES256, kid: 'x', y: own.ES256?.x })],
  ['another curve', () => ({ ...own.ES256, kid: 'x', crv: 'P-384' })],
  ['Ed448 as EdDSA', () => ({ ...own.EdDSA, kid: 'x', crv: 'Ed448' })],
  ['a type that nobody knows', () => ({ kty: 'PQ', alg: 'ES256', kid: 'x', remint: 'production' })],
  ['a symmetric key', () => ({ kty: 'oct', k: 'AAAA', alg: 'ES256', kid: 'x', remint: 'production' })],
  ['HS256', () => ({ kty: 'oct', k: 'AAAA', alg: 'HS256', kid: 'x', remint: 'production' })],
  ['no alg', () => ({ ...own.ES256, kid: 'x', alg: undefined })],
  ['alg of another type', () => ({ ...own.ES256, kid: 'x', alg: 'RS256' })],
  ['alg that is no string', () => ({ ...own.ES256, kid: 'x', alg: ['ES256'] })],
  ['a key for encryption', () => ({ ...own.ES256, kid: 'x', use: 'enc' })],
  ['no kid', () => ({ ...own.ES256, kid: undefined })],
  ['a kid that is no string', () => ({ ...own.ES256, kid: 7 })],
  ['a key of upstream’s', () => ({ ...own.ES256, kid: 'x', remint: undefined })],
  ['a mark that is no name', () => ({ ...own.ES256, kid: 'x', remint: true })],
])('beside %s', (_, other) => {
  test.each(['before', 'after'])('the good key counts that stands %s it', async (place) => {
    const keys = place === 'before' ? [own.ES256, other()] : [other(), own.ES256]
    expect(await usable(...keys)).toEqual(['ES256'])
  })
})

test('an RSA key that is too short to verify with', async () => {
  const generated = await crypto.subtle.generateKey(
    {
      name: 'RSASSA-PKCS1-v1_5',
      modulusLength: 1024,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: 'SHA-256',
    },
    true,
    ['sign', 'verify'],
  )
  const { publicKey } = generated as CryptoKeyPair
  const short = { ...(await exportJWK(publicKey)), kid: 'x', alg: 'RS256', remint: 'production' }
  expect(await usable(short, own.ES256)).toEqual(['ES256'])
})

test('a key that is in the set twice is one key, whichever of the two can be used', async () => {
  expect(await usable(own.ES256, own.ES256)).toEqual(['ES256'])
  expect(await usable({ ...own.ES256, y: undefined }, own.ES256)).toEqual(['ES256'])
  expect(await usable(own.ES256, { ...own.ES256, y: undefined })).toEqual(['ES256'])
})

test('an unmarked key under the kid of a marked one changes nothing', async () => {
  const set = await importKeySet({ keys: [{ ...own.EdDSA, kid: 'ES256', remint: undefined }, own.ES256] })
  expect(set.ok && set.value.keys.get('ES256')?.alg).toBe('ES256')
})

test('members that verification has no use for, a private half among them, are left out', async () => {
  const set = await importKeySet({ keys: [{ ...own.ES256, d: 'AAAA', key_ops: ['sign'], ext: false }] })
  expect(set.ok && set.value.keys.get('ES256')?.key.usages).toEqual(['verify'])
})

test.each<[string, () => unknown, string]>([
  ['nothing', () => undefined, 'keys_unreachable'],
  ['null', () => null, 'keys_unreachable'],
  ['a page', () => '<html>', 'keys_unreachable'],
  ['no list of keys', () => ({ keys: {} }), 'keys_unreachable'],
  ['an empty list', () => ({ keys: [] }), 'keys_unmarked'],
  ['unmarked keys only', () => ({ keys: [{ ...own.ES256, remint: undefined }] }), 'keys_unmarked'],
  ['marked keys that cannot be used', () => ({ keys: [{ ...own.ES256, y: undefined }] }), 'keys_unusable'],
])('%s is no key set: %s', async (_, make, reason) => {
  expect(await importKeySet(make())).toEqual({ ok: false, reason })
})

test('the environments are those of all marked keys', async () => {
  const keys = [own.ES256, { ...own.RS256, remint: ['staging', 'production'] }, { ...own.EdDSA, remint: 'x' }]
  const set = await importKeySet({ keys })
  expect(set.ok && [...set.value.environments]).toEqual(['production', 'staging', 'x'])
  expect(set.ok && set.value.keys.get('RS256')?.environments).toEqual(['staging', 'production'])
})
