/**
 * The policies of environments: how many people approve a change, by kind and by flag, whether a flag's owner must be among
 * them, how long flags live without a review, and which flags no organization may have together.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import type { EditOf } from '../entities/edit.ts'
import type { Policy } from '../entities/entity.ts'
import type { Api } from '../http/context.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because, commandKind, commandRegistry } from '../ledger/command.ts'
import { readPolicies } from '../ledger/policies.ts'
import type { Refusal } from '../refusals.ts'
import { ADMINS, READERS } from '../roles.ts'
import { policyContent, policyParams, policySchema, policySetting } from './policy_schemas.ts'

export type PolicyEdit = EditOf<'policies'>

export const policySet = commandKind({
  action: 'policy.set',
  roles: ADMINS,
  input: policyParams.extend(policyContent.shape),
  async decide(
    { environment, ...content },
    { state, now, environments },
  ): Promise<Result<PolicyEdit, Refusal>> {
    if (!environments.includes(environment)) return err('environment_unknown')
    const { kinds = null, flags: byFlag = null } = content
    const flags = [...new Set([...content.exclusive.flat(), ...Object.keys(byFlag ?? {})])]
    if ((await state.rows('flags').loadMany(flags)).length < flags.length) return err('flag_unknown')
    const before = await state.rows('policies').load(environment)
    const updated_at = new Date(now).toISOString()
    const revision = (before?.revision ?? 0) + 1
    const after = { environment, ...content, kinds, flags: byFlag, updated_at, revision }
    return ok({ table: 'policies', before: before ?? null, after })
  },
})

export const policyCommands = commandRegistry(policySet)

const view = ({ environment, approvals, owner_approves, exclusive, kinds, flags, revision }: Policy) => ({
  environment,
  approvals,
  owner_approves,
  exclusive,
  kinds: kinds ?? {},
  flags: flags ?? {},
  revision,
})

export function policyRoutes(api: Api): void {
  read(api, {
    path: '/policies',
    tag: 'Approvals',
    summary: 'List policies: how changes are approved, by environment',
    roles: READERS,
    answer: z.object({ data: z.array(policySchema) }),
    async read({ control: { db, config }, actor }) {
      const visible = environmentsFor(actor, config.environments)
      const all = await readPolicies(db, config.environments)
      return ok({ data: all.filter(({ environment }) => visible.includes(environment)).map(view) })
    },
  })

  write<typeof policySetting, PolicyEdit, typeof policyParams>(api, {
    method: 'put',
    path: '/policies/{environment}',
    tag: 'Approvals',
    summary: 'Set the policy of an environment; requires approval where the current policy does',
    roles: ADMINS,
    params: policyParams,
    body: policySetting,
    data: policySchema,
    ifMatch: 'required',
    command: ({ params, body: { reason, ticket, ...content } }) =>
      policySet.create({ ...params, ...content }, because({ reason, ticket })),
    view,
  })
}
