/** Findings of drift. Commands only accept them; a pass may update a finding between its reading and its writing. */
import type { FindingRow } from '../db/rows.ts'
import { findings } from '../db/schema.ts'
import type { Entity } from './entity.ts'

export const finding = {
  table: findings,
  kind: 'finding',
  key: ['id'],
  filing: ({ environment, flag, org }) => ({ environment, flag, org }),
  environments: ({ after }, all) => (after.environment === null ? all : [after.environment]),
  written: ['accepted_by', 'accepted_reason', 'accepted_until', 'updated_at', 'revision'],
} satisfies Entity<FindingRow>
