/**
 * OpenFeature Remote Evaluation Protocol 0.3: feature flags for OpenFeature providers, one by one or all at once.
 *
 * `targetingKey` is an organization's id; with `"kind": "user"` in the context it is a user's, whose organization is
 * `org_id`. A user's own token answers for its own organization or user only. Flags are booleans, and an ETag names
 * everything that the answer depends on.
 *
 * @see https://openfeature.dev/docs/reference/other-technologies/ofrep/openapi
 */
import { base64url } from 'jose'
import * as z from 'zod'
import { documentId, type SubjectIds } from '../../core/claims.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { NO_STORE } from '../http/answers.ts'
import { readJson } from '../http/body.ts'
import { type Caller, entitledNow, type FlagAnswer, userSubject } from './caller.ts'
import type { Verification } from './verdict.ts'

export type OfrepReason =
  | 'body_too_large'
  | 'content_type_unsupported'
  | 'body_malformed'
  | 'context_invalid'
  | 'targeting_key_missing'
  | 'flag_not_found'
  | 'subject_not_yours'
  | 'state_unknown'

const requestSchema = z.object({ context: z.looseObject({}) })

/** `POST /ofrep/v1/evaluate/flags/{key}`. */
export async function evaluateFlag(
  request: Request,
  key: string,
  caller: Caller,
  verification: Verification,
): Promise<Result<Response, OfrepReason>> {
  const subject = await readSubject(request, caller)
  if (!subject.ok) return subject
  const entitled = await entitledNow(caller, subject.value, verification)
  if (!entitled.ok) return entitled
  const answer = entitled.value.answers.find(({ flag }) => flag === key)
  return answer ? ok(Response.json(flagValue(answer), { headers: NO_STORE })) : err('flag_not_found')
}

/** `POST /ofrep/v1/evaluate/flags`. */
export async function evaluateFlags(
  request: Request,
  caller: Caller,
  verification: Verification,
): Promise<Result<Response, OfrepReason>> {
  const subject = await readSubject(request, caller)
  if (!subject.ok) return subject
  const entitled = await entitledNow(caller, subject.value, verification)
  if (!entitled.ok) return entitled
  const { answers, version } = entitled.value
  const body = JSON.stringify({ flags: answers.map(flagValue), metadata: { version } })
  const etag = await entityTag(JSON.stringify([subject.value.orgId, subject.value.userId]) + body)
  const headers = { ...NO_STORE, etag, 'content-type': 'application/json' }
  return isKnown(request.headers.get('if-none-match'), etag)
    ? ok(new Response(null, { status: 304, headers: { ...NO_STORE, etag } }))
    : ok(new Response(body, { headers }))
}

async function readSubject(request: Request, caller: Caller): Promise<Result<SubjectIds, OfrepReason>> {
  const json = await readJson(request, 'required')
  if (!json.ok) return json
  const parsed = requestSchema.safeParse(json.value)
  if (!parsed.success) return err('context_invalid')
  const { targetingKey, kind = 'organization', org_id } = parsed.data.context
  // In a claim an id can be a number; the protocol uses text.
  if (targetingKey !== undefined && typeof targetingKey !== 'string') return err('context_invalid')
  const id = documentId(targetingKey)
  if (id === undefined) return err('targeting_key_missing')
  if (caller.kind === 'user') {
    const { orgId, userId } = caller.verdict.identity ?? {}
    return id === orgId || id === userId ? ok({ orgId, userId }) : err('subject_not_yours')
  }
  if (kind === 'organization') return ok({ orgId: id, userId: undefined })
  if (kind !== 'user') return err('context_invalid')
  // Without its organization, a user would also lose that organization's denials.
  const subject = userSubject(id, org_id)
  return subject.unreadable ? err('context_invalid') : ok(subject)
}

const flagValue = ({ flag, on, reason }: FlagAnswer) => ({
  key: flag,
  value: on,
  reason: openFeatureReason(reason),
  variant: on ? 'on' : 'off',
  metadata: { reason },
})

function openFeatureReason(reason: FlagAnswer['reason']): string {
  switch (reason) {
    case 'killed':
    case 'rule_none':
      return 'DISABLED'
    case 'rule_all':
    case 'default':
      return 'STATIC'
    case 'rollout':
      return 'SPLIT'
    case 'denied':
    case 'override':
    case 'beta':
    case 'support':
    case 'import':
    case 'contract':
    case 'not_in_token':
      return 'TARGETING_MATCH'
  }
}

async function entityTag(content: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(content))
  return `"${base64url.encode(new Uint8Array(digest).subarray(0, 16))}"`
}

/** RFC 9110 section 13.1.2: a list, compared weakly, because a proxy that compresses weakens the tag. */
const isKnown = (ifNoneMatch: string | null, etag: string): boolean =>
  ifNoneMatch?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag) ?? false
