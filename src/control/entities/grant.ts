/** Grants: what one organization or user has, or must not have, besides rules and contracts. */
import { and, eq, gt, isNull, or } from 'drizzle-orm'
import type { GrantRow } from '../db/rows.ts'
import { grants } from '../db/schema.ts'
import { byColumns, type Entity, type Index, type Selection } from './entity.ts'

export const grant = {
  table: grants,
  kind: 'grant',
  key: ['id'],
  filing: ({ environment, flag, subject_kind, subject_id }) => ({
    environment,
    flag,
    [subject_kind]: subject_id,
  }),
  environments: ({ after }) => [after.environment],
  documents: ({ environment, subject_kind, subject_id }) => [
    { kind: subject_kind, environment, subject: subject_id },
  ],
  guarded: () => true,
  flags: ({ after }) => [after.flag],
  scope: ({ after: { flag, subject_kind, subject_id } }) => ({
    kind: 'subjects',
    organizations: subject_kind === 'org' ? [subject_id] : [],
    users: subject_kind === 'user' ? [subject_id] : [],
    flags: [flag],
  }),
} satisfies Entity<GrantRow>

/** Grants of one source for a flag in an environment, those included that have ended. */
export const bySource: Index<GrantRow> = byColumns(grants.source, grants.flag, grants.environment)

/** Grants that give a flag at an instant or later. @param at - RFC 3339 */
export const giving = (flag: string, at: string): Selection<GrantRow> => ({
  where: and(eq(grants.flag, flag), eq(grants.effect, 'allow'), or(isNull(grants.to), gt(grants.to, at))),
  matches: (row) => row.flag === flag && row.effect === 'allow' && (row.to === null || row.to > at),
})
