/** Rules: who has a flag in an environment. */
import type { RuleRow } from '../db/rows.ts'
import { rules } from '../db/schema.ts'
import { catalogsOf, type Entity } from './entity.ts'

export const rule = {
  table: rules,
  kind: 'rule',
  key: ['environment', 'flag'],
  filing: ({ environment, flag }) => ({ environment, flag }),
  environments: ({ after }) => [after.environment],
  documents: ({ environment }) => catalogsOf([environment]),
  guarded: () => true,
  flags: ({ after }) => [after.flag],
  scope: ({ after }) => ({ kind: 'everyone', flags: [after.flag] }),
} satisfies Entity<RuleRow>
