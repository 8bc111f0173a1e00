/** The schemas of flags and rules in requests and responses. */
import { z } from '@hono/zod-openapi'
import {
  environmentName,
  flagKey,
  longText,
  reasonText,
  shortText,
  storedInstant,
  why,
} from '../entities/fields.ts'

export const FLAG_STATES = ['draft', 'live', 'retiring', 'retired'] as const

const tag = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,40}$/)
const tags = z
  .array(tag)
  .max(20)
  .refine((all) => new Set(all).size === all.length, 'must not repeat')
const reviewDays = z.int().min(1).max(366)
const revokeOnLoss = z.boolean().optional().openapi({
  description:
    'Whether losing the flag with a contract also voids the organization’s earlier tokens for live verification.',
})

export const flagParams = z.object({ flag: flagKey })
export const ruleParams = z.object({ flag: flagKey, environment: environmentName })

export const flagCreation = z.object({
  key: flagKey,
  name: shortText,
  description: longText.default(''),
  kind: z.enum(['entitlement', 'rollout']),
  owner: shortText.openapi({
    description: 'The person or team that answers for it.',
    example: 'team-growth',
  }),
  tags: tags.default([]),
  no_plan_reason: reasonText.optional().openapi({ description: 'Why no plan holds the entitlement.' }),
  review_every_days: reviewDays.optional().openapi({ description: 'Of an entitlement. Default: 90.' }),
  retire_by: z.iso
    .datetime({ offset: false })
    .optional()
    .openapi({ description: 'Of a rollout. Default: 40 days from now.' }),
  revoke_on_loss: revokeOnLoss,
  ...why,
})

export const flagUpdate = z.object({
  name: shortText.optional(),
  description: longText.optional(),
  owner: shortText.optional(),
  tags: tags.optional(),
  no_plan_reason: reasonText.nullable().optional(),
  review_every_days: reviewDays.optional(),
  revoke_on_loss: revokeOnLoss,
  ...why,
})

export const flagTransition = z.object({ state: z.enum(['live', 'retiring', 'retired']), ...why })
export const flagExtension = z.object({ retire_by: z.iso.datetime({ offset: false }), ...why })
export const justWhy = z.object(why)

export const ruleChange = z.object({
  access: z.enum(['none', 'some', 'all']),
  percentage: z
    .number()
    .min(0)
    .max(100)
    .nullable()
    .default(null)
    .openapi({ description: 'The share of the other organizations that have it; null: none.' }),
  ...why,
})

export const ruleSchema = z
  .object({
    flag: z.string(),
    environment: z.string(),
    access: z.enum(['none', 'some', 'all']),
    percentage: z.number().nullable(),
    killed: z.boolean(),
    updated_at: storedInstant.nullable(),
    revision: z.int().openapi({ description: '0: never set, so access is none.' }),
  })
  .openapi('Rule')

export const flagSchema = z
  .object({
    key: z.string(),
    name: z.string(),
    description: z.string(),
    kind: z.enum(['entitlement', 'rollout']),
    owner: z.string(),
    tags: z.array(z.string()),
    state: z.enum(FLAG_STATES),
    no_plan_reason: z.string().nullable(),
    review_every_days: z.int().nullable(),
    reviewed_at: storedInstant.nullable(),
    retire_by: storedInstant.nullable(),
    extensions: z.int().openapi({ description: 'How often retire_by was extended.' }),
    revoke_on_loss: z.boolean(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Flag')

/** A flag of the inventory, with its rules and the plans that contain it. */
export const inventoryFlag = flagSchema
  .extend({ rules: z.array(ruleSchema), plans: z.array(z.string()) })
  .openapi('InventoryFlag')
