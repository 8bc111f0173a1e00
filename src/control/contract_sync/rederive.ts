/**
 * Derives contracts again from the last snapshots of their sources and the current mappings. Correcting a mapping moves the
 * contracts that depend on it, in the same change; drift finds those that were not moved. Does I/O.
 */
import { z } from '@hono/zod-openapi'
import { and, eq, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { AgreementRow, ContractRow, MappingRow } from '../db/rows.ts'
import { agreements } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import type { EditOf } from '../entities/edit.ts'
import { externalId, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { write } from '../http/write.ts'
import {
  because,
  commandKind,
  commandRegistry,
  type Decision,
  type Facts,
  type Step,
  type Why,
} from '../ledger/command.ts'
import { State } from '../ledger/state.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS } from '../roles.ts'
import { type DeriveOptions, derive, followUp, UNSAID } from './contracts/derive.ts'
import type { ContractSnapshot } from './events.ts'
import { readNames } from './inbox/read_ahead.ts'
import { Known } from './known.ts'
import { contractSchema } from './reconcile_schemas.ts'

/** How many contracts one change moves: each needs several statements of one batch. */
const MAX_MOVED = 100

type MappingKey = Pick<MappingRow, 'source' | 'kind' | 'external_id'>
export type ContractEdit = EditOf<'contracts'>

/** The contracts that a mapping moves. @param known - with the new mapping */
export async function movedBy(
  { source, kind, external_id }: MappingKey,
  known: Known,
  { now, actor }: Facts,
  why: Why,
): Promise<Result<readonly Step[], Refusal>> {
  const names = [kind, ...(kind === 'org' ? [] : ['price'])].map((one) => `${one}:${external_id}`)
  const named = await known.db
    .select()
    .from(agreements)
    .where(
      and(
        eq(agreements.source, source),
        sql`EXISTS (SELECT 1 FROM json_each(${agreements.names}) AS n WHERE n.value IN ${list(names)})`,
        sql`EXISTS (SELECT 1 FROM contracts c WHERE c.id = ${agreements.contract})`,
      ),
    )
    .limit(MAX_MOVED + 1)
  if (named.length > MAX_MOVED) return err('mapping_moves_too_many')
  await readNames(
    known,
    named.map(({ contract }) => contract),
    named.map(({ said }) => said as ContractSnapshot),
  )
  const steps: Step[] = []
  // Entitlements follow subscriptions, so these come first.
  for (const row of named.toSorted((a, b) => a.contract.length - b.contract.length)) {
    steps.push(...(await stepsOf(row, known.after(steps), now, { action: 'contract.put', actor, ...why })))
  }
  return ok(steps)
}

async function stepsOf(
  agreement: AgreementRow,
  known: Known,
  now: number,
  told: Omit<Step, 'edit'>,
): Promise<readonly Step[]> {
  const step: DeriveOptions['step'] = (before, after) => ({
    ...told,
    edit: { table: 'contracts', before, after },
  })
  const { steps } = await derive(agreement.said as ContractSnapshot, agreement.contract, {
    known,
    now,
    dueSince: agreement.due_since,
    revision: 0,
    // Of an event that could not be read as a whole, nothing is given.
    held: agreement.meaning === UNSAID,
    step,
  })
  if (steps.length === 0) return steps
  return [...steps, ...(await followUp(agreement, known.after(steps), now, step))]
}

export const contractDerive = commandKind({
  action: 'contract.derive',
  roles: EDITORS,
  input: z.object({ contract: externalId }),
  async decide({ contract }, { state, now, actor }, why): Promise<Result<Decision<ContractEdit>, Refusal>> {
    const known = new Known(state)
    const [agreement, row] = await Promise.all([known.agreement(contract), known.contract(contract)])
    if (!agreement || !row) return err('not_found')
    const steps = await stepsOf(agreement, known, now, { action: 'contract.derive', actor, ...why })
    const last = steps.at(-1)?.edit as ContractEdit | undefined
    return ok({ first: steps.slice(0, -1), edit: last ?? { table: 'contracts', before: row, after: row } })
  },
})

export const deriveCommands = commandRegistry(contractDerive)

const deriveParams = z.object({ contract: externalId })
const deriveBody = z.object(why)

export function deriveRoutes(api: Api): void {
  write<typeof deriveBody, ContractEdit, typeof deriveParams>(api, {
    method: 'post',
    path: '/contracts/{contract}/derive',
    tag: 'Contract sync',
    summary: 'Derive a contract again from the last snapshot of its source',
    description: 'By the mappings of now. What a corrected mapping did not move is moved.',
    roles: EDITORS,
    everywhere: true,
    params: deriveParams,
    body: deriveBody,
    data: contractSchema,
    command: ({ params, body }) => contractDerive.create(params, because(body)),
    view: (row: ContractRow) => row,
  })
}

/** A contract that differs from what the current mappings give. */
export interface Misderived {
  readonly contract: string
  readonly org: string
  /** What would change: `plan enterprise -> team`. */
  readonly changes: readonly string[]
}

/** Those of the organizations with a mapping that has changed since. @param organizations - ids */
export async function misderived(
  db: Database,
  organizations: readonly string[],
  now: number,
): Promise<Misderived[]> {
  const suspects = await db.all<{ contract: string }>(
    sql`SELECT DISTINCT a.contract FROM contracts c
        JOIN agreements a ON a.contract = c.id AND a.whole
        JOIN json_each(a.names) n
        JOIN mappings m ON m.source = a.source AND m.kind IN ('plan', 'flag', 'org')
          AND m.external_id = substr(n.value, instr(n.value, ':') + 1) AND m.updated_at > c.updated_at
        WHERE c.org IN ${list(organizations)}`,
  )
  const found: Misderived[] = []
  const known = new Known(new State(db))
  const told = {
    action: 'contract.derive',
    actor: { id: 'system:drift', apiKey: null },
    reason: '',
    ticket: null,
  }
  for (const { contract } of suspects) {
    const agreement = await known.agreement(contract)
    const steps = agreement ? await stepsOf(agreement, known, now, told) : []
    const before = await known.contract(contract)
    const after = steps.findLast(({ edit }) => edit.table === 'contracts')?.edit.after as
      | ContractRow
      | undefined
    if (before && after) found.push({ contract, org: before.org, changes: differences(before, after) })
  }
  return found
}

const differences = (before: ContractRow, after: ContractRow): string[] =>
  (['org', 'plan', 'add', 'status'] as const).flatMap((member) => {
    const [was, is] = [before[member], after[member]].map((value) => String(value ?? 'none'))
    return was === is ? [] : [`${member} ${was} -> ${is}`]
  })
