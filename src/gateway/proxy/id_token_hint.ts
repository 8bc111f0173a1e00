/**
 * An `id_token_hint` that the gateway signed means nothing to upstream, which did not sign it.
 *
 * On its way to the authorization or the logout endpoint it is verified, removed, and replaced by the `client_id` that
 * it was issued to; a hint that is not ours passes through.
 */
import { audiences, documentId, stringClaim } from '../../core/claims.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { MAX_BODY_BYTES, readBounded } from '../http/body.ts'
import type { Keyring } from '../signing_keys/keyring.ts'
import { verifyOwnToken } from '../signing_keys/own_token.ts'

export interface HintlessRequest {
  readonly target: URL
  readonly body: string | ReadableStream | null
  /** The session that the hint was issued in, where it says. */
  readonly sid: string | undefined
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
    if (replaced.value.isReplaced) changed.search = parameters.toString()
    return ok({ target: changed, body: request.body, sid: replaced.value.sid })
  }
  const body = await readBounded(request, MAX_BODY_BYTES)
  if (!body.ok) return body
  const parameters = new URLSearchParams(body.value)
  const replaced = await replaceIdTokenHint(parameters, config, keyring)
  if (!replaced.ok) return replaced
  const { isReplaced, sid } = replaced.value
  return ok({ target, body: isReplaced ? parameters.toString() : body.value, sid })
}

/**
 * @param parameters - of a request to the authorization or the logout endpoint; changed in place
 * @returns whether they were changed, and the session of the hint. An expired hint is as good as any (RP-Initiated Logout 1.0 section 2).
 */
async function replaceIdTokenHint(
  parameters: URLSearchParams,
  config: Config,
  keyring: Keyring,
): Promise<Result<{ isReplaced: boolean; sid: string | undefined }, 'hint_of_another_client'>> {
  const hint = parameters.get('id_token_hint')
  const claims = hint === null ? undefined : await verifyOwnToken(hint, 'jwt', config, keyring)
  if (!claims) return ok({ isReplaced: false, sid: undefined })
  const issuedTo = stringClaim(claims, 'azp') ?? audiences(claims)[0]
  const clientId = parameters.get('client_id')
  if (issuedTo === undefined || (clientId !== null && clientId !== issuedTo))
    return err('hint_of_another_client')
  parameters.delete('id_token_hint')
  parameters.set('client_id', issuedTo)
  return ok({ isReplaced: true, sid: documentId(claims.sid) })
}
