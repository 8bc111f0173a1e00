/** Change requests, shown without the effective diff: the digest stands for it, and the audit row of the application has it. */
import type { ChangeRequestRow } from '../db/rows.ts'
import { change_requests } from '../db/schema.ts'
import type { Entity } from './entity.ts'

export const changeRequest = {
  table: change_requests,
  kind: 'change',
  key: ['id'],
  filing: ({ environments }) => (environments.length === 1 ? { environment: environments[0] as string } : {}),
  environments: ({ before, after }) => [...new Set([...(before?.environments ?? []), ...after.environments])],
  hidden: ['effect'],
} satisfies Entity<ChangeRequestRow>
