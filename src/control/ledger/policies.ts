/** The policies of all environments. Does I/O. */
import { systemActor } from '../auth/actor.ts'
import type { Database } from '../db/client.ts'
import type { PolicyRow } from '../db/rows.ts'
import { documents, policies } from '../db/schema.ts'
import type { Policy } from '../entities/entity.ts'
import { defaultPolicy } from '../entities/policy.ts'
import type { Step } from './command.ts'

const ESTABLISHED = 'The environment is new. Its policy is on record from now on.'

export const readPolicies = async (db: Database, environments: readonly string[]): Promise<Policy[]> =>
  policiesOf(await db.select().from(policies), environments)

/** One per environment, in their order. */
export const policiesOf = (rows: readonly PolicyRow[], environments: readonly string[]): Policy[] =>
  environments.map(
    (name) => rows.find(({ environment }) => environment === name) ?? defaultPolicy(name, environments),
  )

/**
 * What stores the policies of environments that have none. A policy that is stored does not change when ENVIRONMENTS does.
 *
 * @param rows - those that are stored; @param now - epoch milliseconds
 */
export async function establishing(
  rows: readonly PolicyRow[],
  environments: readonly string[],
  db: Database,
  now: number,
): Promise<Step[]> {
  const published = await db.selectDistinct({ environment: documents.environment }).from(documents)
  const known = published.map(({ environment }) => environment)
  const updated_at = new Date(now).toISOString()
  return environments
    .filter((name) => !rows.some(({ environment }) => environment === name))
    .map((name) => ({
      edit: {
        table: 'policies',
        before: null,
        after: { ...defaultPolicy(name, environments, known), updated_at },
      },
      action: 'policy.establish',
      actor: systemActor('system:policies'),
      reason: ESTABLISHED,
      ticket: null,
    }))
}
