/** The routes of plans. */
import { z } from '@hono/zod-openapi'
import { asc, gt } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { Api } from '../api/context.ts'
import { read, write } from '../api/define.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../api/page.ts'
import { because } from '../changes/command.ts'
import type { PlanRow } from '../db/rows.ts'
import { plans } from '../db/schema.ts'
import { flagKey, longText, shortText, storedInstant, why } from '../model/fields.ts'
import { EDITORS, READERS } from '../roles.ts'
import { createPlanCommand, findPlan, type PlanEdit, updatePlanCommand } from './commands.ts'

const GRACE_DAYS = 7
const MAX_FLAGS = 1000

const planKey = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/)
const flags = z
  .array(flagKey)
  .max(MAX_FLAGS)
  .refine((keys) => new Set(keys).size === keys.length, 'must not repeat')
const graceDays = z.int().min(0).max(90)

const planCreation = z.object({
  key: planKey,
  name: shortText,
  description: longText.default(''),
  flags: flags.default([]),
  grace_days: graceDays.default(GRACE_DAYS).openapi({
    description: 'How long a contract that is past due still grants.',
  }),
  ...why,
})

const planUpdate = z.object({
  name: shortText.optional(),
  description: longText.optional(),
  flags: flags.optional(),
  grace_days: graceDays.optional(),
  ...why,
})

const planSchema = z
  .object({
    key: z.string(),
    name: z.string(),
    description: z.string(),
    flags: z.array(z.string()),
    grace_days: z.int(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Plan')

const planParams = z.object({ plan: planKey })
const view = (plan: PlanRow) => plan

export function planRoutes(api: Api): void {
  read(api, {
    path: '/plans',
    tag: 'Plans',
    summary: 'The plans',
    roles: READERS,
    query: z.object(pageQuery),
    answer: pageOf(planSchema),
    async read({ query, control }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const rows = await control.db
        .select()
        .from(plans)
        .where(after.value === undefined ? undefined : gt(plans.key, after.value))
        .orderBy(asc(plans.key))
        .limit(query.limit + 1)
      return ok(toPage(rows, query.limit, ({ key }) => key))
    },
  })

  write<typeof planCreation, PlanEdit>(api, {
    method: 'post',
    path: '/plans',
    tag: 'Plans',
    summary: 'Create a plan',
    roles: EDITORS,
    body: planCreation,
    data: planSchema,
    status: 201,
    command: ({ body: { key, reason, ticket, ...content } }) =>
      createPlanCommand(key, content, because({ reason, ticket })),
    view,
  })

  read(api, {
    path: '/plans/{plan}',
    tag: 'Plans',
    summary: 'A plan',
    roles: READERS,
    params: planParams,
    answer: planSchema,
    async read({ params, control }) {
      const plan = await findPlan(control.db, params.plan)
      return plan ? ok(plan) : err('not_found')
    },
  })

  write<typeof planUpdate, PlanEdit, typeof planParams>(api, {
    method: 'patch',
    path: '/plans/{plan}',
    tag: 'Plans',
    summary: 'Change a plan, and with it what all its contracts pay for',
    roles: EDITORS,
    params: planParams,
    body: planUpdate,
    data: planSchema,
    ifMatch: 'required',
    command: ({ params, body: { reason, ticket, ...change } }) =>
      updatePlanCommand(params.plan, change, because({ reason, ticket })),
    view,
  })
}
