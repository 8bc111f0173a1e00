/**
 * The routes of API keys: created by an admin for an owner, with one role and some environments, for a year at most. No key
 * can create another, which could live longer, reach further, and survive the revocation of the first.
 */
import { z } from '@hono/zod-openapi'
import { and, asc, eq, gt } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import { apiKeyRow, newApiKey } from '../auth/new_api_key.ts'
import { apiKeyText, makeApiKey } from '../auth/secrets.ts'
import type { ApiKeyRow } from '../db/rows.ts'
import { api_keys } from '../db/schema.ts'
import type { EditOf } from '../entities/edit.ts'
import { storedInstant, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because, type Command } from '../ledger/command.ts'
import { ADMINS } from '../roles.ts'

type KeyEdit = EditOf<'api_keys'>

const keyRole = z.enum(['viewer', 'editor', 'approver', 'admin'])

const keyCreation = newApiKey.extend(why)

const keySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    owner: z.string(),
    created_by: z.string().nullable(),
    role: keyRole.openapi({
      description: '`approver`: made before approving took a person; it approves nothing.',
    }),
    environments: z.array(z.string()).nullable(),
    created_at: storedInstant,
    updated_at: storedInstant,
    ends_at: storedInstant,
    revoked_at: storedInstant.nullable(),
    revision: z.int(),
  })
  .openapi('ApiKey')

const keyParams = z.object({ key: z.string().regex(/^[a-z0-9]{16}$/) })
const revocation = z.object(why)

const view = ({ secret_hash: _, environments, ...key }: ApiKeyRow) => ({
  ...key,
  environments: environments ?? null,
})

function createKeyCommand(body: z.output<typeof keyCreation>): { command: Command<KeyEdit>; secret: string } {
  const made = makeApiKey()
  const command: Command<KeyEdit> = {
    action: 'api_key.create',
    ...because(body),
    async decide(facts) {
      const { actor } = facts
      if (actor.apiKey !== null) return err('person_required')
      const row = await apiKeyRow(body, made, actor.id, facts)
      return row.ok ? ok({ table: 'api_keys', before: null, after: row.value }) : row
    },
  }
  return { command, secret: apiKeyText(made) }
}

const revokeKeyCommand = (id: string, why: Pick<Command, 'reason' | 'ticket'>): Command<KeyEdit> => ({
  action: 'api_key.revoke',
  ...why,
  async decide({ state: { db }, now }) {
    const [before] = await db.select().from(api_keys).where(eq(api_keys.id, id))
    if (!before) return err('not_found')
    if (before.revoked_at !== null) return err('key_revoked')
    const at = new Date(now).toISOString()
    const after = { ...before, revoked_at: at, updated_at: at, revision: before.revision + 1 }
    return ok({ table: 'api_keys', before, after })
  },
})

export function keyRoutes(api: Api): void {
  read(api, {
    path: '/api-keys',
    tag: 'API keys',
    summary: 'List API keys, without their secrets',
    roles: ADMINS,
    everywhere: true,
    query: z.object({ ...pageQuery, role: keyRole.optional() }),
    answer: pageOf(keySchema),
    async read({ query, control }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const rows = await control.db
        .select()
        .from(api_keys)
        .where(
          and(
            after.value === undefined ? undefined : gt(api_keys.id, after.value),
            query.role && eq(api_keys.role, query.role),
          ),
        )
        .orderBy(asc(api_keys.id))
        .limit(query.limit + 1)
      const page = toPage(rows, query.limit, ({ id }) => id)
      return ok({ ...page, data: page.data.map(view) })
    },
  })

  write<typeof keyCreation, KeyEdit>(api, {
    method: 'post',
    path: '/api-keys',
    tag: 'API keys',
    summary: 'Create an API key; only this response shows it, as `secret`',
    roles: ADMINS,
    body: keyCreation,
    data: keySchema,
    status: 201,
    command: ({ body }) => createKeyCommand(body),
    view,
  })

  write<typeof revocation, KeyEdit, typeof keyParams>(api, {
    method: 'post',
    path: '/api-keys/{key}/revoke',
    tag: 'API keys',
    summary: 'Revoke an API key at once',
    roles: ADMINS,
    params: keyParams,
    body: revocation,
    data: keySchema,
    command: ({ params, body }) => revokeKeyCommand(params.key, because(body)),
    view,
  })
}
