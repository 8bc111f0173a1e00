/** The routes of plans. */
import { z } from '@hono/zod-openapi'
import { asc, gt } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { PlanRow } from '../db/rows.ts'
import { plans } from '../db/schema.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because } from '../ledger/command.ts'
import { State } from '../ledger/state.ts'
import { EDITORS, READERS } from '../roles.ts'
import { type PlanEdit, planCreate, planUpdating } from './commands.ts'
import { planCreation, planParams, planSchema, planUpdate } from './schemas.ts'

const view = (plan: PlanRow) => plan

export function planRoutes(api: Api): void {
  read(api, {
    path: '/plans',
    tag: 'Plans',
    summary: 'List plans',
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
    everywhere: true,
    path: '/plans',
    tag: 'Plans',
    summary: 'Create a plan',
    roles: EDITORS,
    body: planCreation,
    data: planSchema,
    status: 201,
    command: ({ body: { reason, ticket, ...plan } }) => planCreate.create(plan, because({ reason, ticket })),
    view,
  })

  read(api, {
    path: '/plans/{plan}',
    tag: 'Plans',
    summary: 'Get a plan',
    roles: READERS,
    params: planParams,
    answer: planSchema,
    async read({ params, control }) {
      const plan = await new State(control.db).rows('plans').load(params.plan)
      return plan ? ok(plan) : err('not_found')
    },
  })

  write<typeof planUpdate, PlanEdit, typeof planParams>(api, {
    method: 'patch',
    everywhere: true,
    path: '/plans/{plan}',
    tag: 'Plans',
    summary: 'Change a plan, and with it what all its contracts grant',
    roles: EDITORS,
    params: planParams,
    body: planUpdate,
    data: planSchema,
    ifMatch: 'required',
    command: ({ params, body: { reason, ticket, ...change } }) =>
      planUpdating.create({ ...params, ...change }, because({ reason, ticket })),
    view,
  })
}
