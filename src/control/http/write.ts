/**
 * A route that issues a command. Its response is the row, the effective diff, and the `seq` of the audit row; or, with 202,
 * the change request that it became because the policy of an environment requires approval.
 */
import { z } from '@hono/zod-openapi'
import { changeSchema, viewChange } from '../change_requests/view.ts'
import { effectSchema } from '../effects/view.ts'
import type { Edit } from '../entities/edit.ts'
import type { Command } from '../ledger/command.ts'
import type { Outcome } from '../ledger/commit.ts'
import { claimOf } from '../ledger/idempotency.ts'
import type { Refusal } from '../refusals.ts'
import type { Api, ControlContext } from './context.ts'
import { NO_STORE, refuse } from './problem.ts'
import { addRoute, type Input, type Nothing, type RouteBase, type Shape } from './route.ts'

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

type WriteInput<P extends Shape, B extends Shape> = Input<P, typeof dryRunQuery, B>

export interface WriteRoute<P extends Shape, B extends Shape, E extends Edit>
  extends RouteBase<P, typeof dryRunQuery> {
  readonly method: 'post' | 'put' | 'patch'
  readonly body: B
  /** The row in the response. */
  readonly data: z.ZodType
  /** The status if the row is new; 200 if it is only changed. */
  readonly status?: 200 | 201
  /** `required`: the caller must have read the row; otherwise `If-Match` is optional. */
  readonly ifMatch?: 'required'
  command(input: WriteInput<P, B> & { readonly dryRun: boolean }): Command<E> | ShownOnce<E>
  /** @param detail - what the command returned in addition */
  view(row: E['after'], detail: unknown): unknown
  /** Why a committed command did not achieve what was requested. */
  failure?(row: E['after']): Refusal | undefined
}

/** A command whose first response contains a secret that is not stored. */
export interface ShownOnce<E extends Edit> {
  readonly command: Command<E>
  readonly secret: string
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

const REQUESTED = {
  description: 'Not applied: it became a change request, because a policy requires approval',
  schema: changeOf(changeSchema).omit({ requires_approval: true }),
}

export function write<B extends Shape, E extends Edit, P extends Shape = Nothing>(
  api: Api,
  route: WriteRoute<P, B, E>,
): void {
  const schema = changeOf(route.data)
  const answers = {
    200: { description: 'Changed, or the result of a dry run', schema },
    ...(route.status === 201 && { 201: { description: 'Created', schema } }),
    202: REQUESTED,
  }
  addRoute<P, typeof dryRunQuery, B>(
    api,
    { ...route, query: dryRunQuery },
    { method: route.method, body: route.body, headers: writeHeaders, answers },
    (c, input) => execute(c, route, input),
  )
}

async function execute<P extends Shape, B extends Shape, E extends Edit>(
  c: ControlContext,
  route: WriteRoute<P, B, E>,
  input: WriteInput<P, B>,
): Promise<Response> {
  const { control, actor, query } = input
  const dryRun = query.dry_run === 'true'
  const header = c.req.header('if-match')
  if (header === undefined && route.ifMatch === 'required') return refuse(c, 'revision_required')
  const made = route.command({ ...input, dryRun })
  const [command, secret] = 'secret' in made ? [made.command, made.secret] : [made, undefined]
  const request = [c.req.method, c.req.url, header ?? '', await c.req.text()]
  const claim = await claimOf(dryRun ? undefined : c.req.header('idempotency-key'), actor, request)
  if (!claim.ok) return refuse(c, claim.reason)

  const committed = await control.ledger.commit(command, actor, {
    requestId: c.var.log.request_id,
    ifMatch: revisionOf(header),
    dryRun,
    idempotency: claim.value,
    answer(outcome) {
      if (failureOf(route, outcome)) return undefined
      const { status, etag, body } = answerOf(route, outcome)
      return { status, etag, body: JSON.stringify(body) }
    },
  })
  if (!committed.ok) return refuse(c, committed.reason, undefined, committed.contradictions)
  const outcome = committed.value
  if (outcome.kind === 'replayed') {
    return send(outcome.answer, outcome.answer.body, { 'idempotency-replayed': 'true' })
  }
  if (outcome.seq !== null) c.var.log.seq = outcome.seq
  const failure = failureOf(route, outcome)
  if (failure) return refuse(c, failure)
  const { body, headers, ...answer } = answerOf(route, outcome)
  const shown = secret !== undefined && outcome.kind === 'committed' ? { ...body, secret } : body
  return send(answer, JSON.stringify(shown), headers)
}

const failureOf = <P extends Shape, B extends Shape, E extends Edit>(
  { failure }: WriteRoute<P, B, E>,
  { edit, request }: Outcome<E>,
): Refusal | undefined => (request ? undefined : failure?.(edit.after))

function answerOf<P extends Shape, B extends Shape, E extends Edit>(
  route: WriteRoute<P, B, E>,
  { kind, edit, request, effect, seq, guarded, detail }: Outcome<E>,
) {
  if (request) {
    return {
      status: 202,
      etag: `"${request.revision}"`,
      body: { data: viewChange(request), effect: request.effect, seq, dry_run: false },
      headers: { location: `/api/v1/changes/${request.id}` },
    }
  }
  const dryRun = kind === 'dry_run'
  const data = route.view(edit.after, detail)
  return {
    status: kind === 'committed' && edit.before === null ? (route.status ?? 200) : 200,
    // What a dry run shows is not there to be matched.
    etag: dryRun ? null : `"${edit.after.revision}"`,
    body: { data, effect, seq, dry_run: dryRun, requires_approval: guarded },
    headers: {},
  }
}

const send = (
  { status, etag }: { readonly status: number; readonly etag: string | null },
  body: string,
  headers: Readonly<Record<string, string>>,
): Response =>
  new Response(body, {
    status,
    headers: { 'content-type': 'application/json', ...NO_STORE, ...(etag !== null && { etag }), ...headers },
  })

/** `If-Match: "3"`, or 3 as people type it; any other value matches nothing. */
function revisionOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const digits = /^"?(\d{1,15})"?$/.exec(header)?.[1]
  return digits === undefined ? -1 : Number(digits)
}
