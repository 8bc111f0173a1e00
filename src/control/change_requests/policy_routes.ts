/**
 * The policies of environments: how many people approve a change, whether a flag's owner must be among them, and
 * which flags no organization may have together.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import type { EditOf } from '../entities/edit.ts'
import type { Policy } from '../entities/entity.ts'
import { environmentName, flagKey, why } from '../entities/fields.ts'
import { defaultPolicy } from '../entities/policy.ts'
import type { Api } from '../http/context.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because, commandKind, commandRegistry } from '../ledger/command.ts'
import { readPolicies } from '../ledger/policies.ts'
import type { Refusal } from '../refusals.ts'
import { ADMINS, READERS } from '../roles.ts'

const MAX_APPROVALS = 5
const MAX_SETS = 50

const exclusiveSet = z
  .array(flagKey)
  .min(2)
  .max(20)
  .refine((flags) => new Set(flags).size === flags.length, 'must not repeat')

const policyContent = z.object({
  approvals: z.int().min(0).max(MAX_APPROVALS).openapi({
    description: 'How many people besides the author must approve; 0: changes are applied at once.',
  }),
  owner_approves: z.boolean().default(false).openapi({
    description: 'Whether the owner of every affected flag must be among the approvers.',
  }),
  exclusive: z.array(exclusiveSet).max(MAX_SETS).default([]).openapi({
    description: 'Sets of flags of which no organization may have two.',
  }),
})
const policyParams = z.object({ environment: environmentName })
const policySetting = policyContent.extend(why)

const policySchema = z
  .object({
    environment: z.string(),
    approvals: z.int(),
    owner_approves: z.boolean(),
    exclusive: z.array(z.array(z.string())),
    revision: z.int().openapi({ description: '0: never set, so the default applies.' }),
  })
  .openapi('Policy')

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
    const flags = [...new Set(content.exclusive.flat())]
    if ((await state.rows('flags').loadMany(flags)).length < flags.length) return err('flag_unknown')
    const before = await state.rows('policies').load(environment)
    const { revision } = before ?? defaultPolicy(environment, environments)
    const updated_at = new Date(now).toISOString()
    const after = { environment, ...content, kinds: null, flags: null, updated_at, revision: revision + 1 }
    return ok({ table: 'policies', before: before ?? null, after })
  },
})

export const policyCommands = commandRegistry(policySet)

const view = ({ environment, approvals, owner_approves, exclusive, revision }: Policy) => ({
  environment,
  approvals,
  owner_approves,
  exclusive,
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
