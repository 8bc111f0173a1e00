/** Sessions that an identity provider has ended: an entry in the gateway's denylist, for live verification. */
import { revocationDocument, revokedKey } from '../../../core/documents.ts'

/** The longest lifetime of a token that a gateway can be configured with, and what a refresh that is under way may take. */
const DENIED_SECONDS = 86_400 + 3_600

interface Denylist {
  put(key: string, value: string, options: { expirationTtl: number }): Promise<void>
}

/** @param now - epoch milliseconds */
export function denySession(kv: Denylist, environment: string, sid: string, now: number): Promise<void> {
  const until = Math.ceil(now / 1000) + DENIED_SECONDS
  return kv.put(revokedKey(environment, 'sid', sid), revocationDocument(until), {
    expirationTtl: DENIED_SECONDS,
  })
}
