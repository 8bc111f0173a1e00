/** Effects, contradictions and explanations as answers show them. */
import { z } from '@hono/zod-openapi'
import type { Contradiction } from './contradictions.ts'

const counted = z.object({ count: z.int(), ids: z.array(z.string()) })
const subjects = z.object({ organizations: counted, users: counted })

export const effectSchema = z
  .object({
    changes: z.array(
      z.object({
        environment: z.string(),
        flag: z.string(),
        at: z.string().nullable().openapi({ description: 'When it begins; null: at once.' }),
        gained: subjects,
        lost: subjects,
      }),
    ),
    omitted: z.int().optional().openapi({ description: 'How many more changes there are than are told.' }),
    digest: z
      .string()
      .openapi({ description: 'SHA-256 over the whole diff, whose ids are only listed up to 50.' }),
    base: z.int().nullable().openapi({ description: 'The audit row on whose state it was computed.' }),
  })
  .openapi('Effect', { description: 'Who gains and who loses what, from evaluation before and after.' })

const MAX_NAMED = 50

export const contradictionSchema = z
  .object({
    kind: z.enum(['paid_lost', 'unpaid_given']).openapi({
      description:
        'paid_lost: a contract in force pays for the flag, and it would be lost. unpaid_given: it is sold, the contract in force does not hold it, and the rule would give it.',
    }),
    environment: z.string(),
    flag: z.string(),
    organizations: z.object({ count: z.int(), ids: z.array(z.string()) }),
  })
  .openapi('Contradiction')

export const viewContradiction = ({ organizations, ...contradiction }: Contradiction) => ({
  ...contradiction,
  organizations: { count: organizations.length, ids: organizations.slice(0, MAX_NAMED) },
})

export const candidateSchema = z
  .object({
    reason: z.string(),
    on: z.boolean(),
    counts: z.boolean(),
    id: z.string().nullable(),
    through: z.string().nullable().openapi({ description: 'Which plan of a contract, or `add-on`.' }),
    subject: z.enum(['org', 'user']).nullable(),
    from: z.string().nullable(),
    to: z.string().nullable(),
  })
  .openapi('Candidate')
