/**
 * `POST /verify`: the decision about a token in plain JSON.
 *
 * A question that is well put is answered with 200, also when the answer is no; what is malformed is 400, so that a
 * caller's mistake is never taken for a verdict.
 */
import * as z from 'zod'
import { FLAG_KEY } from '../../core/documents.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { MAX_BODY_BYTES, NO_STORE, readBounded } from '../http.ts'
import { decide, type Requirement } from './decide.ts'
import type { Identities } from './identity.ts'

/** More flags than this in one question is a mistake. */
const MAX_REQUIRED = 100

const flagList = z.array(z.string().regex(FLAG_KEY)).max(MAX_REQUIRED).default([])
/** Strict: a misspelt requirement must not be taken for none. */
const questionSchema = z.strictObject({
  token: z.string().min(1).optional(),
  features: z.strictObject({ all: flagList, any: flagList }).default({ all: [], any: [] }),
})

export type QuestionReason =
  | 'body_too_large'
  | 'content_type_unsupported'
  | 'body_malformed'
  | 'token_missing'
  | 'token_repeated'
  | 'authorization_repeated'
  | 'authorization_malformed'

interface Question {
  readonly token: string
  readonly requirement: Requirement
}

/** Answers a question. @param now - epoch milliseconds */
export async function verifyJson(
  request: Request,
  identities: Identities,
  now: number,
): Promise<Result<Response, QuestionReason>> {
  const question = await parseQuestion(request)
  if (!question.ok) return question
  const identity = await identities.verify(question.value.token, now)
  if (!identity.ok) {
    return ok(
      Response.json({ active: false, allowed: false, reason: identity.reason }, { headers: NO_STORE }),
    )
  }
  const { sub, orgId, sid, flags, meta, exp } = identity.value
  const { allowed, reason, missing } = decide(flags, question.value.requirement)
  const answer = {
    active: true,
    allowed,
    reason,
    missing,
    sub,
    org_id: orgId,
    sid,
    feature_flags: flags,
    feature_flags_meta: meta,
    exp,
  }
  return ok(Response.json(answer, { headers: NO_STORE }))
}

async function parseQuestion(request: Request): Promise<Result<Question, QuestionReason>> {
  const bearer = bearerToken(request.headers.get('authorization'))
  if (!bearer.ok) return bearer
  let body: Result<string, 'body_too_large'>
  try {
    body = await readBounded(request, MAX_BODY_BYTES)
  } catch {
    return err('body_malformed')
  }
  if (!body.ok) return body
  const isJson = /^application\/json\s*(;|$)/i.test(request.headers.get('content-type') ?? '')
  if (!isJson && body.value !== '') return err('content_type_unsupported')

  let json: unknown
  try {
    json = body.value === '' ? {} : JSON.parse(body.value)
  } catch {
    return err('body_malformed')
  }
  const parsed = questionSchema.safeParse(json)
  if (!parsed.success) return err('body_malformed')
  const { token, features } = parsed.data
  if (token !== undefined && bearer.value !== undefined) return err('token_repeated')
  const presented = token ?? bearer.value
  return presented === undefined ? err('token_missing') : ok({ token: presented, requirement: features })
}

/** The token of one `Authorization: Bearer` header (RFC 6750 section 2.1); two of them are never guessed between. */
function bearerToken(
  authorization: string | null,
): Result<string | undefined, 'authorization_repeated' | 'authorization_malformed'> {
  if (authorization === null) return ok(undefined)
  if (authorization.includes(',')) return err('authorization_repeated')
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
  return token === undefined ? err('authorization_malformed') : ok(token)
}
