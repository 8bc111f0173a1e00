/** The schemas of policies in requests and responses. */
import { z } from '@hono/zod-openapi'
import { environmentName, flagKey, why } from '../entities/fields.ts'

const MAX_APPROVALS = 5
const MAX_SETS = 50
const MAX_FLAGS = 100

const exclusiveSet = z
  .array(flagKey)
  .min(2)
  .max(20)
  .refine((flags) => new Set(flags).size === flags.length, 'must not repeat')

const approvals = z.int().min(1).max(MAX_APPROVALS).optional().openapi({
  description: 'How many people besides the author must approve, if more than `approvals` of the policy.',
})
const kinds = z.object({
  entitlement: z
    .object({
      approvals,
      review_days: z.int().min(1).max(366).optional().openapi({
        description: 'The longest time between two reviews of an entitlement.',
      }),
    })
    .strict()
    .optional(),
  rollout: z
    .object({
      approvals,
      lifetime_days: z.int().min(1).max(365).optional().openapi({
        description: 'How many days after its creation a rollout must be retired.',
      }),
    })
    .strict()
    .optional(),
})
const byFlag = z
  .record(flagKey, z.int().min(1).max(MAX_APPROVALS))
  .refine((flags) => Object.keys(flags).length <= MAX_FLAGS, `must have at most ${MAX_FLAGS} flags`)

export const policyContent = z.object({
  approvals: z.int().min(0).max(MAX_APPROVALS).openapi({
    description: 'How many people besides the author must approve; 0: changes are applied at once.',
  }),
  owner_approves: z.boolean().default(false).openapi({
    description: 'Whether the owner of every affected flag must be among the approvers.',
  }),
  exclusive: z.array(exclusiveSet).max(MAX_SETS).default([]).openapi({
    description: 'Sets of flags of which no organization may have two.',
  }),
  kinds: kinds.strict().optional().openapi({
    description: 'What else holds for flags of a kind. Of several environments, the strictest limit counts.',
  }),
  flags: byFlag.optional().openapi({
    description:
      'How many people besides the author must approve a change of a flag, if more than `approvals`.',
    example: { sso: 2 },
  }),
})
export type PolicyContent = z.output<typeof policyContent>

export const policyParams = z.object({ environment: environmentName })
export const policySetting = policyContent.extend(why)

export const policySchema = z
  .object({
    environment: z.string(),
    approvals: z.int(),
    owner_approves: z.boolean(),
    exclusive: z.array(z.array(z.string())),
    kinds,
    flags: z.record(z.string(), z.int()),
    revision: z.int().openapi({ description: '0: the default, which came into force with the environment.' }),
  })
  .openapi('Policy')
