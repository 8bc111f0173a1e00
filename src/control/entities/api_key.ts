/** API keys. The hash of the secret is never shown. */
import type { ApiKeyRow } from '../db/rows.ts'
import { api_keys } from '../db/schema.ts'
import type { Entity } from './entity.ts'

export const apiKey = {
  table: api_keys,
  kind: 'api_key',
  key: ['id'],
  environments: ({ after }, all) => after.environments ?? all,
  hidden: ['secret_hash'],
} satisfies Entity<ApiKeyRow>
