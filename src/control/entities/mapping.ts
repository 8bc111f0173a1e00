/** Mappings: what a name of another system is here. Policies guard them, because they decide what contracts grant. */
import type { MappingRow } from '../db/rows.ts'
import { mappings } from '../db/schema.ts'
import type { Entity } from './entity.ts'

export const mapping = {
  table: mappings,
  kind: 'mapping',
  key: ['source', 'kind', 'external_id'],
  environments: (_, all) => all,
  guarded: () => true,
} satisfies Entity<MappingRow>
