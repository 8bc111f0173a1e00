/**
 * A route that gives a command. A member or parameter that it does not know is refused: who misspells `dry_run` or
 * `percentage` must not find out by what has happened.
 */
import { createRoute, z } from '@hono/zod-openapi'
import type { Actor } from '../auth/actor.ts'
import type { Contradicted } from '../change_requests/assess.ts'
import { type ChangeEdit, newChangeId, openChangeCommand } from '../change_requests/commands.ts'
import { changeSchema, viewChange } from '../change_requests/view.ts'
import type { ChangeRequestRow } from '../db/rows.ts'
import { effectSchema } from '../effects/view.ts'
import { documentsOf, type Edit } from '../entities/edit.ts'
import type { Command } from '../ledger/command.ts'
import { type Outcome, type Submission, submit } from '../ledger/commit.ts'
import { claimOf, type Replay } from '../ledger/idempotency.ts'
import type { Refusal } from '../refusals.ts'
import type { Api, Control, ControlContext } from './context.ts'
import { NO_STORE, refuse } from './problem.ts'

import {
  described,
  inputOf,
  json,
  type Nothing,
  nothing,
  PROBLEMS,
  type RouteBase,
  type Shape,
  valid,
} from './route.ts'
export interface WriteRoute<P extends Shape, B extends Shape, E extends Edit>
  extends RouteBase<P, typeof dryRunQuery> {
  readonly method: 'post' | 'put' | 'patch'
  readonly body: B
  /** The row in the answer. */
  readonly data: z.ZodType
  /** Of the first time; 200 where it only changes something. */
  readonly status?: 200 | 201
  /** `required`: the caller must have read the row; otherwise `If-Match` is only honoured. */
  readonly ifMatch?: 'required'
  command(input: {
    params: z.output<P>
    body: z.output<B>
    actor: Actor
    control: Control
    dryRun: boolean
  }): Command<E> | ShownOnce<E>
  /** @param detail - what the command has told besides */
  view(row: E['after'], detail: unknown): unknown
  /** Why a command that was carried out has not come to what was asked for. */
  failure?(row: E['after']): Refusal | undefined
}

/** A command whose first answer holds a secret that is kept nowhere. */
export interface ShownOnce<E extends Edit> {
  readonly command: Command<E>
  readonly secret: string
}

const dryRunQuery = z.object({
  dry_run: z
    .enum(['true', 'false'])
    .default('false')
    .openapi({ description: 'Return the effective diff, and change nothing.' }),
})

const writeHeaders = z.object({
  'if-match': z.string().optional().openapi({ description: 'The `ETag` of the row that was read.' }),
  'idempotency-key': z.string().optional().openapi({
    description: 'A repeated write with the same key gets the first response again, for 24 hours.',
  }),
})

/**
 * A command. Its answer is the row, the effective diff, and the `seq` of the audit row; or, with 202, the change request
 * that it became because the policy of an environment wants it approved.
 */
export function write<B extends Shape, E extends Edit, P extends Shape = Nothing>(
  api: Api,
  route: WriteRoute<P, B, E>,
): void {
  const { status = 200 } = route
  const definition = createRoute({
    method: route.method,
    ...described(route),
    request: {
      params: route.params ?? nothing,
      query: dryRunQuery.strict(),
      headers: writeHeaders,
      body: { required: true, content: json(route.body.strict()) },
    },
    responses: {
      200: { description: 'Changed, or the result of a dry run', content: json(changeOf(route.data)) },
      ...(status === 201 && { 201: { description: 'Created', content: json(changeOf(route.data)) } }),
      202: {
        description: 'Not applied: it became a change request, because a policy requires approval',
        content: json(changeOf(changeSchema).omit({ requires_approval: true })),
      },
      ...PROBLEMS,
    },
  })
  api.openapi(definition, ((c: ControlContext) => execute(c, route)) as never)
}

const changeOf = (data: z.ZodType) =>
  z.object({
    data,
    effect: effectSchema,
    seq: z.int().nullable().openapi({ description: 'The audit row; null: nothing was changed.' }),
    dry_run: z.boolean(),
    requires_approval: z.array(z.string()).openapi({
      description: 'The environments whose policies require approval.',
    }),
  })

