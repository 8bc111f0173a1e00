/** The routes of the inbox: list events and their outcomes, replay and dismiss them. */
import { z } from '@hono/zod-openapi'
import { and, desc, eq, inArray, isNull, lt, notInArray, or } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { InboxRow } from '../db/rows.ts'
import { inbox } from '../db/schema.ts'
import { externalId, reasonText, storedInstant } from '../entities/fields.ts'
import { act } from '../http/action.ts'
import type { Api, Control } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { EDITORS, READERS } from '../roles.ts'
import { eventIdParam, sourceName } from './fields.ts'
import { parseEvent } from './inbox/parse.ts'
import { eventOf, findEvent, UNSETTLED } from './inbox/store.ts'
import { quarantineSchema, readQuarantine } from './quarantine.ts'
import { reconcile } from './reconcile.ts'
import { reconciliationBody, reconciliationSchema } from './reconcile_schemas.ts'
import { readJson } from './signature.ts'

/** Events replayed by one call. */
const REPLAYED = 50
/** Problems where two events contradict each other: one of the two is wrong. */
const CONTRADICTIONS = ['event_id_reused', 'revision_conflict', 'contract_revision_conflict']
const OPEN: InboxRow['state'][] = [...UNSETTLED]
const STATES = [
  ...(['received', 'applied', 'ignored', 'superseded', 'waiting', 'quarantined', 'dismissed'] as const),
] as const

const eventParams = z.object({
  source: sourceName,
  event: eventIdParam,
})

const inboxSchema = z
  .object({
    source: z.string(),
    event_id: z.string(),
    type: z.string(),
    state: z.enum(STATES),
    problem: z.string().nullable().openapi({ description: 'Why it is not applied: a code.' }),
    detail: z
      .string()
      .nullable()
      .openapi({ description: 'More about the problem: the unmapped name, or the place in the payload.' }),
    entity: z.string().nullable(),
    org: z.string().nullable(),
    revision: z.number().nullable(),
    occurred_at: storedInstant.nullable(),
    received_at: storedInstant,
    settled_at: storedInstant.nullable(),
    attempts: z.int(),
    seq: z.int().nullable().openapi({ description: 'The last audit row of its effect.' }),
    system: z.string().nullable().openapi({ description: 'The system behind the source that sent it.' }),
    person: z
      .string()
      .nullable()
      .openapi({ description: 'The person behind it, as the source names people.' }),
    asked_by: z.string().nullable().openapi({ description: 'Who requested the query of the source.' }),
    needs: z.array(z.string()).nullable().openapi({
      description: 'Names that are unknown here. The event is retried when one of them is created or mapped.',
    }),
    dismissed_by: z.string().nullable(),
    dismissed_reason: z.string().nullable(),
  })
  .openapi('InboxEvent')

const withBody = inboxSchema.extend({ body: z.unknown() }).openapi('InboxEventWithBody')

const settledSchema = z
  .object({
    event_id: z.string(),
    state: z.enum(STATES),
    problem: z.string().nullable(),
    detail: z.string().nullable(),
    version: z.int().nullable(),
    duplicate: z.boolean(),
  })
  .openapi('SettledEvent')

