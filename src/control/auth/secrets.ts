/**
 * API keys: their form, generation and check. Pure but for WebCrypto's randomness.
 *
 * `remint_{id}_{secret}`: the id finds the row; only the SHA-256 of the secret's 256 random bits is stored. A slow hash would
 * add nothing, because the secret cannot be guessed.
 */
const FORM = /^remint_([a-z0-9]{16})_([\w-]{43})$/

export interface PresentedKey {
  readonly id: string
  readonly secret: string
}

export const looksLikeApiKey = (bearer: string): boolean => bearer.startsWith('remint_')

export function parseApiKey(bearer: string): PresentedKey | undefined {
  const [, id, secret] = FORM.exec(bearer) ?? []
  return id === undefined || secret === undefined ? undefined : { id, secret }
}

export function makeApiKey(): PresentedKey {
  const id = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0'))
  const secret = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))
  return { id: id.join(''), secret: secret.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '') }
}

export const apiKeyText = ({ id, secret }: PresentedKey): string => `remint_${id}_${secret}`

/** Compares two hex digests of the same length in time that does not depend on where they differ. */
export function sameDigest(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}
