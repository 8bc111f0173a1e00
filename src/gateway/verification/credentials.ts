/**
 * Services that may ask about anyone: known by the SHA-256 of a secret, compared in constant time.
 *
 * A secret is 32 random bytes, so one round of SHA-256 is enough. The time of the response reveals nothing about a wrong one:
 * every digest of every caller is compared.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { Verifier } from '../config.ts'

export type CredentialsReason = 'caller_missing' | 'caller_unknown' | 'caller_repeated'

export interface Credentials {
  /** The caller's name; without one, the secret alone identifies the caller. */
  readonly name: string | undefined
  readonly secret: string
  /** The other reading of the secret: HTTP Basic has two encodings. */
  readonly otherSecret?: string
}

export interface BasicCredentials extends Credentials {
  readonly name: string
  readonly otherName: string
}

/** @returns the caller's name */
export async function authenticate(
  { name, secret, otherSecret = secret }: Credentials,
  callers: readonly Verifier[],
): Promise<Result<string, 'caller_unknown'>> {
  const digests = [await sha256(secret), await sha256(otherSecret)]
  let found: string | undefined
  for (const caller of callers) {
    for (const known of caller.digests) {
      const [isSame, isOther] = digests.map((digest) => isEqual(known, digest))
      if ((isSame || isOther) && (name === undefined || name === caller.name)) found = caller.name
    }
  }
  return found === undefined ? err('caller_unknown') : ok(found)
}

const sha256 = async (text: string): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))

/** Compares two digests of the same length without stopping at the first difference. */
function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] ?? 0)
  return difference === 0
}

/**
 * The credentials of HTTP Basic, if there are any. OAuth form-encodes them (RFC 6749 section 2.3.1), other protocols and
 * `curl -u` do not (RFC 7617), and base64 secrets often contain a `+`: both readings are returned.
 */
export function basicCredentials(authorization: string | null): BasicCredentials | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  try {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))
    const [name = '', ...rest] = new TextDecoder().decode(bytes).split(':')
    if (rest.length === 0) return undefined
    const secret = rest.join(':')
    return { name: formDecode(name), secret: formDecode(secret), otherName: name, otherSecret: secret }
  } catch {
    return undefined
  }
}

/** A text that is not valid form-encoding counts as not encoded. */
function formDecode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}
