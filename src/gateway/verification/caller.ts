/**
 * The caller and its permissions: a service with a verifier key may ask about anyone, a user only about the subjects of its
 * own token.
 *
 * A service gets what is on now. A user gets what its token allows now, which is what every guard would answer.
 */
import { type BearerReason, bearerToken } from '../../core/bearer.ts'
import { documentId, type SubjectIds } from '../../core/claims.ts'
import type { Reason } from '../../core/evaluate.ts'
import { looksLikeJws } from '../../core/jws.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Verifier } from '../config.ts'
import { authenticate, basicCredentials } from './credentials.ts'
import {
  type CurrentFlags,
  LIVE_TOKEN,
  reachVerdict,
  type Verdict,
  type VerdictReason,
  type Verification,
} from './verdict.ts'

export type Caller =
  | { readonly kind: 'service'; readonly name: string }
  | { readonly kind: 'user'; readonly verdict: Verdict }

export type CallerReason =
  | Exclude<VerdictReason, 'allowed'>
  | BearerReason
  | 'token_missing'
  | 'caller_unknown'

/** `Authorization: Bearer` with a token or a key, `Authorization: Basic`, or `X-API-Key`. */
export async function identifyCaller(
  headers: Headers,
  callers: readonly Verifier[],
  verification: Verification,
): Promise<Result<Caller, CallerReason>> {
  const authorization = headers.get('authorization')
  const apiKey = headers.get('x-api-key')
  const basic = basicCredentials(authorization)
  if (basic) return service(basic, callers)
  const bearer = bearerToken(authorization)
  if (!bearer.ok) return bearer
  if (bearer.value !== undefined && looksLikeJws(bearer.value)) {
    const verdict = await reachVerdict(bearer.value, LIVE_TOKEN, verification)
    return verdict.allowed
      ? ok({ kind: 'user', verdict })
      : err(verdict.reason as Exclude<typeof verdict.reason, 'allowed'>)
  }
  const secret = bearer.value ?? apiKey
  return secret === null || secret === undefined
    ? err('token_missing')
    : service({ name: undefined, secret }, callers)
}

async function service(
  credentials: { name: string | undefined; secret: string },
  callers: readonly Verifier[],
): Promise<Result<Caller, CallerReason>> {
  const caller = await authenticate(credentials, callers)
  return caller.ok ? ok({ kind: 'service', name: caller.value }) : caller
}

export interface FlagAnswer {
  readonly flag: string
  readonly on: boolean
  readonly reason: Reason | 'not_in_token'
}

export interface Entitled {
  /** Every flag of the catalog, sorted by key. */
  readonly answers: readonly FlagAnswer[]
  /** Of the documents. */
  readonly version: string
}

/** A user that a caller names, together with an organization. */
export function userSubject(userId: string, org: unknown): SubjectIds {
  const orgId = documentId(org)
  const isUnreadable = orgId === undefined && org !== undefined && org !== null
  return { orgId, userId, ...(isUnreadable && { unreadable: true }) }
}

/** What a subject may use now. @param subject - exactly the ids in the request */
export async function entitledNow(
  caller: Caller,
  subject: SubjectIds,
  { current: readCurrent, warn }: Verification,
): Promise<Result<Entitled, 'subject_not_yours' | 'state_unknown'>> {
  if (caller.kind === 'user') {
    const { identity, current, flags } = caller.verdict
    if (!current || !identity) return err('state_unknown')
    if (!isWithin(subject, identity)) return err('subject_not_yours')
    return ok(entitled(current, (flag, on) => on && !flags.includes(flag)))
  }
  const { entitlements } = await readCurrent(subject, undefined, warn)
  return entitlements ? ok(entitled(entitlements, () => false)) : err('state_unknown')
}

const isWithin = (subject: SubjectIds, own: SubjectIds): boolean =>
  (subject.orgId === undefined || subject.orgId === own.orgId) &&
  (subject.userId === undefined || subject.userId === own.userId)

const entitled = (
  { decisions, version }: CurrentFlags,
  isWithheld: (flag: string, on: boolean) => boolean,
): Entitled => ({
  version,
  answers: decisions.map(({ flag, on, reason }) =>
    isWithheld(flag, on) ? { flag, on: false, reason: 'not_in_token' as const } : { flag, on, reason },
  ),
})
