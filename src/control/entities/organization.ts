/** Organizations. No policy guards them: a name changes nothing of what they have, and voiding tokens only takes away. */
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
