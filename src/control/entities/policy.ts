/** Policies: how many people approve a change in an environment, and which flags no organization may have together. */
import type { PolicyRow } from '../db/rows.ts'
import { policies } from '../db/schema.ts'
import type { Entity, Policy } from './entity.ts'

export const policy = {
  table: policies,
  kind: 'policy',
  key: ['environment'],
  filing: ({ environment }) => ({ environment }),
  environments: ({ after }) => [after.environment],
  guarded: () => true,
} satisfies Entity<PolicyRow>

/** The default: one person besides the author must approve changes in the last environment. */
export const defaultPolicy = (environment: string, environments: readonly string[]): Policy => ({
  environment,
  approvals: environment === environments.at(-1) ? 1 : 0,
  owner_approves: false,
  exclusive: [],
  revision: 0,
  kinds: null,
  flags: null,
})

export const requiresApproval = ({ approvals, owner_approves }: Policy): boolean =>
  approvals > 0 || owner_approves
