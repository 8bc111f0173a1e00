/** The routes of grants. */
import { z } from '@hono/zod-openapi'
import { and, asc, eq, gt, inArray, isNull, lte, or, type SQL } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import type { GrantRow } from '../db/rows.ts'
import { grants } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { environmentName, externalId, flagKey } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because } from '../ledger/command.ts'
import { State } from '../ledger/state.ts'
import { READERS, RESPONDERS } from '../roles.ts'
import { type GrantEdit, grantCreate, grantRevoke, newGrantId } from './commands.ts'
import { grantCreation, grantParams, grantSchema, revocation, source } from './schemas.ts'

const view = ({ subject_kind, subject_id, ...grant }: GrantRow) => ({
  ...grant,
  subject: { kind: subject_kind, id: subject_id },
})

export function grantRoutes(api: Api): void {
  read(api, {
    path: '/grants',
    tag: 'Grants',
    summary: 'List grants',
    roles: READERS,
    query: z.object({
      ...pageQuery,
      environment: environmentName.optional(),
      org: externalId.optional(),
      user: externalId.optional(),
      flag: flagKey.optional(),
      source: source.optional(),
      active: z.enum(['true']).optional().openapi({ description: 'Only grants that are in force now.' }),
    }),
    answer: pageOf(grantSchema),
    async read({ query, control, actor }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const now = new Date(control.clock()).toISOString()
      const conditions: (SQL | undefined)[] = [
        after.value === undefined ? undefined : gt(grants.id, after.value),
        query.environment ? eq(grants.environment, query.environment) : undefined,
        actor.environments === null ? undefined : inArray(grants.environment, list(actor.environments)),
        query.org ? and(eq(grants.subject_kind, 'org'), eq(grants.subject_id, query.org)) : undefined,
        query.user ? and(eq(grants.subject_kind, 'user'), eq(grants.subject_id, query.user)) : undefined,
        query.flag ? eq(grants.flag, query.flag) : undefined,
        query.source ? eq(grants.source, query.source) : undefined,
        query.active ? and(lte(grants.from, now), or(isNull(grants.to), gt(grants.to, now))) : undefined,
      ]
      const rows = await control.db
        .select()
        .from(grants)
        .where(and(...conditions))
        .orderBy(asc(grants.id))
        .limit(query.limit + 1)
      const page = toPage(rows, query.limit, ({ id }) => id)
      return ok({ ...page, data: page.data.map(view) })
    },
  })

  write<typeof grantCreation, GrantEdit>(api, {
    method: 'post',
    path: '/grants',
    tag: 'Grants',
    summary: 'Create a grant: allow or deny a flag to an organization or user',
    roles: RESPONDERS,
    body: grantCreation,
    data: grantSchema,
    status: 201,
    command: ({ body: { reason, ticket, ...grant } }) =>
      grantCreate.create({ ...grant, id: newGrantId() }, because({ reason, ticket })),
    view,
  })

  read(api, {
    path: '/grants/{grant}',
    tag: 'Grants',
    summary: 'Get a grant',
    roles: READERS,
    params: grantParams,
    answer: grantSchema,
    async read({ params, control, actor }) {
      const grant = await new State(control.db).rows('grants').load(params.grant)
      const visible = grant && environmentsFor(actor, [grant.environment]).length > 0
      return visible ? ok(view(grant)) : err('not_found')
    },
  })

  write<typeof revocation, GrantEdit, typeof grantParams>(api, {
    method: 'post',
    path: '/grants/{grant}/revoke',
    tag: 'Grants',
    summary: 'Revoke a grant: end it now',
    roles: RESPONDERS,
    params: grantParams,
    body: revocation,
    data: grantSchema,
    command: ({ params, body }) => grantRevoke.create(params, because(body)),
    view,
  })
}
