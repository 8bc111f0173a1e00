/** The only break-glass action: a grant that ends by itself within hours. Pure. */
import { z } from '@hono/zod-openapi'
import type { ChangeItem } from '../db/schema.ts'
import { environmentName, externalId, flagKey, why } from '../entities/fields.ts'

const MAX_MINUTES = 240
const MINUTE_MS = 60_000

export const breakGlassBody = z.object({
  environment: environmentName,
  subject: z.object({ kind: z.enum(['org', 'user']), id: externalId }).strict(),
  flag: flagKey,
  effect: z.enum(['allow', 'deny']).default('allow'),
  minutes: z.int().min(1).max(MAX_MINUTES).default(MAX_MINUTES).openapi({
    description: 'When it ends automatically; 4 hours at most.',
  }),
  reason: why.reason,
  ticket: why.ticket.unwrap(),
})

/** @param now - epoch milliseconds */
export function breakGlassItem(body: z.output<typeof breakGlassBody>, now: number): ChangeItem {
  const { environment, subject, flag, effect, minutes } = body
  const to = new Date(now + minutes * MINUTE_MS).toISOString()
  return { action: 'grant.create', input: { environment, subject, flag, effect, source: 'support', to } }
}
