/** `GET /orgs/{org}/entitlements`: every flag, on or off, why, what else was heard, what pays for it and until when. */
import { z } from '@hono/zod-openapi'
import { evaluate } from '../../core/evaluate.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Api } from '../api/context.ts'
import { read } from '../api/define.ts'
import { environmentName, externalId, instant } from '../model/fields.ts'
import { projectCatalog, projectContract, projectGrant } from '../model/projection.ts'
import { READERS } from '../roles.ts'
import { type Candidate, candidatesFor } from './candidates.ts'
import { readSubject, type SubjectRows } from './history.ts'

const candidateSchema = z
  .object({
    reason: z.string(),
    on: z.boolean(),
    counts: z.boolean(),
    id: z.string().nullable(),
    through: z.string().nullable(),
    subject: z.enum(['org', 'user']).nullable(),
    from: z.string().nullable(),
    to: z.string().nullable(),
  })
  .openapi('Candidate')

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
          description: 'The grant or the contract that holds the flag on; of several, the longest.',
        }),
        ends_at: z.string().nullable().openapi({ description: 'When that ends; null: not by itself.' }),
        lost: z.array(candidateSchema).openapi({ description: 'What was heard besides, in order.' }),
      }),
    ),
  })
  .openapi('Explanation')

type Explanation = z.input<typeof explanationSchema>

export function explainRoutes(api: Api): void {
  read(api, {
    path: '/orgs/{org}/entitlements',
    tag: 'Explain',
    summary: 'What an organization has, why, and until when',
    description: '`at` may be in the past, which the audit log gives, or in the future.',
    roles: READERS,
    params: z.object({ org: externalId }),
    query: z.object({ environment: environmentName, at: instant.optional(), user: externalId.optional() }),
    answer: explanationSchema,
    async read({ params: { org }, query: { environment, at, user }, control }) {
      if (!control.config.environments.includes(environment)) return err('environment_unknown')
      const now = new Date(control.clock()).toISOString()
      const time = at ?? now
      const asOf = time < now ? time : undefined
      const rows = await readSubject(control.db, { org, user, environment, asOf })
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
  const stamp = { version: 0, changed_at: at }
  const catalog = projectCatalog(environment, rows, stamp)
  const of = (kind: 'org' | 'user') =>
    rows.grants.filter(({ subject_kind }) => subject_kind === kind).map(projectGrant)
  const recorded = {
    orgId: org,
    userId: user,
    contracts: rows.contracts.map(projectContract),
    orgGrants: of('org'),
    userGrants: of('user'),
  }
  const header = { format: 1 as const, version: 0, published_at: at, not_before: 0 }
  const subject = {
    orgId: org,
    userId: user,
    org: { ...header, org_id: org, contracts: recorded.contracts, grants: recorded.orgGrants },
    user: user === undefined ? null : { ...header, user_id: user, grants: recorded.userGrants },
  }
  const instantMs = Date.parse(at)
  const { decisions } = evaluate(catalog, subject, instantMs)
  return ok({
    org,
    user: user ?? null,
    environment,
    at,
    flags: decisions.map(({ flag, on, reason }) => {
      const candidates = candidatesFor(flag, catalog, recorded, instantMs)
      const deciding = decider(candidates, reason)
      const funded = deciding !== undefined && deciding.id !== null && on ? deciding : null
      const lost = candidates.filter((candidate) => candidate !== deciding)
      return { flag, on, reason, funded_by: funded, ends_at: funded?.to ?? null, lost }
    }),
  })
}

/** Of the candidates that count and have the reason, the one that lasts longest. */
function decider(candidates: readonly Candidate[], reason: string): Candidate | undefined {
  const end = ({ to }: Candidate): number => (to === null ? Number.POSITIVE_INFINITY : Date.parse(to))
  return candidates
    .filter((candidate) => candidate.counts && candidate.reason === reason)
    .reduce<Candidate | undefined>(
      (best, candidate) => (best === undefined || end(candidate) > end(best) ? candidate : best),
      undefined,
    )
}
