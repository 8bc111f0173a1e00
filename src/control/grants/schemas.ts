/** The schemas of grants in requests and responses. */
import { z } from '@hono/zod-openapi'
import { environmentName, externalId, flagKey, instant, storedInstant, why } from '../entities/fields.ts'

const subject = z.object({ kind: z.enum(['org', 'user']), id: externalId })
export const source = z.enum(['override', 'beta', 'support', 'import'])
const effect = z.enum(['allow', 'deny'])

export const grantContent = z.object({
  environment: environmentName,
  subject,
  flag: flagKey,
  effect: effect.default('allow'),
  source,
  from: instant.optional().openapi({ description: 'Default: now.' }),
  to: instant
    .nullable()
    .default(null)
    .openapi({ description: 'Required unless the source is import; at most 365 days ahead.' }),
})
export const grantCreation = grantContent.extend(why)

export const grantSchema = z
  .object({
    id: z.string(),
    environment: z.string(),
    subject: z.object({ kind: z.enum(['org', 'user']), id: z.string() }),
    flag: z.string(),
    effect,
    source,
    reason: z.string(),
    ticket: z.string().nullable(),
    from: storedInstant,
    to: storedInstant.nullable().openapi({ description: 'When it ends; null: no end.' }),
    created_by: z.string(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revoked_at: storedInstant.nullable(),
    revoked_by: z.string().nullable(),
    revision: z.int(),
  })
  .openapi('Grant')

export const grantId = z.string().regex(/^[\w-]{1,64}$/)
export const grantParams = z.object({ grant: grantId })
export const revocation = z.object(why)