async function execute<P extends Shape, B extends Shape, E extends Edit>(
  c: ControlContext,
  route: WriteRoute<P, B, E>,
): Promise<Response> {
  const { params, query, control, actor } = inputOf<P, typeof dryRunQuery>(c)
  const ifMatch = revisionOf(c.req.header('if-match'))
  if (ifMatch === undefined && route.ifMatch === 'required') return refuse(c, 'revision_required')
  const body = valid(c, 'json') as z.output<B>
  const dryRun = query.dry_run === 'true'
  const made = route.command({ params, body, actor, control, dryRun })
  const [command, secret] = 'secret' in made ? [made.command, made.secret] : [made, undefined]
  const asked = [c.req.method, c.req.url, c.req.header('if-match') ?? '', await c.req.text()]
  const claim = await claimOf(dryRun ? undefined : c.req.header('idempotency-key'), actor, asked)
  if (!claim.ok) return refuse(c, claim.reason)

  const submission = {
    db: control.db,
    clock: control.clock,
    environments: control.config.environments,
    actor,
    requestId: c.var.log.request_id,
    idempotency: claim.value,
  }
  const answer = ({ edit, effect, seq, guarded, detail }: Outcome<E>): Replay | undefined =>
    route.failure?.(edit.after) !== undefined
      ? undefined
      : {
          status: seq !== null && edit.before === null ? (route.status ?? 200) : 200,
          // What a dry run shows is not there to be matched.
          etag: dryRun ? null : `"${edit.after.revision}"`,
          body: JSON.stringify({
            ...{ data: route.view(edit.after, detail), effect, seq, dry_run: dryRun },
            requires_approval: guarded,
          }),
        }
  const submitted = await submit({ ...submission, command, ifMatch, dryRun, answer })
  if (!submitted.ok && submitted.reason === 'approval_required') return askFor(c, command, submission)
  if (!submitted.ok) return refuse(c, submitted.reason, undefined, contradictionsIn(submitted))
  if ('replay' in submitted.value) return replay(submitted.value.replay)
  const { outcome } = submitted.value
  committed(c, outcome)
  const answered = answer(outcome)
  if (!answered) return refuse(c, route.failure?.(outcome.edit.after) ?? 'not_found')
  const shown = secret !== undefined && outcome.seq !== null
  return send({ ...answered, body: shown ? withSecret(answered.body, secret) : answered.body }, {})
}

/** What must not be done at once is asked for: the command becomes a change request of its author's. */
async function askFor<E extends Edit>(
  c: ControlContext,
  { action, input, reason, ticket }: Command<E>,
  submission: Omit<Submission<never>, 'command'>,
): Promise<Response> {
  const items = [{ action, input }]
  const change = { id: newChangeId(), items, applyAt: null, draft: false }
  const command = openChangeCommand(change, { reason, ticket }, c.var.control.commands)
  const answer = ({ edit: { after }, seq }: Outcome<ChangeEdit>) => ({
    status: 202,
    etag: `"${after.revision}"`,
    body: JSON.stringify({ data: viewChange(after), effect: after.effect, seq, dry_run: false }),
  })
  const submitted = await submit({ ...submission, command, answer })
  if (!submitted.ok) return refuse(c, submitted.reason)
  if ('replay' in submitted.value) return replay(submitted.value.replay)
  const { outcome } = submitted.value
  committed(c, outcome)
  return send(answer(outcome), { location: `/api/v1/changes/${outcome.edit.after.id}` })
}

const contradictionsIn = (refused: { reason: Refusal } & Partial<Pick<Contradicted, 'contradictions'>>) =>
  refused.contradictions

/** Tells the log and the publishers. */
function committed(c: ControlContext, { seq, edits }: Outcome<Edit>): void {
  if (seq === null) return
  c.var.log.seq = seq
  const { config, wake, wakeScheduler } = c.var.control
  const touched = edits.flatMap((edit) => documentsOf(edit, config.environments))
  wake([...new Set(touched.map(({ environment }) => environment))])
  for (const { table, after } of edits) {
    if (table !== 'change_requests') continue
    const { state, apply_at } = after as ChangeRequestRow
    if (state === 'scheduled' && apply_at !== null) wakeScheduler(Date.parse(apply_at))
  }
}

const replay = (kept: Replay): Response => send(kept, { 'idempotency-replayed': 'true' })

const withSecret = (body: string, secret: string): string => JSON.stringify({ ...JSON.parse(body), secret })

const send = (
  { status, etag, body }: { status: number; etag: string | null; body: string },
  headers: Record<string, string>,
): Response =>
  new Response(body, {
    status,
    headers: { 'content-type': 'application/json', ...NO_STORE, ...(etag !== null && { etag }), ...headers },
  })

/** `If-Match: "3"`, or 3 as people type it; anything else that is sent matches nothing. */
function revisionOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const digits = /^"?(\d{1,15})"?$/.exec(header)?.[1]
  return digits === undefined ? -1 : Number(digits)
}
