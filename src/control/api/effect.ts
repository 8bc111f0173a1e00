/** The effective diff as answers show it. */
import { z } from '@hono/zod-openapi'

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
