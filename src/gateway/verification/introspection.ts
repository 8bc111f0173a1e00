/**
 * `POST /introspect`: token introspection (RFC 7662), for resource servers that cannot verify a JWT or must not trust one.
 *
 * It always uses the current state: a revoked session or a superseded token is inactive, and a flag that is off by now is not
 * listed. A token bound to a key is active and carries its `cnf`: it is not presented here, and the caller must check the
 * proof.
 */
import { type Claims, stringClaim } from '../../core/claims.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Verifier } from '../config.ts'
import { NO_STORE } from '../http/answers.ts'
import { type FormReason, readForm } from '../http/body.ts'
import { authenticate, basicCredentials, type CredentialsReason } from './credentials.ts'
import { LIVE_TOKEN, reachVerdict, type Verdict, type Verification } from './verdict.ts'

export type IntrospectionReason = FormReason | CredentialsReason | 'authorization_repeated' | 'state_unknown'

/** Claims of the token that RFC 7662 section 2.2 names, and Remint's own. */
const MEMBERS = [
  'scope',
  'client_id',
  'username',
  'exp',
  'iat',
  'nbf',
  'sub',
  'aud',
  'iss',
  'jti',
  'sid',
  'cnf',
]

/** @returns the response and the caller's name, for the log */
export async function introspect(
  request: Request,
  callers: readonly Verifier[],
  verification: Verification,
): Promise<Result<{ response: Response; caller: string }, IntrospectionReason>> {
  const form = await readForm(request, 'token')
  if (!form.ok) return form
  const caller = await callerOf(request.headers.get('authorization'), form.value, callers)
  if (!caller.ok) return caller
  const token = form.value.get('token') as string
  const verdict = await reachVerdict(token, { ...LIVE_TOKEN, bound: 'accepted' }, verification)
  if (verdict.reason === 'state_unknown') return err('state_unknown')
  const response = Response.json(introspectionAnswer(verdict), { headers: NO_STORE })
  return ok({ response, caller: caller.value })
}

/** `client_secret_basic` or `client_secret_post`, never both (RFC 6749 section 2.3). */
async function callerOf(
  authorization: string | null,
  form: URLSearchParams,
  callers: readonly Verifier[],
): Promise<Result<string, CredentialsReason | 'authorization_repeated'>> {
  const name = form.get('client_id')
  const secret = form.get('client_secret')
  if (authorization?.includes(',')) return err('authorization_repeated')
  if (authorization === null) {
    if (name === null || secret === null) return err('caller_missing')
    return authenticate({ name, secret }, callers)
  }
  const basic = basicCredentials(authorization)
  if (!basic) return err('caller_unknown')
  if (secret !== null || (name !== null && name !== basic.name)) return err('caller_repeated')
  return authenticate(basic, callers)
}

/** The complete response for an inactive token (RFC 7662 section 2.2). */
const INACTIVE = { active: false }

function introspectionAnswer({ active, identity, flags }: Verdict): Claims {
  if (!active || !identity) return INACTIVE
  const { claims } = identity
  const members = MEMBERS.filter((name) => claims[name] !== undefined).map((name) => [name, claims[name]])
  return {
    active: true,
    token_type: tokenType(claims),
    ...Object.fromEntries(members),
    org_id: identity.orgId,
    feature_flags: flags,
    feature_flags_meta: identity.meta,
  }
}

/** A key thumbprint makes it a DPoP token (RFC 9449 section 6.2); one bound to a certificate is still called Bearer. */
const tokenType = ({ cnf }: Claims): string =>
  typeof cnf === 'object' && cnf !== null && stringClaim(cnf as Claims, 'jkt') !== undefined
    ? 'DPoP'
    : 'Bearer'
