/** The schemas of plans in requests and responses. */
import { z } from '@hono/zod-openapi'
import { flagKey, longText, shortText, storedInstant, why } from '../entities/fields.ts'

const GRACE_DAYS = 7
const MAX_FLAGS = 1000

const planKey = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/)
const flags = z
  .array(flagKey)
  .max(MAX_FLAGS)
  .refine((keys) => new Set(keys).size === keys.length, 'must not repeat')
const graceDays = z.int().min(0).max(90)

export const planCreation = z.object({
  key: planKey,
  name: shortText,
  description: longText.default(''),
  flags: flags.default([]),
  grace_days: graceDays.default(GRACE_DAYS).openapi({
    description: 'For how many days a contract that is past due still grants.',
  }),
  ...why,
})

export const planUpdate = z.object({
  name: shortText.optional(),
  description: longText.optional(),
  flags: flags.optional(),
  grace_days: graceDays.optional(),
  ...why,
})

export const planSchema = z
  .object({
    key: z.string(),
    name: z.string(),
    description: z.string(),
    flags: z.array(z.string()),
    grace_days: z.int(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Plan')

export const planParams = z.object({ plan: planKey })
