/** Canonical JSON (RFC 8785) and SHA-256 over it: what every digest here consists of. Pure but for WebCrypto. */
import canonicalize from 'canonicalize'

/** @see RFC 8785 */
export function canonical(value: unknown): string {
  const text = canonicalize(value)
  if (text === undefined) throw new Error('not a JSON value')
  return text
}

const encoder = new TextEncoder()

export async function sha256Hex(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(text)))
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
