/** The route of the first hour: with the bootstrap secret as the bearer, it makes the first admin. */
import { z } from '@hono/zod-openapi'
import { newApiKey } from '../auth/new_api_key.ts'
import { apiKeyText, makeApiKey } from '../auth/secrets.ts'
import { sha256Hex } from '../canonical.ts'
import { policyContent } from '../change_requests/policy_schemas.ts'
import { bootstraps } from '../db/people.ts'
import { environmentName, reasonText, shortText, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { NO_STORE, refuse } from '../http/problem.ts'
import { addRoute, type Nothing, nothing } from '../http/route.ts'
import { because } from '../ledger/command.ts'
import { ADMINS } from '../roles.ts'
import { bootstrapCommand } from './bootstrap.ts'
import { subject } from './routes.ts'

const bootstrapping = z.object({
  subject,
  name: shortText.nullable().default(null),
  email: z.email().max(254).nullable().default(null),
  policies: z.record(environmentName, policyContent.strict()).default({}).openapi({
    description: 'The first policies, by environment; others get their default.',
  }),
  api_key: newApiKey
    .strict()
    .optional()
    .openapi({ description: 'A key for tools; shown once, as `secret`.' }),
  ...why,
  reason: reasonText.default('The first admin'),
})

const bootstrapped = z.object({
  subject: z.string(),
  api_key: z.string().nullable().openapi({ description: 'The id of the key.' }),
  secret: z.string().optional(),
  seq: z.int(),
})

export function bootstrapRoutes(api: Api): void {
  const answers = { 201: { description: 'Created', schema: bootstrapped } }
  addRoute<Nothing, Nothing, typeof bootstrapping>(
    api,
    {
      path: '/bootstrap',
      tag: 'People',
      summary: 'Make the first admin of a deployment; the bearer is the bootstrap secret',
      description: 'Works once for each `BOOTSTRAP_SECRET`, and never while there is an admin.',
      roles: ADMINS,
      everywhere: true,
      params: nothing,
      query: nothing,
    },
    { method: 'post', body: bootstrapping, answers },
    async (c, { body, control: { db, ledger, config, clock }, actor }) => {
      const made = makeApiKey()
      const secretHash = await sha256Hex(config.bootstrapSecret ?? '')
      const { subject, name, email, policies, api_key: apiKey } = body
      const wanted = { subject, name, email, policies, apiKey }
      const committed = await ledger.commit(
        bootstrapCommand(wanted, made, secretHash, config.access, because(body)),
        actor,
        {
          requestId: c.var.log.request_id,
          alongside: () => [
            db.insert(bootstraps).values({
              secret_hash: secretHash,
              used_at: new Date(clock()).toISOString(),
            }),
          ],
        },
      )
      if (!committed.ok) return refuse(c, committed.reason)
      const seq = 'seq' in committed.value ? committed.value.seq : null
      const key = apiKey ? { api_key: made.id, secret: apiKeyText(made) } : { api_key: null }
      return c.json({ subject, ...key, seq }, 201, NO_STORE)
    },
  )
}
