/** The routes of flags and rules. */
import { z } from '@hono/zod-openapi'
import { err } from '../../core/result.ts'
import { environmentsFor } from '../auth/actor.ts'
import { shortText } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { pageOf, pageQuery } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because } from '../ledger/command.ts'
import { State } from '../ledger/state.ts'
import { EDITORS, READERS } from '../roles.ts'
import {
  type FlagEdit,
  flagCreate,
  flagExtend,
  flagMove,
  flagReview,
  flagUpdating,
  type RuleEdit,
  ruleKill,
  ruleRevive,
  ruleSet,
} from './commands.ts'
import { listFlags, showFlag } from './inventory.ts'
import {
  FLAG_STATES,
  flagCreation,
  flagExtension,
  flagParams,
  flagSchema,
  flagTransition,
  flagUpdate,
  inventoryFlag,
  justWhy,
  ruleChange,
  ruleParams,
  ruleSchema,
} from './schemas.ts'

const asIs = <T>(row: T): T => row

export function flagRoutes(api: Api): void {
  read(api, {
    path: '/flags',
    tag: 'Flags',
    summary: 'List flags',
    roles: READERS,
    query: z.object({
      ...pageQuery,
      kind: z.enum(['entitlement', 'rollout']).optional(),
      state: z.enum(FLAG_STATES).optional(),
      owner: shortText.optional(),
      tag: z.string().max(41).optional(),
      plan: z.string().max(64).optional(),
    }),
    answer: pageOf(inventoryFlag),
    read: ({ query, control, actor }) =>
      listFlags(control.db, query, environmentsFor(actor, control.config.environments)),
  })

  write<typeof flagCreation, FlagEdit>(api, {
    method: 'post',
    path: '/flags',
    tag: 'Flags',
    summary: 'Create a flag, as a draft',
    roles: EDITORS,
    body: flagCreation,
    data: flagSchema,
    status: 201,
    command: ({ body: { reason, ticket, ...flag } }) => flagCreate.create(flag, because({ reason, ticket })),
    view: asIs,
  })

  read(api, {
    path: '/flags/{flag}',
    tag: 'Flags',
    summary: 'Get a flag with its rules and plans',
    roles: READERS,
    params: flagParams,
    answer: inventoryFlag,
    async read({ params, control, actor }) {
      const flag = await new State(control.db).rows('flags').load(params.flag)
      const environments = environmentsFor(actor, control.config.environments)
      return flag ? showFlag(control.db, flag, environments) : err('not_found')
    },
  })

  write<typeof flagUpdate, FlagEdit, typeof flagParams>(api, {
    method: 'patch',
    path: '/flags/{flag}',
    tag: 'Flags',
    summary: 'Update the metadata of a flag: name, description, owner, tags and reviews',
    roles: EDITORS,
    params: flagParams,
    body: flagUpdate,
    data: flagSchema,
    ifMatch: 'required',
    command: ({ params, body: { reason, ticket, ...change } }) =>
      flagUpdating.create({ ...params, ...change }, because({ reason, ticket })),
    view: asIs,
  })

  write<typeof flagTransition, FlagEdit, typeof flagParams>(api, {
    method: 'post',
    path: '/flags/{flag}/state',
    tag: 'Flags',
    summary: 'Change the state of a flag',
    description: 'draft → live → retiring → retired. A retired key is never used again.',
    roles: EDITORS,
    params: flagParams,
    body: flagTransition,
    data: flagSchema,
    ifMatch: 'required',
    command: ({ params, body }) => flagMove.create({ ...params, state: body.state }, because(body)),
    view: asIs,
  })

  write<typeof flagExtension, FlagEdit, typeof flagParams>(api, {
    method: 'post',
    path: '/flags/{flag}/extend',
    tag: 'Flags',
    summary: 'Extend a rollout: move its retire_by. Extensions are counted',
    roles: EDITORS,
    params: flagParams,
    body: flagExtension,
    data: flagSchema,
    ifMatch: 'required',
    command: ({ params, body }) => flagExtend.create({ ...params, retire_by: body.retire_by }, because(body)),
    view: asIs,
  })

  write<typeof justWhy, FlagEdit, typeof flagParams>(api, {
    method: 'post',
    path: '/flags/{flag}/review',
    tag: 'Flags',
    summary: 'Record the review of an entitlement that is kept',
    roles: EDITORS,
    params: flagParams,
    body: justWhy,
    data: flagSchema,
    command: ({ params, body }) => flagReview.create(params, because(body)),
    view: asIs,
  })

  ruleRoutes(api)
}

function ruleRoutes(api: Api): void {
  read(api, {
    path: '/flags/{flag}/rules/{environment}',
    tag: 'Rules',
    summary: 'Get the rule of a flag in an environment',
    roles: READERS,
    params: ruleParams,
    answer: ruleSchema,
    async read({ params, control: { db, config } }) {
      const flag = await new State(db).rows('flags').load(params.flag)
      if (!flag) return err('not_found')
      const shown = await showFlag(db, flag, config.environments)
      const rule = shown.ok && shown.value.rules.find(({ environment }) => environment === params.environment)
      return rule ? { ok: true, value: rule } : err('environment_unknown')
    },
  })

  write<typeof ruleChange, RuleEdit, typeof ruleParams>(api, {
    method: 'put',
    path: '/flags/{flag}/rules/{environment}',
    tag: 'Rules',
    summary: 'Set the access and percentage of a rule',
    roles: EDITORS,
    params: ruleParams,
    body: ruleChange,
    data: ruleSchema,
    ifMatch: 'required',
    command: ({ params, body: { access, percentage, ...why } }) =>
      ruleSet.create({ ...params, access, percentage }, because(why)),
    view: asIs,
  })

  for (const [name, summary, kind] of [
    ['kill', 'Kill a flag: off for everybody in the environment, at once, without approval', ruleKill],
    ['revive', 'Revive a killed flag: its rule decides again', ruleRevive],
  ] as const) {
    write<typeof justWhy, RuleEdit, typeof ruleParams>(api, {
      method: 'post',
      path: `/flags/{flag}/rules/{environment}/${name}`,
      tag: 'Rules',
      summary,
      roles: kind.roles,
      params: ruleParams,
      body: justWhy,
      data: ruleSchema,
      command: ({ params, body }) => kind.create(params, because(body)),
      view: asIs,
    })
  }
}
