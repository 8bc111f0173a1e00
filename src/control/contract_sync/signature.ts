/**
 * What the verification of every source has in common: limits before work, a signature over the received bytes, the window of
 * time, and the parsed body. Pure but for WebCrypto.
 *
 * A header must have exactly the form that its sender makes. Variants that some parsers tolerate (a second timestamp, spaces,
 * another case) are refused, so that two readers never see different things.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { MAX_BODY_BYTES, TOLERANCE_SECONDS, type VerifyReason } from './sources/source.ts'

const encoder = new TextEncoder()

/** @param header - from `Headers`, which joins several of the same name, so that they have the wrong form */
export function signatureHeader(
  header: string | null,
  form: RegExp,
): Result<RegExpExecArray, 'signature_missing' | 'signature_malformed'> {
  if (header === null || header === '') return err('signature_missing')
  const match = form.exec(header)
  return match ? ok(match) : err('signature_malformed')
}

export const tooLarge = (body: Uint8Array): boolean => body.byteLength > MAX_BODY_BYTES

export interface Signed {
  /** The keys of the endpoint: several while one is rotated. */
  readonly keys: readonly Uint8Array[]
  /** The signed prefix of the body: `1795345672.` */
  readonly prefix: string
  readonly body: Uint8Array
  readonly signatures: readonly Uint8Array[]
}

/** Whether one of the signatures is HMAC-SHA256 by one of the keys. WebCrypto compares in constant time. */
export async function isSigned({ keys, prefix, body, signatures }: Signed): Promise<boolean> {
  const start = encoder.encode(prefix)
  const signed = new Uint8Array(start.byteLength + body.byteLength)
  signed.set(start)
  signed.set(body, start.byteLength)
  let matches = 0
  for (const bytes of keys) {
    const key = await crypto.subtle.importKey('raw', bytes, HMAC, false, ['verify'])
    for (const signature of signatures) {
      if (await crypto.subtle.verify('HMAC', key, signature, signed)) matches++
    }
  }
  return matches > 0
}

const HMAC = { name: 'HMAC', hash: 'SHA-256' }

export const textBytes = (secret: string): Uint8Array => encoder.encode(secret)
export const hexBytes = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))

/** `undefined`: it is not base64. */
export function base64Bytes(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  } catch {
    return undefined
  }
}

/**
 * @param timestamp - epoch milliseconds, as it was signed
 * @param now - epoch milliseconds
 */
export function untimely(
  timestamp: number,
  now: number,
): Extract<VerifyReason, 'timestamp_stale' | 'timestamp_future'> | undefined {
  if (timestamp < now - TOLERANCE_SECONDS * 1000) return 'timestamp_stale'
  return timestamp > now + TOLERANCE_SECONDS * 1000 ? 'timestamp_future' : undefined
}

/** Deeper than any event. Later readers are recursive. */
const MAX_DEPTH = 64

/** The body as JSON; `undefined`: it is not JSON, or nested too deeply. It was signed, so it is stored anyway. */
export function readJson(body: Uint8Array | string): unknown {
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body)
  if (depthOf(text) > MAX_DEPTH) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** How deep its brackets go, outside of text. */
function depthOf(body: string): number {
  let depth = 0
  let deepest = 0
  for (const character of body.replace(/"(?:[^"\\]|\\.)*"/g, '')) {
    if (character === '{' || character === '[') deepest = Math.max(deepest, ++depth)
    else if (character === '}' || character === ']') depth--
  }
  return deepest
}
