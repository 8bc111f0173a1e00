/** Organizations. No policy guards them: who one is changes nothing of what it has, and ending tokens only takes away. */
import type { OrganizationRow } from '../db/rows.ts'
import { organizations } from '../db/schema.ts'
import { type Entity, orgDocumentsOf } from './entity.ts'

export const organization = {
  table: organizations,
  kind: 'organization',
  key: ['id'],
  filing: ({ id }) => ({ org: id }),
  environments: (_, all) => all,
  documents: ({ id }, all) => orgDocumentsOf(id, all),
} satisfies Entity<OrganizationRow>
