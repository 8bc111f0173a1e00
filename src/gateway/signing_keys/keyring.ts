/**
 * The gateway's own keys: one of each algorithm signs, all verify and are published. Imports keys, does no other I/O.
 *
 * The order of the secret is the state: the first key signs access tokens, and the first private one of another algorithm
 * signs ID tokens for clients that expect it. The others wait (private) or are retired (public half only). A problem
 * names a key by its place and never quotes it.
 */
import { CompactSign, type CryptoKey, calculateJwkThumbprint, compactVerify, importJWK, type JWK } from 'jose'
import * as z from 'zod'
import { algorithmOf, publicHalf } from './algorithms.ts'

/** The algorithms that minted tokens may be signed with. */
export const SIGNING_ALGORITHMS = ['ES256', 'RS256', 'EdDSA']

export interface SigningKey {
  readonly kid: string
  readonly alg: string
  readonly key: CryptoKey
}

export interface Keyring {
  /** Signs access tokens. */
  readonly active: SigningKey
  /** The algorithms that keys sign with, that of the active one first. */
  readonly algorithms: readonly string[]
  /** Those of the keys that are published and wait to sign. */
  readonly nextAlgorithms: readonly string[]
  /** Public halves of all keys, active first. */
  readonly published: readonly JWK[]
  /** The key for what upstream signed with this algorithm: one of the same, or else the active one. */
  signerLike(alg: string): SigningKey
  /** The key that verifies a minted token. */
  find(kid: string | undefined, alg: string): CryptoKey | undefined
  has(kid: string | undefined): boolean
}

export type KeyringResult =
  | { readonly ok: true; readonly keyring: Keyring }
  | { readonly ok: false; readonly problems: readonly string[] }

const jwkSetSchema = z.object({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .min(1)
    .max(8),
})

/**
 * Parses and imports a private JWK Set (RFC 7517 section 5).
 *
 * @returns every problem at once; a key set with one bad key is refused whole, because a key that cannot be published
 *   breaks tokens that are already issued
 */
export async function loadKeyring(signingKeys: string): Promise<KeyringResult> {
  const set = parseJwkSet(signingKeys)
  if (!set) return { ok: false, problems: ['SIGNING_KEYS: must be a JWK Set of 1 to 8 keys: {"keys":[…]}'] }

  const problems: string[] = []
  const verifying = new Map<string, SigningKey>()
  const signing = new Map<string, SigningKey>()
  const nextAlgorithms = new Set<string>()
  let active: SigningKey | undefined
  for (const [index, jwk] of set.entries()) {
    const name = `SIGNING_KEYS: key ${index + 1}`
    const alg = algorithmOf(publicHalf(jwk), SIGNING_ALGORITHMS)
    if (alg === undefined || jwk.alg === undefined) {
      problems.push(`${name}: alg must be ES256, RS256 or EdDSA, and fit the key`)
      continue
    }
    try {
      const kid = await calculateJwkThumbprint(jwk)
      if (jwk.kid !== kid) problems.push(`${name}: kid must be the RFC 7638 thumbprint of the key`)
      if (verifying.has(kid)) problems.push(`${name}: is in the set twice`)
      const publicKey = await importKey(publicHalf(jwk), alg)
      verifying.set(kid, { kid, alg, key: publicKey })
      if (jwk.d !== undefined) {
        const key = await importKey(jwk, alg)
        await probe(key, publicKey, alg)
        if (index === 0) active = { kid, alg, key }
        if (index > 0 && (signing.has(alg) || isWaiting(jwk))) nextAlgorithms.add(alg)
        else signing.set(alg, { kid, alg, key })
      } else if (index === 0) {
        problems.push(`${name}: signs, and so needs its private half`)
      }
    } catch {
      problems.push(`${name}: cannot be imported, or is too short, or its two halves do not belong together`)
    }
  }
  if (problems.length > 0 || !active) return { ok: false, problems }

  const first = active
  return {
    ok: true,
    keyring: {
      active: first,
      algorithms: [...signing.keys()],
      nextAlgorithms: [...nextAlgorithms],
      published: set.map((jwk) => ({ ...publicHalf(jwk), use: 'sig' })),
      signerLike: (alg) => signing.get(alg) ?? first,
      find(kid, alg) {
        const found = kid === undefined ? undefined : verifying.get(kid)
        return found?.alg === alg ? found.key : undefined
      },
      has: (kid) => kid !== undefined && verifying.has(kid),
    },
  }
}

/** `npm run keys` records when it made a key and when it started signing. */
const isWaiting = ({ created_at, promoted_at }: JWK & Record<string, unknown>): boolean =>
  created_at !== undefined && promoted_at === undefined

function parseJwkSet(text: string): JWK[] | undefined {
  try {
    return jwkSetSchema.parse(JSON.parse(text)).keys as JWK[]
  } catch {
    return undefined
  }
}

async function importKey(jwk: JWK, alg: string): Promise<CryptoKey> {
  const { key_ops: _, ...key } = jwk
  return (await importJWK({ ...key, ext: false }, alg)) as CryptoKey
}

/** Throws now for a key that would otherwise fail only after a refresh token is spent. */
async function probe(privateKey: CryptoKey, publicKey: CryptoKey, alg: string): Promise<void> {
  const jws = await new CompactSign(new Uint8Array(1)).setProtectedHeader({ alg }).sign(privateKey)
  await compactVerify(jws, publicKey)
}
