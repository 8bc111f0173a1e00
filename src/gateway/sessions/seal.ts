/**
 * Upstream's answer as it is stored: AES-GCM under a key that is derived from the presented refresh token.
 *
 * A reader of the store has neither the token nor the salt, which is the object's name, made with the pepper. A sealed answer
 * that does not open counts as missing.
 */
import { concat } from '../http/body.ts'
import type { RawAnswer } from './call.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const PURPOSE = encoder.encode('remint refresh answer, format 1')
const IV_BYTES = 12
const LENGTH_BYTES = 4

/** The key to a stored answer (RFC 5869). @param salt - not secret: the object's name */
export async function sealingKey(refreshToken: string, salt: string): Promise<CryptoKey> {
  const material = await crypto.subtle.importKey('raw', encoder.encode(refreshToken), 'HKDF', false, [
    'deriveKey',
  ])
  return crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: encoder.encode(salt), info: PURPOSE },
    material,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

/** The initialization vector, and the encrypted answer. */
export async function seal(answer: RawAnswer, key: CryptoKey): Promise<Uint8Array> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, encode(answer))
  return concat([iv, new Uint8Array(sealed)])
}

export async function unseal(sealed: Uint8Array, key: CryptoKey): Promise<RawAnswer | undefined> {
  try {
    const iv = sealed.subarray(0, IV_BYTES)
    const opened = await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, key, sealed.subarray(IV_BYTES))
    return decode(new Uint8Array(opened))
  } catch {
    return undefined
  }
}

/** The length of the head, the head as JSON, the unchanged body. */
function encode({ body, headers, ...head }: RawAnswer): Uint8Array {
  const json = encoder.encode(JSON.stringify({ ...head, headers: [...headers] }))
  const length = new Uint8Array(LENGTH_BYTES)
  new DataView(length.buffer).setUint32(0, json.byteLength)
  return concat([length, json, body])
}

function decode(bytes: Uint8Array): RawAnswer {
  const bodyStart = LENGTH_BYTES + new DataView(bytes.buffer).getUint32(0)
  const head = JSON.parse(decoder.decode(bytes.subarray(LENGTH_BYTES, bodyStart)))
  return { ...head, headers: new Headers(head.headers), body: bytes.slice(bodyStart) }
}
