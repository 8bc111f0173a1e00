/** What speaks for or against a flag, as answers show it. */
import { z } from '@hono/zod-openapi'

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
