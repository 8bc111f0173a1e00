/** The commands about grants: what they read from D1, and the decision that uses it. */
import { err, ok, type Result } from '../../core/result.ts'
import type { EditOf } from '../entities/edit.ts'
import { commandKind, commandRegistry } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS, hasRole, RESPONDERS } from '../roles.ts'
import { createGrant, revokeGrant } from './grants.ts'
import { grantContent, grantId, grantParams } from './schemas.ts'

export type GrantEdit = EditOf<'grants'>

export const newGrantId = (): string => `grant_${crypto.randomUUID()}`

export const grantCreate = commandKind({
  action: 'grant.create',
  roles: RESPONDERS,
  input: grantContent.extend({ id: grantId.default(newGrantId) }),
  async decide(
    { id, ...grant },
    { state, now, environments, actor },
    why,
  ): Promise<Result<GrantEdit, Refusal>> {
    if (!environments.includes(grant.environment)) return err('environment_unknown')
    // An import need not end, and a role for incidents must not give anything permanent.
    if (grant.source === 'import' && !hasRole(actor.roles, EDITORS)) return err('grant_import_forbidden')
    const [existing, flag, organization] = await Promise.all([
      state.rows('grants').load(id),
      state.rows('flags').load(grant.flag),
      grant.subject.kind === 'org' ? state.rows('organizations').load(grant.subject.id) : undefined,
    ])
    if (existing) return err('grant_exists')
    if (!flag) return err('flag_unknown')
    if (flag.state === 'retired') return err('flag_retired')
    if (grant.subject.kind === 'org' && !organization) return err('org_unknown')
    const created = createGrant(id, { ...grant, ...why, from: grant.from }, actor.id, now)
    return created.ok ? ok({ table: 'grants', before: null, after: created.value }) : created
  },
})

export const grantRevoke = commandKind({
  action: 'grant.revoke',
  roles: RESPONDERS,
  input: grantParams,
  async decide({ grant: id }, { state, now, actor }): Promise<Result<GrantEdit, Refusal>> {
    const before = await state.rows('grants').load(id)
    if (!before) return err('not_found')
    const revoked = revokeGrant(before, actor.id, now)
    return revoked.ok ? ok({ table: 'grants', before, after: revoked.value }) : revoked
  },
})

export const grantCommands = commandRegistry(grantCreate, grantRevoke)
