/** The schemas of findings and passes in responses. */
import { z } from '@hono/zod-openapi'
import type { FindingRow } from '../db/rows.ts'
import { environmentName, externalId, flagKey, storedInstant } from '../entities/fields.ts'
import { pageOf, pageQuery } from '../http/page.ts'
import { KIND_NAMES, KINDS, type Kind, SEVERITIES } from './kinds.ts'

export const FINDING_STATES = ['open', 'accepted', 'resolved'] as const
export type FindingState = (typeof FINDING_STATES)[number]

export const listQuery = z.object({
  ...pageQuery,
  kind: z.enum(KIND_NAMES).optional(),
  severity: z.enum(SEVERITIES).optional(),
  environment: environmentName.optional(),
  org: externalId.optional(),
  flag: flagKey.optional(),
  state: z.enum(FINDING_STATES).default('open').openapi({
    description: 'After this the finding is open again.',
  }),
})

export const findingSchema = z
  .object({
    id: z.string().openapi({ description: 'URL-encode it in a path.' }),
    kind: z.enum(KIND_NAMES),
    explanation: z.string().openapi({ description: 'What findings of this kind mean.' }),
    severity: z.enum(SEVERITIES),
    environment: z.string().nullable(),
    org: z.string().nullable(),
    flag: z.string().nullable(),
    evidence: z.record(z.string(), z.unknown()),
    repair: z.string().nullable().openapi({
      description:
        'A command, or a call of this API: method, path, `If-Match` where one is needed, and body.',
    }),
    state: z.enum(FINDING_STATES),
    first_seen: storedInstant.openapi({ description: 'Since when every pass has found it.' }),
    last_seen: storedInstant,
    resolved_at: storedInstant.nullable(),
    accepted_by: z.string().nullable(),
    accepted_reason: z.string().nullable(),
    accepted_until: storedInstant.nullable(),
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Finding')

export const progressSchema = z
  .object({
    running: z
      .object({ started_at: storedInstant, stage: z.string(), organizations: z.int() })
      .nullable()
      .openapi({ description: 'How far the running pass has come.' }),
    last: z
      .object({
        started_at: storedInstant,
        completed_at: storedInstant,
        findings: z.int(),
        organizations: z.int(),
        documents: z.int(),
        mints: z.int(),
        mints_skipped: z.int().openapi({
          description: 'Tokens that were not checked, because there were too many since the pass before.',
        }),
      })
      .nullable()
      .openapi({ description: 'The last complete pass.' }),
  })
  .openapi('DriftProgress')

export const listAnswer = pageOf(findingSchema).extend({
  open: z
    .object({ over_grant: z.int(), under_grant: z.int(), metadata: z.int() })
    .openapi({ description: 'How many findings are open, whatever the filters.' }),
  pass: progressSchema,
  summary: z.string().openapi({ description: 'What the list means, or that it is empty.' }),
})

/** @param now - RFC 3339 */
export function stateOf(row: FindingRow, now: string): FindingState {
  if (row.resolved_at !== null) return 'resolved'
  return row.accepted_until !== null && row.accepted_until > now ? 'accepted' : 'open'
}

export const viewFinding = (row: FindingRow, now: string) => ({
  ...row,
  kind: row.kind as Kind,
  explanation: KINDS[row.kind as Kind]?.explanation ?? '',
  state: stateOf(row, now),
})
