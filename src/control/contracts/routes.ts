/** The routes of organizations and contracts. */
import { z } from '@hono/zod-openapi'
import { and, asc, eq, getTableColumns, gt, inArray, sql } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { ContractRow, OrganizationRow } from '../db/rows.ts'
import { contracts, organizations } from '../db/schema.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because } from '../ledger/command.ts'
import { State } from '../ledger/state.ts'
import { EDITORS, READERS } from '../roles.ts'
import {
  type ContractEdit,
  contractPut,
  type OrganizationEdit,
  organizationCreate,
  organizationUpdating,
} from './commands.ts'
import {
  contractParams,
  contractPutting,
  contractSchema,
  organizationCreation,
  organizationSchema,
  organizationUpdate,
  orgParams,
  planKey,
  withContracts,
} from './schemas.ts'

/** The number that its source knows it by, where one does. */
const externalId = sql<string | null>`(SELECT a.external_id FROM agreements a WHERE a.contract = CASE
  WHEN instr(${contracts.id}, '~') > 0 THEN substr(${contracts.id}, 1, instr(${contracts.id}, '~') - 1)
  ELSE ${contracts.id} END)`

const withNumber = { ...getTableColumns(contracts), external_id: externalId }

async function addContracts(db: Database, page: readonly OrganizationRow[]) {
  const ids = JSON.stringify(page.map(({ id }) => id))
  const rows = await db
    .select(withNumber)
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
    summary: 'List organizations with their contracts',
    roles: READERS,
    everywhere: true,
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
    everywhere: true,
    body: organizationCreation,
    data: organizationSchema,
    status: 201,
    command: ({ body: { id, name, ...why } }) => organizationCreate.create({ id, name }, because(why)),
    view: (row) => row,
  })

  read(api, {
    path: '/orgs/{org}',
    tag: 'Organizations',
    summary: 'Get an organization with its contracts',
    roles: READERS,
    everywhere: true,
    params: orgParams,
    answer: withContracts,
    async read({ params, control: { db } }) {
      const organization = await new State(db).rows('organizations').load(params.org)
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
    everywhere: true,
    params: orgParams,
    body: organizationUpdate,
    data: organizationSchema,
    ifMatch: 'required',
    command: ({ params, body: { reason, ticket, ...change } }) =>
      organizationUpdating.create({ ...params, ...change }, because({ reason, ticket })),
    view: (row) => row,
  })

  read(api, {
    path: '/orgs/{org}/contracts/{contract}',
    tag: 'Contracts',
    summary: 'Get a contract',
    roles: READERS,
    everywhere: true,
    params: contractParams,
    answer: contractSchema,
    async read({ params, control: { db } }) {
      const [contract] = await db
        .select(withNumber)
        .from(contracts)
        .where(and(eq(contracts.id, params.contract), eq(contracts.org, params.org)))
      return contract ? ok(contract) : err('not_found')
    },
  })

  write<typeof contractPutting, ContractEdit, typeof contractParams>(api, {
    method: 'put',
    path: '/orgs/{org}/contracts/{contract}',
    tag: 'Contracts',
    summary: 'Set a contract to the state that its source reports',
    description:
      'A revision earlier than the stored one is refused, so the order of arrival does not matter.',
    roles: EDITORS,
    everywhere: true,
    params: contractParams,
    body: contractPutting,
    data: contractSchema,
    status: 201,
    command: ({ params, body: { reason, ticket, ...contract } }) =>
      contractPut.create({ ...params, ...contract }, because({ reason, ticket })),
    view: (row: ContractRow) => row,
  })
}
