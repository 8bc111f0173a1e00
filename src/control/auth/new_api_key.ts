/**
 * A new API key: what is asked for, and the row that is stored. Pure but for WebCrypto.
 *
 * The key is in the first response only. The hash of its secret is stored in a column that no response and no audit row
 * shows.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { sha256Hex } from '../canonical.ts'
import type { ApiKeyRow } from '../db/rows.ts'
import { DAY_MS, environmentName, instant, shortText } from '../entities/fields.ts'
import type { Refusal } from '../refusals.ts'
import type { PresentedKey } from './secrets.ts'

const MAX_KEY_DAYS = 365

/** Names under which parts of the control plane act, and the audit log shows them. */
const RESERVED =
  /^system:(?:scheduler|inbox|drift|bootstrap|policies|stripe|standard|workos|contract)(?:[:/-]|$)/i

export const newApiKey = z.object({
  name: shortText,
  owner: z
    .string()
    .regex(/^(user|system):[\w.:@|+~-]{1,128}$/)
    .openapi({ description: 'The person or system that the key acts for.', example: 'system:ci' }),
  // Without approver and break-glass, which take a person.
  role: z.enum(['viewer', 'editor', 'admin']),
  environments: z
    .array(environmentName)
    .min(1)
    .nullable()
    .default(null)
    .openapi({ description: 'null: all.' }),
  ends_at: instant,
})
export type NewApiKey = z.output<typeof newApiKey>

/** @param made - before it is decided, so that a decision that is made again gives the same key */
export async function apiKeyRow(
  { name, owner, role, environments, ends_at }: NewApiKey,
  made: PresentedKey,
  created_by: string,
  { now, environments: all }: { readonly now: number; readonly environments: readonly string[] },
): Promise<Result<ApiKeyRow, Refusal>> {
  if (RESERVED.test(owner)) return err('key_owner_reserved')
  const endsAt = Date.parse(ends_at)
  if (endsAt <= now || endsAt > now + MAX_KEY_DAYS * DAY_MS) return err('key_lifetime')
  if (environments?.some((one) => !all.includes(one))) return err('environment_unknown')
  const at = new Date(now).toISOString()
  return ok({
    ...{ id: made.id, name, owner, role, environments, ends_at, created_by },
    secret_hash: await sha256Hex(made.secret),
    created_at: at,
    updated_at: at,
    revoked_at: null,
    revision: 1,
  })
}
