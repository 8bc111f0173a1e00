/**
 * An `id_token_hint` that the gateway signed means nothing to upstream, which did not sign it.
 *
 * On its way to an endpoint that takes one it is verified, removed, and replaced by parameters with the same meaning for
 * upstream: the `client_id` that it was issued to, and the user. Other hints pass through.
 */
import { audiences, type Claims, documentId, stringClaim } from '../../core/claims.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type Config, preservesIssuer } from '../config.ts'
import { readRequest } from '../http/body.ts'
import type { Keyring } from '../signing_keys/keyring.ts'
import { verifyOwnToken, verifyUpstreamHint } from '../signing_keys/own_token.ts'
import type { UpstreamKeys } from '../signing_keys/upstream_keys.ts'

export interface HintlessRequest {
  readonly target: URL
  readonly body: string | ReadableStream | null
  /** The body's parameters, if it is a form. */
  readonly parameters: URLSearchParams | undefined
  /** The session that the hint names, if it names one. */
  readonly sid: string | undefined
}

/** What hints are verified with. */
export interface HintKeys {
  readonly config: Config
  readonly keyring: Keyring
  readonly keys: UpstreamKeys
}

export type HintReason = 'hint_of_another_client' | 'body_too_large' | 'body_unreadable'

/**
 * The request for upstream that replaces one with a hint.
 *
 * @param takesClaims - whether the parameter `claims` can request a certain user from upstream
 */
export async function withoutOwnHint(
  request: Request,
  target: URL,
  keys: HintKeys,
  takesClaims = false,
): Promise<Result<HintlessRequest, HintReason>> {
  const isForm = request.headers
    .get('content-type')
    ?.toLowerCase()
    .startsWith('application/x-www-form-urlencoded')
  if (request.method !== 'POST' || !isForm) {
    const parameters = new URLSearchParams(target.search)
    const replaced = await replaceHint(parameters, keys, takesClaims)
    if (!replaced.ok) return replaced
    const changed = new URL(target)
    if (replaced.value.isReplaced) changed.search = parameters.toString()
    return ok({ target: changed, body: request.body, parameters: undefined, sid: replaced.value.sid })
  }
  const body = await readRequest(request)
  if (!body.ok) return body
  const parameters = new URLSearchParams(body.value)
  const replaced = await replaceHint(parameters, keys, takesClaims)
  if (!replaced.ok) return replaced
  const { isReplaced, sid } = replaced.value
  return ok({ target, body: isReplaced ? parameters.toString() : body.value, parameters, sid })
}

/**
 * @param parameters - changed in place
 * @returns whether they were changed, and the session of the hint. An expired hint is valid too (RP-Initiated Logout 1.0 section 2).
 */
async function replaceHint(
  parameters: URLSearchParams,
  { config, keyring, keys }: HintKeys,
  takesClaims: boolean,
): Promise<Result<{ isReplaced: boolean; sid: string | undefined }, 'hint_of_another_client'>> {
  const hint = parameters.get('id_token_hint')
  if (hint === null) return ok({ isReplaced: false, sid: undefined })
  const clientId = parameters.get('client_id')
  const claims = await verifyOwnToken(hint, 'jwt', config, keyring)
  if (!claims) {
    // With `preserve`, an ID token that was right as it was is still upstream's.
    const theirs = preservesIssuer(config) ? await verifyUpstreamHint(hint, config, keys) : undefined
    const isForClient = theirs !== undefined && clientOf(theirs, clientId) !== undefined
    return ok({ isReplaced: false, sid: isForClient ? documentId(theirs.sid) : undefined })
  }
  const issuedTo = clientOf(claims, clientId)
  if (issuedTo === undefined) return err('hint_of_another_client')
  parameters.delete('id_token_hint')
  parameters.set('client_id', issuedTo)
  nameUser(parameters, claims, takesClaims)
  return ok({ isReplaced: true, sid: documentId(claims.sid) })
}

/** The client that a hint was issued to: the one that names itself must be among those in it. */
function clientOf(hint: Claims, clientId: string | null): string | undefined {
  const azp = stringClaim(hint, 'azp')
  const clients = azp === undefined ? audiences(hint) : [azp]
  return clientId === null || clients.includes(clientId) ? (clientId ?? clients[0]) : undefined
}

/** Claims by which people log in, the best first. */
const LOGIN_NAMES = ['email', 'preferred_username', 'upn', 'sub']

/**
 * The user of the hint, for an authorization request: without it `prompt=none` would succeed for any user who is logged in
 * (OpenID Connect Core section 3.1.2.1). `login_hint` is only a hint; a `sub` that `claims` requests is binding (section
 * 5.5.1).
 */
function nameUser(parameters: URLSearchParams, hint: Claims, takesClaims: boolean): void {
  if (!parameters.has('response_type') && !parameters.has('scope')) return
  const name = LOGIN_NAMES.map((claim) => stringClaim(hint, claim)).find((value) => value !== undefined)
  if (name !== undefined && !parameters.has('login_hint') && !parameters.has('login_hint_token'))
    parameters.set('login_hint', name)
  const sub = stringClaim(hint, 'sub')
  if (takesClaims && sub !== undefined) parameters.set('claims', claimsFor(parameters.get('claims'), sub))
}

function claimsFor(given: string | null, sub: string): string {
  const asked = objectOf(given)
  return JSON.stringify({ ...asked, id_token: { ...objectOf(asked.id_token), sub: { value: sub } } })
}

function objectOf(value: unknown): Claims {
  if (typeof value === 'string') {
    try {
      return objectOf(JSON.parse(value))
    } catch {
      return {}
    }
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Claims) : {}
}
