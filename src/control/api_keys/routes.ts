/**
 * The routes of API keys: created by an admin for an owner, with one role and some environments, for a year at most. No key
 * can create another, which could live longer, reach further, and survive the revocation of the first.
 *
 * The key is in the first response only. The hash of its secret is stored in a column that no response and no audit row
 * shows.
 */
import { z } from '@hono/zod-openapi'
import { and, asc, eq, gt } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import { apiKeyText, makeApiKey } from '../auth/secrets.ts'
import { sha256Hex } from '../canonical.ts'
import type { ApiKeyRow } from '../db/rows.ts'
import { api_keys } from '../db/schema.ts'
import type { EditOf } from '../entities/edit.ts'
import { DAY_MS, environmentName, instant, shortText, storedInstant, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because, type Command } from '../ledger/command.ts'
import { ADMINS } from '../roles.ts'

const MAX_KEY_DAYS = 365

type KeyEdit = EditOf<'api_keys'>

/** Without approver and break-glass, which take a person. */
const role = z.enum(['viewer', 'editor', 'admin'])

const keyRole = z.enum(['viewer', 'editor', 'approver', 'admin'])

/** Names under which parts of the control plane act, and the audit log shows them. */
const RESERVED =
  /^system:(?:scheduler|inbox|drift|bootstrap|policies|stripe|standard|workos|contract)(?:[:/-]|$)/i

const keyCreation = z.object({
  name: shortText,
  owner: z
    .string()
    .regex(/^(user|system):[\w.:@|+~-]{1,128}$/)
    .openapi({ description: 'The person or system that the key acts for.', example: 'system:ci' }),
  role,
  environments: z
    .array(environmentName)
    .min(1)
    .nullable()
    .default(null)
    .openapi({ description: 'null: all.' }),
  ends_at: instant,
  ...why,
})

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
    async decide({ now, environments, actor }) {
      if (actor.apiKey !== null) return err('person_required')
      if (RESERVED.test(body.owner)) return err('key_owner_reserved')
      const endsAt = Date.parse(body.ends_at)
      if (endsAt <= now || endsAt > now + MAX_KEY_DAYS * DAY_MS) return err('key_lifetime')
      if (body.environments?.some((name) => !environments.includes(name))) return err('environment_unknown')
      const at = new Date(now).toISOString()
      const { name, owner, role, ends_at } = body
      const after = {
        id: made.id,
        name,
        owner,
        role,
        environments: body.environments,
        ends_at,
        created_by: actor.id,
        secret_hash: await sha256Hex(made.secret),
        created_at: at,
        updated_at: at,
        revoked_at: null,
        revision: 1,
      }
      return ok({ table: 'api_keys', before: null, after })
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
