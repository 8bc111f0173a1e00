/** The routes for the caller's identity and the list of environments. */
import { z } from '@hono/zod-openapi'
import { ok } from '../../core/result.ts'
import type { Api } from '../http/context.ts'
import { read } from '../http/read.ts'
import { READERS, ROLES } from '../roles.ts'

const self = z
  .object({
    actor: z.string(),
    api_key: z.string().nullable(),
    roles: z.array(z.enum(ROLES)),
    environments: z.array(z.string()).nullable(),
  })
  .openapi('Account')

const environments = z.object({
  data: z.array(z.object({ name: z.string(), protected: z.boolean() })),
})

export function selfRoutes(api: Api): void {
  read(api, {
    path: '/me',
    tag: 'Account',
    summary: 'Get your name and roles',
    roles: READERS,
    answer: self,
    read: async ({ actor }) =>
      ok({
        actor: actor.id,
        api_key: actor.apiKey,
        roles: ROLES.filter((role) => actor.roles.includes(role)),
        environments: actor.environments === null ? null : [...actor.environments],
      }),
  })

  read(api, {
    path: '/environments',
    tag: 'Account',
    summary: 'List environments, in the order of promotion',
    roles: READERS,
    answer: environments,
    read: async ({ control: { config } }) =>
      ok({
        data: config.environments.map((name, index) => ({
          name,
          protected: index === config.environments.length - 1,
        })),
      }),
  })
}
