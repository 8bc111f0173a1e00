/** The schemas of effects, contradictions and explanations in responses. */
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
        at: z.string().nullable().openapi({ description: 'When it takes effect; null: at once.' }),
        gained: subjects,
        lost: subjects,
      }),
    ),
    omitted: z.int().optional().openapi({ description: 'How many further changes are not listed.' }),
    digest: z
      .string()
      .openapi({ description: 'SHA-256 over the whole diff. The diff lists up to 50 ids of each kind.' }),
    base: z.int().nullable().openapi({ description: 'The audit row whose state it was computed on.' }),
  })
  .openapi('Effect', {
    description: 'The effective diff: who gains and who loses what, from evaluation before and after.',
  })

const MAX_NAMED = 50

export const contradictionSchema = z
  .object({
    kind: z.enum(['paid_lost', 'unpaid_given']).openapi({
      description:
        'paid_lost: an organization would lose a flag that its contract in force pays for. unpaid_given: the rule would give a flag that is sold to an organization whose contract in force does not hold it.',
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
    through: z.string().nullable().openapi({ description: 'The plan of the contract, or `add-on`.' }),
    subject: z.enum(['org', 'user']).nullable(),
    from: z.string().nullable(),
    to: z.string().nullable(),
  })
  .openapi('Candidate')
