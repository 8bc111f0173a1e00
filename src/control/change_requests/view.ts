/** The schema of a change request in responses. */
import { z } from '@hono/zod-openapi'
import type { ChangeRequestRow } from '../db/rows.ts'
import { effectSchema } from '../effects/view.ts'
import { storedInstant } from '../entities/fields.ts'
import { CHANGE_STATES } from './lifecycle.ts'

export const changeSchema = z
  .object({
    id: z.string(),
    kind: z.enum(['change', 'break_glass']),
    state: z.enum(CHANGE_STATES),
    author: z.string(),
    author_key: z.string().nullable(),
    on_behalf_of: z.object({ identity: z.string(), person: z.string().nullable() }).nullable().openapi({
      description:
        'Who started the pipeline in which the key was used, as the CI system says, and who that is in /people. Unknown there: one more approval is required.',
    }),
    items: z.array(z.object({ action: z.string(), input: z.record(z.string(), z.unknown()) })),
    rows: z
      .array(
        z.object({
          entity: z.string(),
          action: z.string(),
          members: z.record(z.string(), z.object({ before: z.unknown().optional(), after: z.unknown() })),
        }),
      )
      .openapi({ description: 'What it does to which rows; `now` is the time of its application.' }),
    environments: z.array(z.string()),
    flags: z.array(z.string()).openapi({
      description: 'The flags whose owners must approve, where the policy of an environment requires it.',
    }),
    required: z.int().openapi({ description: 'How many approvals the policies require.' }),
    effect: effectSchema,
    digest: z.string().openapi({
      description: 'Covers the commands, the rows and the whole effective diff: what an approval is for.',
    }),
    approvals: z.array(
      z.object({ actor: z.string(), api_key: z.string().nullable(), at: storedInstant, digest: z.string() }),
    ),
    apply_at: storedInstant.nullable(),
    reason: z.string(),
    ticket: z.string().nullable(),
    problem: z
      .string()
      .nullable()
      .openapi({ description: 'Why it became stale, or was not applied when due: `moved`, or a code.' }),
    applied_at: storedInstant.nullable(),
    reviewed_at: storedInstant.nullable(),
    reviewed_by: z.string().nullable(),
    review: z.string().nullable(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('ChangeRequest')

export const viewChange = ({ people: _, approvals, ...change }: ChangeRequestRow) => ({
  ...change,
  approvals: approvals.map(({ actor, api_key, at, digest }) => ({ actor, api_key, at, digest })),
})
