/**
 * An `id_token_hint` that the gateway signed means nothing to upstream, which did not sign it.
 *
 * On its way to the authorization or the logout endpoint it is verified, removed, and replaced by the `client_id` that
 * it was issued to; a hint that is not ours passes through.
 */
import { compactVerify } from 'jose'
import { audiences, type Claims, stringClaim } from '../../core/claims.ts'
import { readJwsHeader } from '../../core/jws.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { MAX_BODY_BYTES, readBounded } from '../http.ts'
import type { Keyring } from '../keys/keyring.ts'

export interface HintlessRequest {
  readonly target: URL
  readonly body: string | ReadableStream | null
}

export type HintReason = 'hint_of_another_client' | 'body_too_large'

/** What upstream is sent in place of a request to its authorization or logout endpoint. */
export async function withoutOwnHint(
  request: Request,
  target: URL,
  config: Config,
  keyring: Keyring,
): Promise<Result<HintlessRequest, HintReason>> {
  const isForm = request.headers
    .get('content-type')
    ?.toLowerCase()
    .startsWith('application/x-www-form-urlencoded')
  if (request.method !== 'POST' || !isForm) {
    const parameters = new URLSearchParams(target.search)
    const replaced = await replaceIdTokenHint(parameters, config, keyring)
    if (!replaced.ok) return replaced
    const changed = new URL(target)
    if (replaced.value) changed.search = parameters.toString()
    return ok({ target: changed, body: request.body })
  }
  const body = await readBounded(request, MAX_BODY_BYTES)
  if (!body.ok) return body
  const parameters = new URLSearchParams(body.value)
  const replaced = await replaceIdTokenHint(parameters, config, keyring)
  return replaced.ok ? ok({ target, body: replaced.value ? parameters.toString() : body.value }) : replaced
}

/**
 * @param parameters - of a request to the authorization or the logout endpoint; changed in place
 * @returns whether they were changed. An expired hint is as good as any (RP-Initiated Logout 1.0 section 2).
 */
async function replaceIdTokenHint(
  parameters: URLSearchParams,
  config: Config,
  keyring: Keyring,
): Promise<Result<boolean, 'hint_of_another_client'>> {
  const hint = parameters.get('id_token_hint')
  const claims = hint === null ? undefined : await verifyOwnIdToken(hint, config, keyring)
  if (!claims) return ok(false)
  const issuedTo = stringClaim(claims, 'azp') ?? audiences(claims)[0]
  const clientId = parameters.get('client_id')
  if (issuedTo === undefined || (clientId !== null && clientId !== issuedTo))
    return err('hint_of_another_client')
  parameters.delete('id_token_hint')
  parameters.set('client_id', issuedTo)
  return ok(true)
}

async function verifyOwnIdToken(
  token: string,
  config: Config,
  keyring: Keyring,
): Promise<Claims | undefined> {
  const header = readJwsHeader(token)
  if (!header.ok || header.value.typ !== 'jwt') return undefined
  const key = keyring.find(header.value.kid, header.value.alg)
  if (!key) return undefined
  try {
    const claims: Claims = JSON.parse(new TextDecoder().decode((await compactVerify(token, key)).payload))
    return claims.iss === config.tokenIssuer ? claims : undefined
  } catch {
    return undefined
  }
}