export function inboxRoutes(api: Api): void {
  read(api, {
    path: '/inbox',
    tag: 'Contract sync',
    summary: 'List webhook events, latest first',
    description: '`state=quarantined` lists events that somebody must look at.',
    roles: READERS,
    query: z.object({
      ...pageQuery,
      state: z
        .enum([...STATES, 'open'])
        .optional()
        .openapi({ description: '`open`: received, quarantined or waiting.' }),
      source: sourceName.optional(),
      problem: z.string().max(100).optional().openapi({ example: 'price_unknown' }),
      type: z.string().max(128).optional().openapi({ example: 'customer.subscription.updated' }),
      org: externalId.optional(),
      entity: z.string().max(200).optional().openapi({ example: 'contract:C-9' }),
    }),
    answer: pageOf(inboxSchema).extend({
      quarantine: quarantineSchema.openapi({
        description: 'What somebody must look at, whatever the filters.',
      }),
    }),
    async read({ query, control: { db }, actor }) {
      // An event concerns every environment.
      if (actor.environments !== null) return err('environment_forbidden')
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const [at = '', id = ''] = after.value?.split(' ') ?? []
      const rows = await db
        .select()
        .from(inbox)
        .where(
          and(
            after.value === undefined
              ? undefined
              : or(lt(inbox.received_at, at), and(eq(inbox.received_at, at), lt(inbox.event_id, id))),
            query.state === 'open' ? inArray(inbox.state, OPEN) : query.state && eq(inbox.state, query.state),
            query.source === undefined ? undefined : eq(inbox.source, query.source),
            query.org === undefined ? undefined : eq(inbox.org, query.org),
            query.entity === undefined ? undefined : eq(inbox.entity, query.entity),
            query.problem === undefined ? undefined : eq(inbox.problem, query.problem),
            query.type === undefined ? undefined : eq(inbox.type, query.type),
          ),
        )
        .orderBy(desc(inbox.received_at), desc(inbox.event_id))
        .limit(query.limit + 1)
      const page = toPage(rows, query.limit, (row) => `${row.received_at} ${row.event_id}`)
      return ok({ ...page, data: page.data.map(view), quarantine: await readQuarantine(db) })
    },
  })

  read(api, {
    path: '/inbox/{source}/{event}',
    tag: 'Contract sync',
    summary: 'Get an event as its source sent it, personal data included',
    roles: EDITORS,
    params: eventParams,
    answer: withBody,
    async read({ params, control, actor }) {
      if (actor.environments !== null) return err('environment_forbidden')
      const row = await findEvent(control.db, params.source, params.event)
      return row ? ok({ ...view(row), body: readJson(row.body) ?? row.body }) : err('not_found')
    },
  })

  act(api, {
    path: '/inbox/{source}/{event}/replay',
    tag: 'Contract sync',
    summary: 'Replay an event that is in quarantine or waiting, after adding what was missing',
    roles: EDITORS,
    params: eventParams,
    answer: settledSchema,
    async act({ params, control, actor }) {
      // Its effect concerns all environments.
      if (actor.environments !== null) return err('environment_forbidden')
      const row = await findEvent(control.db, params.source, params.event)
      if (!row) return err('not_found')
      return OPEN.includes(row.state) ? replay(control, row) : err('event_settled')
    },
  })

  act(api, {
    path: '/inbox/{source}/{event}/dismiss',
    tag: 'Contract sync',
    summary: 'Dismiss an event in quarantine',
    roles: EDITORS,
    params: eventParams,
    body: z.object({ reason: reasonText }),
    answer: inboxSchema,
    async act({ params, body: { reason }, control: { db, clock }, actor }) {
      if (actor.environments !== null) return err('environment_forbidden')
      const [row] = await db
        .update(inbox)
        .set({
          state: 'dismissed',
          dismissed_by: actor.id,
          dismissed_reason: reason,
          settled_at: new Date(clock()).toISOString(),
        })
        .where(
          and(eq(inbox.source, params.source), eq(inbox.event_id, params.event), inArray(inbox.state, OPEN)),
        )
        .returning()
      if (row) return ok(view(row))
      return err((await findEvent(db, params.source, params.event)) ? 'event_settled' : 'not_found')
    },
  })

  act(api, {
    path: '/inbox/replay',
    tag: 'Contract sync',
    summary: `Replay up to ${REPLAYED} events that are in quarantine or waiting, those with the fewest attempts first`,
    description: 'Events that contradict another one need a person, and are not replayed.',
    roles: EDITORS,
    body: z.object({ source: sourceName.optional(), problem: z.string().max(100).optional() }),
    answer: z.object({ data: z.array(settledSchema), applied: z.int() }),
    async act({ body: { source, problem }, control, actor }) {
      if (actor.environments !== null) return err('environment_forbidden')
      const rows = await control.db
        .select()
        .from(inbox)
        .where(
          and(
            inArray(inbox.state, OPEN),
            or(isNull(inbox.problem), notInArray(inbox.problem, CONTRADICTIONS)),
            source === undefined ? undefined : eq(inbox.source, source),
            problem === undefined ? undefined : eq(inbox.problem, problem),
          ),
        )
        .orderBy(inbox.attempts, inbox.received_at, inbox.event_id)
        .limit(REPLAYED)
      const data = []
      for (const row of rows) {
        const replayed = await replay(control, row)
        if (!replayed.ok) return replayed
        data.push(replayed.value)
      }
      return ok({ data, applied: data.filter(({ state }) => state === 'applied').length })
    },
  })

  act(api, {
    path: '/reconciliations',
    tag: 'Contract sync',
    summary: 'Reconcile: compare the current state of a source with the contracts here',
    description: 'One page per call: follow `next_cursor`. Nothing is changed without `apply`.',
    roles: EDITORS,
    body: reconciliationBody,
    answer: reconciliationSchema,
    act: ({ body, control, actor }) => reconcile(body, control, actor),
  })
}

async function replay({ inbox: own, sources, clock }: Control, row: InboxRow) {
  const event = eventOf(row)
  return own.deliver(event, await parseEvent(event, sources, clock()))
}

const view = ({ body: _, digest: __, meaning: ___, ...row }: InboxRow) => row
