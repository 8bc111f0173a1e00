/** The routes of change requests (create, read, approve, apply, …) and of break-glass. */
import { z } from '@hono/zod-openapi'
import { and, desc, eq, isNull, lt, or, type SQL, sql } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import { change_requests } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { environmentName, instant, reasonText, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because } from '../ledger/command.ts'
import type { ChangeRequestEdit } from '../ledger/commit.ts'
import { APPROVERS, BREAKERS, EDITORS, READERS, RESPONDERS } from '../roles.ts'
import { breakGlassBody, breakGlassItem } from './break_glass.ts'
import {
  applyChangeCommand,
  approveChangeCommand,
  breakGlassCommand,
  cancelChangeCommand,
  editChangeCommand,
  newChangeId,
  openChangeCommand,
  rejectChangeCommand,
  reviewChangeCommand,
  submitChangeCommand,
} from './commands.ts'
import { CHANGE_STATES } from './lifecycle.ts'
import { changeSchema, viewChange } from './view.ts'

const MAX_ITEMS = 100

const item = z.object({
  action: z.string().max(64).openapi({ example: 'rule.set' }),
  input: z.record(z.string(), z.unknown()).openapi({
    description: 'The path parameters and body of the command’s own route, without reason and ticket.',
    example: { flag: 'new-editor', environment: 'production', access: 'some', percentage: 10 },
  }),
})
const items = z.array(item.strict()).min(1).max(MAX_ITEMS)
const applyAt = instant
  .nullable()
  .openapi({ description: 'When to apply it automatically, if it is approved.' })

const opening = z.object({
  items,
  apply_at: applyAt.default(null),
  draft: z.boolean().default(false).openapi({ description: 'Not ready for review.' }),
  ...why,
})
const editing = z.object({ items: items.optional(), apply_at: applyAt.optional(), ...why })
const approving = z.object({
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .openapi({ description: 'The `digest` of the change request that you read.' }),
  ...why,
  reason: reasonText.default('Approved'),
})
const justWhy = z.object(why)
const applying = z.object({ ...why, reason: reasonText.default('Applied as approved') })

const changeParams = z.object({ change: z.string().regex(/^change_[\w-]{1,64}$/) })

const listQuery = z.object({
  ...pageQuery,
  state: z.enum(CHANGE_STATES).optional(),
  kind: z.enum(['change', 'break_glass']).optional(),
  author: z.string().max(256).optional(),
  environment: environmentName.optional(),
  unreviewed: z.enum(['true']).optional().openapi({
    description: 'Only break-glass changes that nobody else has reviewed yet.',
  }),
})

export function changeRoutes(api: Api): void {
  read(api, {
    path: '/changes',
    tag: 'Approvals',
    summary: 'List change requests, latest first',
    roles: READERS,
    query: listQuery,
    answer: pageOf(changeSchema),
    async read({ query, control: { db, config }, actor }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const [at = '', id = ''] = after.value?.split(' ') ?? []
      const { created_at } = change_requests
      const conditions: (SQL | undefined)[] = [
        after.value === undefined
          ? undefined
          : or(lt(created_at, at), and(eq(created_at, at), lt(change_requests.id, id))),
        query.state ? eq(change_requests.state, query.state) : undefined,
        query.kind ? eq(change_requests.kind, query.kind) : undefined,
        query.author ? eq(change_requests.author, query.author) : undefined,
        query.environment ? isAbout(query.environment) : undefined,
        query.unreviewed
          ? and(eq(change_requests.kind, 'break_glass'), isNull(change_requests.reviewed_at))
          : undefined,
        actor.environments === null ? undefined : within(environmentsFor(actor, config.environments)),
      ]
      const rows = await db
        .select()
        .from(change_requests)
        .where(and(...conditions))
        .orderBy(desc(created_at), desc(change_requests.id))
        .limit(query.limit + 1)
      const page = toPage(rows, query.limit, (row) => `${row.created_at} ${row.id}`)
      return ok({ ...page, data: page.data.map(shown) })
    },
  })

  write<typeof opening, ChangeRequestEdit>(api, {
    method: 'post',
    path: '/changes',
    tag: 'Approvals',
    summary: 'Create a change request: several commands, applied together or not at all',
    description:
      'A single write that requires approval becomes a change request by itself. Use this for several writes at once, for a set time, or for a draft. Where no policy requires approval, it is approved at once.',
    roles: RESPONDERS,
    body: opening,
    data: changeSchema,
    status: 201,
    command: ({ body, control }) =>
      openChangeCommand(
        { id: newChangeId(), items: body.items, applyAt: body.apply_at, draft: body.draft },
        because(body),
        control.commands,
      ),
    view: viewChange,
  })

  read(api, {
    path: '/changes/{change}',
    tag: 'Approvals',
    summary: 'Get a change request',
    roles: READERS,
    params: changeParams,
    answer: changeSchema,
    async read({ params, control: { db }, actor }) {
      const [row] = await db.select().from(change_requests).where(eq(change_requests.id, params.change))
      const visible = row && environmentsFor(actor, row.environments).length === row.environments.length
      return row && visible ? ok(shown(row)) : err('not_found')
    },
  })

  write<typeof editing, ChangeRequestEdit, typeof changeParams>(api, {
    method: 'patch',
    path: '/changes/{change}',
    tag: 'Approvals',
    summary: 'Edit a change request; clears its approvals',
    roles: RESPONDERS,
    params: changeParams,
    body: editing,
    data: changeSchema,
    ifMatch: 'required',
    command: ({ params, body, control }) =>
      editChangeCommand(
        params.change,
        { items: body.items, applyAt: body.apply_at },
        because(body),
        control.commands,
      ),
    view: viewChange,
  })

  verbs(api)
  breakGlass(api)
}

