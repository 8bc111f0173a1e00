/** The routes of organizations and contracts. */
import { z } from '@hono/zod-openapi'
import { and, asc, eq, gt, inArray, sql } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { Api } from '../api/context.ts'
import { read, write } from '../api/define.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../api/page.ts'
import { because } from '../changes/command.ts'
import type { Database } from '../db/client.ts'
import type { ContractRow, OrganizationRow } from '../db/rows.ts'
import { contracts, organizations } from '../db/schema.ts'
import { externalId, flagKey, instant, shortText, storedInstant, why } from '../model/fields.ts'
import { EDITORS, READERS } from '../roles.ts'
import {
  type ContractEdit,
  createOrganizationCommand,
  findOrganization,
  type OrganizationEdit,
  putContractCommand,
  updateOrganizationCommand,
} from './commands.ts'

const orgParams = z.object({ org: externalId })
const contractParams = z.object({ org: externalId, contract: externalId })
const planKey = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/)
const status = z.enum(['trialing', 'active', 'past_due', 'paused', 'unpaid', 'cancelled', 'expired'])

const organizationCreation = z.object({ id: externalId, name: shortText, ...why })
const organizationUpdate = z.object({
  name: shortText.optional(),
  not_before: z.int().nonnegative().optional().openapi({
    description: 'Epoch seconds: live verification refuses tokens that were issued earlier. Only goes up.',
  }),
  ...why,
})

const contractPut = z
  .object({
    plan: planKey.nullable(),
    status,
    from: instant,
    to: instant.nullable().default(null),
    grace_until: instant.nullable().optional().openapi({ description: 'Of a contract that is past due.' }),
    add: z.array(flagKey).max(200).default([]).openapi({ description: 'Add-ons.' }),
    source: z
      .string()
      .regex(/^[a-z0-9-]{1,40}$/)
      .default('api'),
    revision: z.int().nonnegative().openapi({ description: 'The source’s own; it only goes up.' }),
    ...why,
  })
  .refine(({ from, to }) => to === null || to > from, { path: ['to'], message: 'must be later than from' })

const contractSchema = z
  .object({
    id: z.string(),
    org: z.string(),
    plan: z.string().nullable(),
    status,
    from: storedInstant,
    to: storedInstant.nullable(),
    grace_until: storedInstant.nullable(),
    add: z.array(z.string()),
    source: z.string(),
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Contract')

const organizationSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    not_before: z.int(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Organization')

const withContracts = organizationSchema
  .extend({ contracts: z.array(contractSchema) })
  .openapi('OrganizationWithContracts')

async function addContracts(db: Database, page: readonly OrganizationRow[]) {
  const ids = JSON.stringify(page.map(({ id }) => id))
  const rows = await db
    .select()
    .from(contracts)
    .where(inArray(contracts.org, sql`(SELECT value FROM json_each(${ids}))`))
    .orderBy(asc(contracts.id))
  const byOrg = Map.groupBy(rows, ({ org }) => org)
  return page.map((organization) => ({ ...organization, contracts: byOrg.get(organization.id) ?? [] }))
}

export function contractRoutes(api: Api): void {
  read(api, {
    path: '/orgs',
    tag: 'Organizations',
    summary: 'Organizations with their contracts',
    roles: READERS,
    query: z.object({ ...pageQuery, plan: planKey.optional() }),
    answer: pageOf(withContracts),
    async read({ query, control: { db } }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const rows = await db
        .select()
        .from(organizations)
        .where(
          and(
            after.value === undefined ? undefined : gt(organizations.id, after.value),
            query.plan === undefined
              ? undefined
              : sql`${organizations.id} IN (SELECT org FROM contracts WHERE plan = ${query.plan})`,
          ),
        )
        .orderBy(asc(organizations.id))
        .limit(query.limit + 1)
      const page = toPage(rows, query.limit, ({ id }) => id)
      return ok({ ...page, data: await addContracts(db, page.data) })
    },
  })

  write<typeof organizationCreation, OrganizationEdit>(api, {
    method: 'post',
    path: '/orgs',
    tag: 'Organizations',
    summary: 'Register an organization',
    roles: EDITORS,
    body: organizationCreation,
    data: organizationSchema,
    status: 201,
    command: ({ body }) => createOrganizationCommand({ id: body.id, name: body.name }, because(body)),
    view: (row) => row,
  })

  read(api, {
    path: '/orgs/{org}',
    tag: 'Organizations',
    summary: 'An organization with its contracts',
    roles: READERS,
    params: orgParams,
    answer: withContracts,
    async read({ params, control: { db } }) {
      const organization = await findOrganization(db, params.org)
      if (!organization) return err('not_found')
      const [shown] = await addContracts(db, [organization])
      return shown ? ok(shown) : err('not_found')
    },
  })

  write<typeof organizationUpdate, OrganizationEdit, typeof orgParams>(api, {
    method: 'patch',
    path: '/orgs/{org}',
    tag: 'Organizations',
    summary: 'Rename an organization, or revoke its tokens for live verification',
    roles: EDITORS,
    params: orgParams,
    body: organizationUpdate,
    data: organizationSchema,
    ifMatch: 'required',
    command: ({ params, body: { reason, ticket, ...change } }) =>
      updateOrganizationCommand(params.org, change, because({ reason, ticket })),
    view: (row) => row,
  })

  read(api, {
    path: '/orgs/{org}/contracts/{contract}',
    tag: 'Contracts',
    summary: 'A contract',
    roles: READERS,
    params: contractParams,
    answer: contractSchema,
    async read({ params, control: { db } }) {
      const [contract] = await db
        .select()
        .from(contracts)
        .where(and(eq(contracts.id, params.contract), eq(contracts.org, params.org)))
      return contract ? ok(contract) : err('not_found')
    },
  })

  write<typeof contractPut, ContractEdit, typeof contractParams>(api, {
    method: 'put',
    path: '/orgs/{org}/contracts/{contract}',
    tag: 'Contracts',
    summary: 'Put a contract as its source says it is',
    description:
      'An earlier revision than the known one is refused, so that order of arrival does not matter.',
    roles: EDITORS,
    params: contractParams,
    body: contractPut,
    data: contractSchema,
    status: 201,
    command({ params, body: { reason, ticket, grace_until, ...contract } }) {
      const row = { ...contract, id: params.contract, org: params.org, grace_until }
      return putContractCommand(row, because({ reason, ticket }))
    },
    view: (row: ContractRow) => row,
  })
}
