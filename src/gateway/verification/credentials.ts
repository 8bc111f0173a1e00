/**
 * Services that may ask about anyone: known by the SHA-256 of a secret, compared in constant time.
 *
 * A secret is 32 random bytes, so that one round of SHA-256 is enough. Nothing of a wrong one, nor how wrong it was, can be
 * learned from how long the answer takes: every digest of every caller is looked at.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { Verifier } from '../config.ts'

export type CredentialsReason = 'caller_missing' | 'caller_unknown' | 'caller_repeated'

export interface Credentials {
  /** The caller's name; where it is not given, the secret alone must tell. */
  readonly name: string | undefined
  readonly secret: string
}

/** @returns the caller's name */
export async function authenticate(
  { name, secret }: Credentials,
  callers: readonly Verifier[],
): Promise<Result<string, 'caller_unknown'>> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret)))
  let found: string | undefined
  for (const caller of callers) {
    for (const known of caller.digests) {
      const isSame = isEqual(known, digest)
      if (isSame && (name === undefined || name === caller.name)) found = caller.name
    }
  }
  return found === undefined ? err('caller_unknown') : ok(found)
}

/** Compares two digests of the same length without stopping at the first difference. */
function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] ?? 0)
  return difference === 0
}

/** The credentials of HTTP Basic, form-encoded as RFC 6749 section 2.3.1 says; nothing where there are none. */
export function basicCredentials(authorization: string | null): Credentials | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  try {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))
    const [name = '', ...rest] = new TextDecoder().decode(bytes).split(':')
    if (rest.length === 0) return undefined
    return { name: formDecode(name), secret: formDecode(rest.join(':')) }
  } catch {
    return undefined
  }
}

const formDecode = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '))
