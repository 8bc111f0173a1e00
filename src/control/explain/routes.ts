/** `GET /orgs/{org}/entitlements`: every flag, on or off, why, the other candidates, what pays for it and until when. */
import { z } from '@hono/zod-openapi'
import { evaluate } from '../../core/evaluate.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { caseOf, explainDecision, fundingOf, type SubjectRows } from '../effects/explain.ts'
import { candidateSchema } from '../effects/view.ts'
import { environmentName, externalId, instant } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { read } from '../http/read.ts'
import { readSubject } from '../ledger/history.ts'
import { READERS } from '../roles.ts'

const explanationSchema = z
  .object({
    org: z.string(),
    user: z.string().nullable(),
    environment: z.string(),
    at: z.string(),
    flags: z.array(
      z.object({
        flag: z.string(),
        on: z.boolean(),
        reason: z.string(),
        funded_by: candidateSchema.nullable().openapi({
          description: 'The grant or contract that holds the flag on; of several, the one that ends last.',
        }),
        ends_at: z.string().nullable().openapi({ description: 'When that ends; null: no end.' }),
        lost: z
          .array(candidateSchema)
          .openapi({ description: 'The candidates that did not decide, in the order of evaluation.' }),
      }),
    ),
  })
  .openapi('Explanation')

type Explanation = z.input<typeof explanationSchema>

export function explainRoutes(api: Api): void {
  read(api, {
    path: '/orgs/{org}/entitlements',
    tag: 'Explain',
    summary: 'Explain the flags of an organization: on or off, why, and until when',
    description: '`at` may be in the past (from the audit log) or in the future.',
    roles: READERS,
    params: z.object({ org: externalId }),
    query: z.object({ environment: environmentName, at: instant.optional(), user: externalId.optional() }),
    answer: explanationSchema,
    async read({ params: { org }, query: { environment, at, user }, control }) {
      if (!control.config.environments.includes(environment)) return err('environment_unknown')
      const now = new Date(control.clock()).toISOString()
      const time = at ?? now
      const moment = time < now ? { at: time } : 'now'
      const rows = await readSubject(control.db, { orgId: org, userId: user, environment, moment })
      return explain(rows, { org, user, environment, at: time })
    },
  })
}

interface Asked {
  readonly org: string
  readonly user: string | undefined
  readonly environment: string
  readonly at: string
}

export function explain(rows: SubjectRows, asked: Asked): Result<Explanation, 'not_found'> {
  const { org, user, environment, at } = asked
  if (!rows.organization) return err('not_found')
  const made = caseOf(rows, { environment, orgId: org, userId: user })
  const instantMs = Date.parse(at)
  const flags = evaluate(made.catalog, made.subject, instantMs).decisions.map((decision) => {
    const explained = explainDecision(decision, made, instantMs)
    return { ...decision, ...fundingOf(explained), lost: [...explained.lost] }
  })
  return ok({ org, user: user ?? null, environment, at, flags })
}
