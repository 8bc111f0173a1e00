/** The routes of the mint log: why a token held a flag, and what an organization's tokens held over time. */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import type { MintRow } from '../db/rows.ts'
import { candidateSchema } from '../effects/view.ts'
import { environmentName, externalId, flagKey, instant, storedInstant } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { READERS } from '../roles.ts'
import { findMint, listMints, MINT_LOG_DAYS, UNKNOWN_ENVIRONMENT } from './store.ts'
import { traceMint } from './trace.ts'

const mint = {
  jti: z.string(),
  upstream_jti: z.string().nullable(),
  environment: z.string(),
  org: z.string().nullable(),
  sub: z.string().nullable(),
  sid: z.string().nullable(),
  client: z.string().nullable(),
  flags: z.array(z.string()),
  ver: z.string().openapi({
    example: '87.12',
    description:
      'Versions of the catalog’s, the organization’s and the user’s document: numbers of audit rows.',
  }),
  src: z.enum(['fresh', 'stale', 'degraded']),
  minted_at: storedInstant,
  expires_at: storedInstant,
  request_id: z.string(),
}

const changeSchema = z.object({
  id: z.string(),
  state: z.string(),
  kind: z.string(),
  author: z.string(),
  ticket: z.string().nullable(),
  reason: z.string(),
  approvals: z.array(z.object({ actor: z.string(), at: storedInstant })),
  reviewed_by: z.string().nullable(),
  applied_at: storedInstant.nullable(),
})

const evidenceSchema = z
  .object({
    seq: z.int(),
    at: storedInstant,
    action: z.string(),
    entity: z.string(),
    environment: z.string().nullable(),
    actor: z.string(),
    api_key: z.string().nullable(),
    reason: z.string(),
    ticket: z.string().nullable(),
    change: changeSchema.nullable().openapi({ description: 'The change request that it belongs to.' }),
  })
  .openapi('Evidence')

const traceSchema = z
  .object({
    ...mint,
    agrees: z.boolean().openapi({
      description: 'Whether the documents that the token names give exactly these flags.',
    }),
    differences: z.object({
      extra: z.array(z.string()).openapi({ description: 'In the token, but not by evaluation.' }),
      missing: z.array(z.string()).openapi({ description: 'By evaluation, but not in the token.' }),
    }),
    why: z.array(
      z.object({
        flag: z.string(),
        held: z.boolean(),
        on: z.boolean().openapi({ description: 'Whether it is on by evaluation.' }),
        reason: z.string().openapi({
          description:
            'As in an explanation; also `degraded`: the documents could not be read; `not_in_catalog`: not a published flag.',
        }),
        funded_by: candidateSchema.nullable(),
        ends_at: z.string().nullable(),
        evidence: z.array(evidenceSchema).openapi({ description: 'The audit rows that caused it.' }),
        withheld: z.int().openapi({ description: 'Audit rows that the API key may not see.' }),
      }),
    ),
  })
  .openapi('TokenTrace')

const tokensSchema = pageOf(z.object(mint).openapi('Mint')).extend({
  losses: z
    .array(
      z.object({
        environment: z.string(),
        reason: z.enum(['dropped', 'unreadable']),
        count: z.int(),
        last_at: storedInstant,
      }),
    )
    .openapi({ description: 'Tokens that are missing from the log, of all organizations and times.' }),
})

/** The form of the cursor: `2026-11-22T09:00:00.000Z jti`. */
const CURSOR = /^(\d{4}-\d{2}-\d{2}T[\d:.]{12}Z) ([\x21-\x7e]{1,200})$/

export function tokenRoutes(api: Api): void {
  read(api, {
    path: '/tokens/{jti}',
    tag: 'Mint log',
    summary: 'Explain why a token held its flags',
    description: `The token is evaluated again from the documents that it names. Tokens are kept for ${MINT_LOG_DAYS} days.`,
    roles: READERS,
    params: z.object({ jti: z.string().min(1).max(200) }),
    query: z.object({
      flag: flagKey
        .optional()
        .openapi({ description: 'Only this flag; also why the token did not hold it.' }),
    }),
    answer: traceSchema,
    async read({ params: { jti }, query: { flag }, control, actor }) {
      const found = await findMint(control.db, jti)
      if (!found || environmentsFor(actor, [found.environment]).length === 0) return err('token_unknown')
      const trace = await traceMint(control.db, found, { flag, environments: actor.environments })
      return ok({ ...found, ...trace } as z.input<typeof traceSchema>)
    },
  })

  read(api, {
    path: '/orgs/{org}/tokens',
    tag: 'Mint log',
    summary: 'List the tokens of an organization and their flags, newest first',
    description: `Tokens are kept for ${MINT_LOG_DAYS} days. \`losses\` counts those that are missing from the log.`,
    roles: READERS,
    params: z.object({ org: externalId }),
    query: z.object({
      ...pageQuery,
      environment: environmentName.optional(),
      flag: flagKey.optional().openapi({ description: 'Only tokens that held this flag.' }),
      sub: z.string().min(1).max(512).optional(),
      since: instant.optional(),
      until: instant.optional(),
    }),
    answer: tokensSchema,
    async read({ params: { org }, query, control, actor }) {
      const { environment, flag, sub, since, until, limit } = query
      if (environment !== undefined && !control.config.environments.includes(environment)) {
        return err('environment_unknown')
      }
      const after = lastOf(query.cursor)
      if (!after.ok) return after
      const environments = environment === undefined ? actor.environments : [environment]
      // Losses of unknown origin may belong to any environment.
      const lossesOf =
        actor.environments === null && environments !== null
          ? [...environments, UNKNOWN_ENVIRONMENT]
          : environments
      const { rows, losses } = await listMints(control.db, {
        org,
        environments,
        lossesOf,
        flag,
        sub,
        since,
        until,
        limit,
        after: after.value,
      })
      const page = toPage(rows, limit, (row) => `${row.minted_at} ${row.jti}`)
      return ok({ ...page, losses })
    },
  })
}

function lastOf(
  cursor: string | undefined,
): Result<Pick<MintRow, 'minted_at' | 'jti'> | undefined, 'cursor_invalid'> {
  const after = afterCursor(cursor)
  if (!after.ok || after.value === undefined) return after.ok ? ok(undefined) : after
  const [, minted_at, jti] = CURSOR.exec(after.value) ?? []
  return minted_at === undefined || jti === undefined ? err('cursor_invalid') : ok({ minted_at, jti })
}
