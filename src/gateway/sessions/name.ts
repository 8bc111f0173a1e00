/**
 * The name of a refresh: equal for two requests only if upstream would give both the same answer. Pure but for the HMAC.
 *
 * Everything that the client sent is in it unless it is known not to matter: a parameter or a credential that nobody here
 * has heard of keeps two requests apart instead of letting one have the other's answer. That costs a client which adds
 * noise to its credentials the coalescing, never its safety. Without the pepper a name cannot be made or checked, so
 * that a list of objects says nothing about refresh tokens.
 */
import { base64url } from 'jose'

export interface NamedRequest {
  /** The `iss` of upstream's tokens. */
  readonly issuer: string
  /** Where the request goes, query included. */
  readonly url: string
  /** Every parameter of the body: refresh token, client, secret or assertion, scope, resource, organization, others. */
  readonly parameters: readonly (readonly [name: string, value: unknown])[]
  readonly headers: Headers
  /** The thumbprint of the key whose possession a DPoP proof has shown. */
  readonly proofThumbprint: string | undefined
}

/**
 * Headers by which a client may authenticate: `Authorization`, cookies, client attestations (whose names say so), and
 * what API gateways take, such as `X-Api-Key`. Those that upstream is not sent do not count.
 */
const CREDENTIAL = /auth|attest|cert|cookie|credential|key|secret|signature|token/
/** Named like credentials without being any: the one is new for every attempt, the other says what a page may do. */
const NO_CREDENTIAL = new Set(['idempotency-key', 'x-csrf-token', 'x-xsrf-token'])

const encoder = new TextEncoder()

export const importPepper = (pepper: string): Promise<CryptoKey> =>
  crypto.subtle.importKey('raw', encoder.encode(pepper), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])

export async function nameOf(request: NamedRequest, pepper: CryptoKey): Promise<string> {
  const { issuer, url, proofThumbprint = null } = request
  const parameters = request.parameters.map(([name, value]) => JSON.stringify([name, value])).sort()
  const credentials = [...request.headers]
    .filter(([name]) => CREDENTIAL.test(name) && !NO_CREDENTIAL.has(name))
    .map((field) => JSON.stringify(field))
    .sort()
  const text = JSON.stringify([
    'remint refresh, format 1',
    issuer,
    url,
    parameters,
    credentials,
    proofThumbprint,
  ])
  const mac = await crypto.subtle.sign('HMAC', pepper, encoder.encode(text))
  return base64url.encode(new Uint8Array(mac))
}
