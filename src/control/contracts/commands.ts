/**
 * The commands about organizations and their contracts.
 *
 * A contract is put whole, with the revision that its source gives it. Revisions never go back: the latest known one
 * wins whatever the order of arrival, and the same one with other content is a contradiction that nobody may guess away.
 */
import { eq, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { canonical } from '../changes/chain.ts'
import type { Command } from '../changes/command.ts'
import type { Database } from '../db/client.ts'
import type { ContractRow, OrganizationRow } from '../db/rows.ts'
import { contracts, organizations } from '../db/schema.ts'
import type { Edit } from '../model/edit.ts'
import type { Refusal } from '../refusals.ts'

export type OrganizationEdit = Extract<Edit, { table: 'organizations' }>
export type ContractEdit = Extract<Edit, { table: 'contracts' }>
type Why = Pick<Command, 'reason' | 'ticket'>

const DAY_MS = 86_400_000
/** For a contract without a plan. */
const GRACE_DAYS = 7

export const createOrganizationCommand = (
  organization: Pick<OrganizationRow, 'id' | 'name'>,
  why: Why,
): Command<OrganizationEdit> => ({
  action: 'organization.create',
  ...why,
  async decide({ db, now }) {
    if (await findOrganization(db, organization.id)) return err('org_exists')
    const at = new Date(now).toISOString()
    const after = { ...organization, not_before: 0, created_at: at, updated_at: at, revision: 1 }
    return ok({ table: 'organizations', before: null, after })
  },
})

export const updateOrganizationCommand = (
  id: string,
  change: { readonly name?: string | undefined; readonly not_before?: number | undefined },
  why: Why,
): Command<OrganizationEdit> => ({
  action: 'organization.update',
  ...why,
  async decide({ db, now }) {
    const before = await findOrganization(db, id)
    if (!before) return err('not_found')
    const notBefore = change.not_before ?? before.not_before
    if (notBefore < before.not_before || notBefore > Math.ceil(now / 1000)) return err('not_before_backwards')
    const after = {
      ...before,
      name: change.name ?? before.name,
      not_before: notBefore,
      updated_at: new Date(now).toISOString(),
      revision: before.revision + 1,
    }
    return ok({ table: 'organizations', before, after })
  },
})

export type PutContract = Omit<ContractRow, 'updated_at' | 'grace_until'> & {
  /** `undefined`: as the plan says. */
  readonly grace_until: string | null | undefined
}

export const putContractCommand = (contract: PutContract, why: Why): Command<ContractEdit> => ({
  action: 'contract.put',
  ...why,
  async decide({ db, now }) {
    const known = await lookUp(db, contract)
    if (!known.ok) return known
    const { before, graceDays } = known.value
    if (before && before.org !== contract.org) return err('contract_elsewhere')
    const after: ContractRow = {
      ...contract,
      add: contract.add.toSorted(),
      grace_until: graceUntil(contract, before, graceDays, now),
      updated_at: new Date(now).toISOString(),
    }
    if (!before) return ok({ table: 'contracts', before: null, after })
    if (contract.revision < before.revision) return err('contract_revision_stale')
    if (contract.revision === before.revision && !sameContent(before, after)) {
      return err('contract_revision_conflict')
    }
    return ok({ table: 'contracts', before, after })
  },
})

async function lookUp(
  db: Database,
  { id, org, plan, add }: PutContract,
): Promise<Result<{ before: ContractRow | null; graceDays: number }, Refusal>> {
  const [before] = await db.select().from(contracts).where(eq(contracts.id, id))
  const [known] = await db.all<{ org: number; grace: number | null; add: number; retired: number }>(
    sql`SELECT EXISTS (SELECT 1 FROM organizations WHERE id = ${org}) AS org,
               (SELECT grace_days FROM plans WHERE key = ${plan}) AS grace,
               (SELECT count(*) FROM flags WHERE key IN (SELECT value FROM json_each(${JSON.stringify(add)})))
                 AS "add"`,
  )
  if (!known?.org) return err('org_unknown')
  if (plan !== null && known.grace === null) return err('plan_unknown')
  if (known.add < new Set(add).size) return err('flag_unknown')
  return ok({ before: before ?? null, graceDays: known.grace ?? GRACE_DAYS })
}

/** The grace of a contract that falls due begins when we learn of it, and goes on while it stays due. */
function graceUntil(
  contract: PutContract,
  before: ContractRow | null,
  graceDays: number,
  now: number,
): string | null {
  if (contract.grace_until !== undefined) return contract.grace_until
  if (contract.status !== 'past_due') return null
  if (before?.status === 'past_due' && before.grace_until !== null) return before.grace_until
  return new Date(now + graceDays * DAY_MS).toISOString()
}

function sameContent(before: ContractRow, after: ContractRow): boolean {
  const content = ({ updated_at: _, ...rest }: ContractRow) => canonical(rest)
  return content(before) === content(after)
}

export async function findOrganization(db: Database, id: string): Promise<OrganizationRow | undefined> {
  const [organization] = await db.select().from(organizations).where(eq(organizations.id, id))
  return organization
}
