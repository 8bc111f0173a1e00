/** The policies of all environments. Does I/O. */
import type { Database } from '../db/client.ts'
import type { PolicyRow } from '../db/rows.ts'
import { policies } from '../db/schema.ts'
import type { Policy } from '../entities/entity.ts'
import { defaultPolicy } from '../entities/policy.ts'

export const readPolicies = async (db: Database, environments: readonly string[]): Promise<Policy[]> =>
  policiesOf(await db.select().from(policies), environments)

/** One per environment, in their order. */
export const policiesOf = (rows: readonly PolicyRow[], environments: readonly string[]): Policy[] =>
  environments.map(
    (name) => rows.find(({ environment }) => environment === name) ?? defaultPolicy(name, environments),
  )
