/**
 * `POST /verify`: the decision about a token in plain JSON.
 *
 * A well-formed request gets 200, also if the token is refused; a malformed one gets 400, so that a caller's mistake is never
 * mistaken for a verdict.
 */
import * as z from 'zod'
import { type BearerReason, bearerToken } from '../../core/bearer.ts'
import { FLAG_KEY } from '../../core/names.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { NO_STORE_HEADERS } from '../http/answers.ts'
import { type BodyReason, readJson } from '../http/body.ts'
import { type Question, reachVerdict, type Verification, verdictAnswer } from './verdict.ts'

/** More flags than this in one request is a mistake. */
const MAX_REQUIRED = 100

const flags = z.array(z.string().regex(FLAG_KEY)).max(MAX_REQUIRED)
const all = flags.default([])
/** `any` of an empty list can never be met: a list that is empty by mistake must not require nothing. */
const any = flags
  .min(1)
  .optional()
  .transform((list = []) => list)
const freshness = z.enum(['claim', 'live']).default('claim')
/** Strict: a misspelt requirement must not count as none. */
const questionSchema = z.strictObject({
  token: z.string().min(1).optional(),
  features: z.strictObject({ all, any }).default({ all: [], any: [] }),
  freshness,
})

const requirementSchema = z.strictObject({ all, any, freshness })

/** A requirement from another program: its lists may be left out, its flags must be flags. */
export function parseRequirement(requirement: unknown): Question | undefined {
  const parsed = requirementSchema.safeParse(requirement)
  if (!parsed.success) return undefined
  const { all, any, freshness } = parsed.data
  return { requirement: { all, any }, freshness }
}

export type QuestionReason = BodyReason | BearerReason | 'token_missing' | 'token_repeated'

/** Responds to a request. */
export async function verifyJson(
  request: Request,
  verification: Verification,
): Promise<Result<Response, QuestionReason>> {
  const asked = await parseQuestion(request)
  if (!asked.ok) return asked
  const { token, ...question } = asked.value
  const verdict = await reachVerdict(token, question, verification)
  return ok(Response.json(verdictAnswer(verdict), { headers: NO_STORE_HEADERS }))
}

async function parseQuestion(
  request: Request,
): Promise<Result<Question & { token: string }, QuestionReason>> {
  const bearer = bearerToken(request.headers.get('authorization'))
  if (!bearer.ok) return bearer
  const json = await readJson(request, 'may_be_empty')
  if (!json.ok) return json
  const parsed = questionSchema.safeParse(json.value)
  if (!parsed.success) return err('body_malformed')
  const { token, features, freshness } = parsed.data
  if (token !== undefined && bearer.value !== undefined) return err('token_repeated')
  const presented = token ?? bearer.value
  if (presented === undefined) return err('token_missing')
  return ok({ token: presented, requirement: features, freshness })
}
