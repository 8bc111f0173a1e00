/**
 * The commands about organizations and their contracts.
 *
 * A contract is put whole, with the revision that its source assigns. Revisions never go back: the highest one wins,
 * whatever the order of arrival, and the same one with different content is a contradiction that is never guessed away.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { ContractRow } from '../db/rows.ts'
import { type EditOf, isUnchanged } from '../entities/edit.ts'
import { DAY_MS } from '../entities/fields.ts'
import { commandKind, commandRegistry } from '../ledger/command.ts'
import type { State } from '../ledger/state.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS } from '../roles.ts'
import {
  contractContent,
  contractParams,
  organizationCreation,
  organizationUpdate,
  orgParams,
} from './schemas.ts'

export type OrganizationEdit = EditOf<'organizations'>
export type ContractEdit = EditOf<'contracts'>

/** The grace period of a contract without a plan. */
const GRACE_DAYS = 7
const WHY = { reason: true, ticket: true } as const

export const organizationCreate = commandKind({
  action: 'organization.create',
  roles: EDITORS,
  input: organizationCreation.omit(WHY),
  async decide(organization, { state, now }): Promise<Result<OrganizationEdit, Refusal>> {
    if (await state.rows('organizations').load(organization.id)) return err('org_exists')
    const at = new Date(now).toISOString()
    const after = { ...organization, not_before: 0, created_at: at, updated_at: at, revision: 1 }
    return ok({ table: 'organizations', before: null, after })
  },
})

export const organizationUpdating = commandKind({
  action: 'organization.update',
  roles: EDITORS,
  input: orgParams.extend(organizationUpdate.omit(WHY).shape),
  async decide({ org: id, ...change }, { state, now }): Promise<Result<OrganizationEdit, Refusal>> {
    const before = await state.rows('organizations').load(id)
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

export const contractPut = commandKind({
  action: 'contract.put',
  roles: EDITORS,
  input: contractParams.extend(contractContent.shape),
  // The grace period starts when it is requested, not when it is approved.
  freeze: (input, edit: ContractEdit) => ({ ...input, grace_until: edit.after.grace_until }),
  async decide(
    { contract: id, grace_until, ...content },
    { state, now },
  ): Promise<Result<ContractEdit, Refusal>> {
    const contract = { id, ...content }
    const known = await lookUp(state, contract)
    if (!known.ok) return known
    const { before, graceDays } = known.value
    if (before && before.org !== contract.org) return err('contract_elsewhere')
    const after: ContractRow = {
      ...contract,
      add: contract.add.toSorted(),
      grace_until: grace_until === undefined ? graceUntil(contract, before, graceDays, now) : grace_until,
      updated_at: new Date(now).toISOString(),
    }
    if (after.to !== null && after.to < after.from) return err('window_invalid')
    if (!before) return ok({ table: 'contracts', before: null, after })
    if (contract.revision < before.revision) return err('contract_revision_stale')
    if (contract.revision === before.revision && !isUnchanged({ table: 'contracts', before, after })) {
      return err('contract_revision_conflict')
    }
    return ok({ table: 'contracts', before, after })
  },
})

export const contractCommands = commandRegistry(organizationCreate, organizationUpdating, contractPut)

type PutContract = Omit<ContractRow, 'updated_at' | 'grace_until'>

async function lookUp(
  state: State,
  { id, org, plan, add }: PutContract,
): Promise<Result<{ before: ContractRow | null; graceDays: number }, Refusal>> {
  const [before, organization, known, flags] = await Promise.all([
    state.rows('contracts').load(id),
    state.rows('organizations').load(org),
    plan === null ? undefined : state.rows('plans').load(plan),
    state.rows('flags').loadMany(add),
  ])
  if (!organization) return err('org_unknown')
  if (plan !== null && !known) return err('plan_unknown')
  if (flags.length < new Set(add).size) return err('flag_unknown')
  return ok({ before: before ?? null, graceDays: known?.grace_days ?? GRACE_DAYS })
}

/** The grace period of a contract starts when its `past_due` arrives, and continues while it stays `past_due`. */
function graceUntil(
  contract: PutContract,
  before: ContractRow | null,
  graceDays: number,
  now: number,
): string | null {
  if (contract.status !== 'past_due') return null
  if (before?.status === 'past_due' && before.grace_until !== null) return before.grace_until
  return new Date(now + graceDays * DAY_MS).toISOString()
}
