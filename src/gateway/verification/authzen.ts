/**
 * AuthZEN Authorization API 1.0: may this subject use this feature? One question or several in one request.
 *
 * Supported are `subject.type` `organization` or `user`, `action.name` `use`, `resource.type` `feature`; anything else is
 * denied with a reason, because without a decision the answer is a denial. A user's organization, which decides most
 * entitlements, is taken from `subject.properties.org_id`.
 *
 * @see https://openid.net/specs/authorization-api-1_0.html
 */
import * as z from 'zod'
import { documentId, type SubjectIds } from '../../core/claims.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { type BodyReason, readJson } from '../http/body.ts'
import { type Caller, type Entitled, entitledNow, userSubject } from './caller.ts'
import type { Verification } from './verdict.ts'

/** Each may read documents of another subject. */
const MAX_EVALUATIONS = 100

const entity = z.object({ type: z.string(), id: z.string(), properties: z.looseObject({}).optional() })
const evaluationSchema = z.object({
  subject: entity,
  action: z.object({ name: z.string() }),
  resource: entity,
})
const partialSchema = z.object({
  subject: z.unknown().optional(),
  action: z.unknown().optional(),
  resource: z.unknown().optional(),
})
const evaluationsSchema = partialSchema.extend({
  evaluations: z.array(partialSchema).max(MAX_EVALUATIONS).optional(),
  options: z
    .object({
      evaluations_semantic: z
        .enum(['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'])
        .default('execute_all'),
    })
    .optional(),
})

type Evaluation = z.infer<typeof evaluationSchema>

interface Decision {
  readonly decision: boolean
  readonly context?: { reason: string } | { error: { status: number; message: string } }
}

export type AuthzenReason = BodyReason | 'subject_not_yours' | 'state_unknown'

/** `POST /access/v1/evaluation`. */
export async function evaluateOne(
  request: Request,
  caller: Caller,
  verification: Verification,
): Promise<Result<object, AuthzenReason>> {
  const json = await readJson(request, 'required')
  if (!json.ok) return json
  return one(json.value, caller, verification)
}

/** `POST /access/v1/evaluations`; without a list it is the same as the single question. */
export async function evaluateMany(
  request: Request,
  caller: Caller,
  verification: Verification,
): Promise<Result<object, AuthzenReason>> {
  const json = await readJson(request, 'required')
  if (!json.ok) return json
  const parsed = evaluationsSchema.safeParse(json.value)
  if (!parsed.success) return err('body_malformed')
  const { evaluations = [], options, ...defaults } = parsed.data
  if (evaluations.length === 0) return one(json.value, caller, verification)

  const semantic = options?.evaluations_semantic ?? 'execute_all'
  const entitled = remembering((subject) => entitledNow(caller, subject, verification))
  const decisions: Decision[] = []
  for (const item of evaluations) {
    const question = evaluationSchema.safeParse({ ...defaults, ...withoutUndefined(item) })
    const decision = question.success
      ? await decideItem(question.data, entitled)
      : ok(itemError(400, 'subject, action or resource is missing or malformed'))
    if (!decision.ok) return decision
    decisions.push(decision.value)
    if (semantic === 'deny_on_first_deny' && !decision.value.decision) break
    if (semantic === 'permit_on_first_permit' && decision.value.decision) break
  }
  return ok({ evaluations: decisions })
}

type Ask = (subject: SubjectIds) => ReturnType<typeof entitledNow>

async function one(
  json: unknown,
  caller: Caller,
  verification: Verification,
): Promise<Result<Decision, AuthzenReason>> {
  const question = evaluationSchema.safeParse(json)
  if (!question.success) return err('body_malformed')
  return decideEvaluation(question.data, (subject) => entitledNow(caller, subject, verification))
}

/** The fault of one item of several is reported in its place. */
async function decideItem(evaluation: Evaluation, ask: Ask): Promise<Result<Decision, AuthzenReason>> {
  const decision = await decideEvaluation(evaluation, ask)
  if (!decision.ok && decision.reason === 'subject_not_yours')
    return ok(itemError(403, 'this subject takes a verifier key'))
  if (!decision.ok && decision.reason === 'body_malformed')
    return ok(itemError(400, 'subject.properties.org_id is no id'))
  return decision
}

async function decideEvaluation(
  { subject, action, resource }: Evaluation,
  ask: Ask,
): Promise<Result<Decision, AuthzenReason>> {
  const ids = subjectIds(subject)
  if (!ids) return ok(denied('subject_unknown'))
  // Without its organization, a user would also lose that organization's denials.
  if (ids.unreadable) return err('body_malformed')
  const entitled = await ask(ids)
  if (!entitled.ok) return entitled
  if (action.name !== 'use') return ok(denied('action_unknown'))
  if (resource.type !== 'feature') return ok(denied('resource_unknown'))
  return ok(decideFeature(resource.id, entitled.value))
}

function decideFeature(flag: string, { answers }: Entitled): Decision {
  const answer = answers.find((candidate) => candidate.flag === flag)
  if (!answer) return denied('feature_unknown')
  return { decision: answer.on, context: { reason: answer.reason } }
}

function subjectIds({ type, id, properties }: Evaluation['subject']): SubjectIds | undefined {
  const named = documentId(id)
  if (named === undefined) return undefined
  switch (type) {
    case 'organization':
      return { orgId: named, userId: undefined }
    case 'user':
      return userSubject(named, properties?.org_id)
    default:
      return undefined
  }
}

const denied = (reason: string): Decision => ({ decision: false, context: { reason } })

const itemError = (status: number, message: string): Decision => ({
  decision: false,
  context: { error: { status, message } },
})

/** Several evaluations of one subject read its documents once. */
function remembering(ask: Ask): Ask {
  const known = new Map<string, ReturnType<Ask>>()
  return (subject) => {
    const key = JSON.stringify([subject.orgId, subject.userId])
    const answer = known.get(key) ?? ask(subject)
    known.set(key, answer)
    return answer
  }
}

const withoutUndefined = (object: object): object =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))

/** `/.well-known/authzen-configuration` (section 9.1). */
export const authzenMetadata = ({ issuer }: Config): object => ({
  policy_decision_point: issuer,
  access_evaluation_endpoint: `${issuer}/access/v1/evaluation`,
  access_evaluations_endpoint: `${issuer}/access/v1/evaluations`,
})
