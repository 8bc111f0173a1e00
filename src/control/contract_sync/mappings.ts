/** Mappings: which plan or flag a price is, which organization a customer is. Changes are audited, and approved where required. */
import { z } from '@hono/zod-openapi'
import { and, asc, eq, gt, or } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { MappingRow } from '../db/rows.ts'
import { mappings } from '../db/schema.ts'
import { type EditOf, isUnchanged } from '../entities/edit.ts'
import { externalId, storedInstant, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because, commandKind, commandRegistry, type Decision } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS, READERS } from '../roles.ts'
import { sourceName } from './fields.ts'
import { Known } from './known.ts'
import { movedBy } from './rederive.ts'
import { reimported } from './reimport.ts'

export type MappingEdit = EditOf<'mappings'>

const kind = z.enum(['plan', 'flag', 'org'])

const mappingParams = z.object({ source: sourceName, kind, external_id: externalId })
const mappingContent = z.object({
  target: externalId.nullable().openapi({ description: 'The name here; null: no longer mapped.' }),
})
const mappingSetting = mappingContent.extend(why)

const mappingSchema = z
  .object({
    source: z.string(),
    kind,
    external_id: z.string(),
    target: z.string().nullable(),
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Mapping')

export const mappingSet = commandKind({
  action: 'mapping.set',
  roles: EDITORS,
  input: mappingParams.extend(mappingContent.shape),
  async decide({ target, ...key }, facts, why): Promise<Result<Decision<MappingEdit>, Refusal>> {
    const { state, now } = facts
    const before = await state.rows('mappings').load([key.source, key.kind, key.external_id])
    if (target !== null) {
      const problem = await missing(key.kind, target)
      if (problem) return err(problem)
    }
    const after = {
      ...key,
      target,
      updated_at: new Date(now).toISOString(),
      revision: (before?.revision ?? 0) + 1,
    }
    const edit: MappingEdit = { table: 'mappings', before: before ?? null, after }
    if (isUnchanged(edit)) return ok({ first: [], edit })
    const known = new Known(state.after([edit]))
    const moved = await movedBy(key, known, facts, why)
    if (!moved.ok) return moved
    const imported = await reimported(after, new Known(state), known.after(moved.value), facts, why)
    return imported.ok ? ok({ first: [...moved.value, ...imported.value], edit }) : imported

    async function missing(what: typeof key.kind, id: string): Promise<Refusal | undefined> {
      switch (what) {
        case 'plan':
          return (await state.rows('plans').load(id)) ? undefined : 'plan_unknown'
        case 'flag':
          return (await state.rows('flags').load(id)) ? undefined : 'flag_unknown'
        case 'org':
          return (await state.rows('organizations').load(id)) ? undefined : 'org_unknown'
      }
    }
  },
})

export const mappingCommands = commandRegistry(mappingSet)

const view = (row: MappingRow) => row

export function mappingRoutes(api: Api): void {
  read(api, {
    path: '/mappings',
    tag: 'Contract sync',
    summary: 'List mappings: names of other systems and what they are here',
    roles: READERS,
    everywhere: true,
    query: z.object({ ...pageQuery, source: sourceName.optional(), kind: kind.optional() }),
    answer: pageOf(mappingSchema),
    async read({ query, control: { db } }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const [source = '', of = '', id = ''] = after.value?.split(' ') ?? []
      const rows = await db
        .select()
        .from(mappings)
        .where(
          and(
            query.source === undefined ? undefined : eq(mappings.source, query.source),
            query.kind && eq(mappings.kind, query.kind),
            after.value === undefined
              ? undefined
              : or(
                  gt(mappings.source, source),
                  and(eq(mappings.source, source), gt(mappings.kind, of as MappingRow['kind'])),
                  and(
                    eq(mappings.source, source),
                    eq(mappings.kind, of as MappingRow['kind']),
                    gt(mappings.external_id, id),
                  ),
                ),
          ),
        )
        .orderBy(asc(mappings.source), asc(mappings.kind), asc(mappings.external_id))
        .limit(query.limit + 1)
      return ok(toPage(rows, query.limit, (row) => `${row.source} ${row.kind} ${row.external_id}`))
    },
  })

  write<typeof mappingSetting, MappingEdit, typeof mappingParams>(api, {
    method: 'put',
    path: '/mappings/{source}/{kind}/{external_id}',
    tag: 'Contract sync',
    summary: 'Map a name of another system; events that need it are retried',
    roles: EDITORS,
    everywhere: true,
    params: mappingParams,
    body: mappingSetting,
    data: mappingSchema,
    command: ({ params, body: { target, ...rest } }) =>
      mappingSet.create({ ...params, target }, because(rest)),
    view,
  })
}
