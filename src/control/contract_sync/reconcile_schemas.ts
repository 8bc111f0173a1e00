/** The schemas of a reconciliation in requests and responses. */
import { z } from '@hono/zod-openapi'
import { sourceName } from './fields.ts'

const MAX_LISTED = 100

export const reconciliationBody = z.object({
  source: sourceName,
  apply: z
    .boolean()
    .default(false)
    .openapi({ description: 'Repair what differs; otherwise only report it.' }),
  cursor: z.string().max(200).optional(),
  list: z
    .object({
      entries: z.array(z.unknown()).max(MAX_LISTED).openapi({
        description: 'Snapshots as the source would send them, in the order of their numbers.',
      }),
      after: z.string().max(200).optional().openapi({
        description: 'The last number of the previous page; without it, this is the first page.',
      }),
      last: z.boolean().default(false).openapi({ description: 'Whether no page follows.' }),
    })
    .optional()
    .openapi({
      description:
        'What the source has, a page at a time. A contract that should be on the page and is not has ended.',
    }),
})

export const contractSchema = z.object({
  id: z.string(),
  org: z.string(),
  plan: z.string().nullable(),
  status: z.string(),
  from: z.string(),
  to: z.string().nullable(),
  add: z.array(z.string()),
})

export const reconciliationSchema = z
  .object({
    source: z.string(),
    checked: z.int().openapi({ description: 'Contracts of the source that were checked.' }),
    differences: z.array(
      z.object({
        contract: z.string(),
        here: z.array(contractSchema).openapi({ description: 'The rows that differ, as they are here.' }),
        there: z.array(contractSchema).openapi({ description: 'As the source has them.' }),
        problem: z.string().nullable().openapi({ description: 'Why it cannot be repaired: a code.' }),
        detail: z.string().nullable().openapi({ description: 'More about the problem: the unmapped name.' }),
        repaired: z.boolean(),
      }),
    ),
    next_cursor: z.string().nullable(),
  })
  .openapi('Reconciliation')
