/** What contradicts a contract, as answers show it: counted in full, named up to a bound. */
import { z } from '@hono/zod-openapi'
import type { Contradiction } from '../model/contradiction.ts'

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
