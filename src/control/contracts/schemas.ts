/** The schemas of organizations and contracts in requests and responses. */
import { z } from '@hono/zod-openapi'
import { externalId, flagKey, instant, shortText, storedInstant, why } from '../entities/fields.ts'

export const orgParams = z.object({ org: externalId })
export const contractParams = z.object({ org: externalId, contract: externalId })
export const planKey = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/)
const status = z.enum(['trialing', 'active', 'past_due', 'paused', 'unpaid', 'cancelled', 'expired'])

export const organizationCreation = z.object({ id: externalId, name: shortText, ...why })
export const organizationUpdate = z.object({
  name: shortText.optional(),
  not_before: z.int().nonnegative().optional().openapi({
    description:
      'Epoch seconds: live verification refuses tokens that were issued earlier. It can only be raised.',
  }),
  ...why,
})

export const contractContent = z.object({
  plan: planKey.nullable(),
  status,
  from: instant,
  to: instant.nullable().default(null),
  grace_until: instant.nullable().optional().openapi({ description: 'Of a contract that is past due.' }),
  add: z.array(flagKey).max(200).default([]).openapi({ description: 'Add-ons.' }),
  source: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/)
    .default('api'),
  revision: z.int().nonnegative().openapi({ description: 'The source’s own number; it only goes up.' }),
})
export const contractPutting = contractContent
  .extend(why)
  .refine(({ from, to }) => to === null || to > from, { path: ['to'], message: 'must be later than from' })

export const contractSchema = z
  .object({
    id: z.string(),
    org: z.string(),
    plan: z.string().nullable(),
    status,
    from: storedInstant,
    to: storedInstant.nullable(),
    grace_until: storedInstant.nullable(),
    add: z.array(z.string()),
    source: z.string(),
    updated_at: storedInstant,
    revision: z.int(),
    external_id: z.string().nullable().optional().openapi({
      description: 'The number that its source knows it by; null: no source has said anything about it.',
    }),
  })
  .openapi('Contract')

export const organizationSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    not_before: z.int(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Organization')

export const withContracts = organizationSchema
  .extend({ contracts: z.array(contractSchema) })
  .openapi('OrganizationWithContracts')
