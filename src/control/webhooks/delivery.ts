/**
 * What the verification of every source has in common: bounds before work, the window of time, the parsed body. Pure.
 *
 * A header must have the one form that its sender makes. What is merely tolerated by somebody's parser (a second
 * timestamp, spaces, another case) is refused, so that two readers never see two different things.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { MAX_BODY_BYTES, TOLERANCE_SECONDS, type VerifyReason } from '../model/source.ts'

/** @param header - as `Headers` gives it: several ones of the same name are joined, and then have no right form */
export function signatureHeader(
  header: string | null,
  form: RegExp,
): Result<RegExpExecArray, 'signature_missing' | 'signature_malformed'> {
  if (header === null || header === '') return err('signature_missing')
  const match = form.exec(header)
  return match ? ok(match) : err('signature_malformed')
}

export const tooLarge = (body: string): boolean => new TextEncoder().encode(body).byteLength > MAX_BODY_BYTES

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

/** Deeper than any event; what reads it further on calls itself for each level. */
const MAX_DEPTH = 64

export function parseJson(body: string): Result<unknown, 'body_not_json'> {
  if (depthOf(body) > MAX_DEPTH) return err('body_not_json')
  try {
    return ok(JSON.parse(body))
  } catch {
    return err('body_not_json')
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

/** Compares in time that does not depend on where the two differ. Their lengths are no secret. */
export function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}