function verbs(api: Api): void {
  write<typeof justWhy, ChangeRequestEdit, typeof changeParams>(api, {
    ...verb('submit', 'Submit a draft, or resubmit a stale change request'),
    roles: RESPONDERS,
    body: justWhy,
    command: ({ params, body, control }) =>
      submitChangeCommand(params.change, because(body), control.commands),
  })
  write<typeof approving, ChangeRequestEdit, typeof changeParams>(api, {
    ...verb('approve', 'Approve a change request, with the digest that you read'),
    roles: APPROVERS,
    body: approving,
    command: ({ params, body, control }) =>
      approveChangeCommand(params.change, body.digest, because(body), control.commands),
    failure: staleness,
  })
  write<typeof justWhy, ChangeRequestEdit, typeof changeParams>(api, {
    ...verb('reject', 'Reject a change request'),
    roles: APPROVERS,
    body: justWhy,
    command: ({ params, body }) => rejectChangeCommand(params.change, because(body)),
  })
  write<typeof justWhy, ChangeRequestEdit, typeof changeParams>(api, {
    ...verb('cancel', 'Cancel a change request; admins may cancel anybody’s'),
    roles: RESPONDERS,
    body: justWhy,
    command: ({ params, body }) => cancelChangeCommand(params.change, because(body)),
  })
  write<typeof applying, ChangeRequestEdit, typeof changeParams>(api, {
    ...verb('apply', 'Apply an approved change request, if its effect is still the same'),
    roles: [...new Set([...EDITORS, ...APPROVERS, ...RESPONDERS])],
    body: applying,
    command: ({ params, body, control }) =>
      applyChangeCommand(params.change, because(body), control.commands),
    failure: notApplied,
  })
  write<typeof justWhy, ChangeRequestEdit, typeof changeParams>(api, {
    ...verb('review', 'Review a break-glass change'),
    roles: APPROVERS,
    body: justWhy,
    command: ({ params, body }) => reviewChangeCommand(params.change, because(body)),
  })
}

function breakGlass(api: Api): void {
  write<typeof breakGlassBody, ChangeRequestEdit>(api, {
    method: 'post',
    path: '/break-glass',
    tag: 'Approvals',
    summary: 'Break glass: allow or deny a flag at once, for at most 4 hours, to be reviewed afterwards',
    description: '`GET /changes?unreviewed=true` lists what somebody else must still review.',
    roles: BREAKERS,
    body: breakGlassBody,
    data: changeSchema,
    status: 201,
    command: ({ body, control: { clock, commands } }) =>
      breakGlassCommand(newChangeId(), breakGlassItem(body, clock()), because(body), commands),
    view: viewChange,
  })
}

const verb = (name: string, summary: string) => ({
  method: 'post' as const,
  path: `/changes/{change}/${name}`,
  tag: 'Approvals',
  summary,
  params: changeParams,
  data: changeSchema,
  view: viewChange,
})

const staleness = ({ state }: ChangeRequestRow) => (state === 'stale' ? 'change_stale' : undefined)

/** Why what was to be applied was not: the request says what has become of it. */
const notApplied = ({ state }: ChangeRequestRow) =>
  state === 'stale' ? 'change_stale' : state === 'in_review' ? 'approvals_missing' : undefined

const shown = (row: ChangeRequestRow) => viewChange(row) as z.input<typeof changeSchema>

const isAbout = (environment: string): SQL =>
  sql`EXISTS (SELECT 1 FROM json_each(${change_requests.environments}) AS e WHERE e.value = ${environment})`

/** Whether the request concerns only these environments. */
const within = (environments: readonly string[]): SQL =>
  sql`NOT EXISTS (SELECT 1 FROM json_each(${change_requests.environments}) AS e
      WHERE e.value NOT IN ${list(environments)})`
