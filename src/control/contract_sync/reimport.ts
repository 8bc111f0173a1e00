/**
 * Flags as another system set them last: kept beside what it said of contracts, and imported again when a mapping that they
 * follow from is corrected. Does I/O.
 */
import { and, asc, eq, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { canonical, sha256Hex } from '../canonical.ts'
import type { AgreementRow, MappingRow } from '../db/rows.ts'
import { agreements } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { isUnchanged } from '../entities/edit.ts'
import type { Facts, Step, Why } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { resolver } from './apply/resolve.ts'
import { externalsOf, type FlagTargets, nameOf, needsOf } from './events.ts'
import { flagImport } from './flag_import.ts'
import type { Known } from './known.ts'
import type { ReceivedEvent } from './sources/source.ts'

/** No contract is called this. */
const PREFIX = '~flag:'
const MAX_MOVED = 100
const NOBODY = { organizations: [], users: [] }

/** What is kept of a flag that was imported. @param now - epoch milliseconds */
export async function importSaid(
  part: FlagTargets,
  event: ReceivedEvent,
  now: number,
): Promise<AgreementRow> {
  const name = nameOf(part.flag)
  return {
    contract: `${PREFIX}${part.environment}:${name}`,
    source: part.source,
    system: null,
    external_id: name,
    customer: null,
    revision: part.revision,
    meaning: await sha256Hex(canonical(part)),
    said: part,
    names: [...new Set(externalsOf(part).flatMap(needsOf))],
    whole: true,
    due_since: null,
    event_source: event.source,
    event_id: event.id,
    derived_at: new Date(now).toISOString(),
  }
}

/** What a mapping changes of imported flags. @param mapping - as it will be */
export async function reimported(
  mapping: MappingRow,
  before: Known,
  after: Known,
  facts: Facts,
  why: Why,
): Promise<Result<readonly Step[], Refusal>> {
  const { source, kind, external_id } = mapping
  if (kind === 'plan') return ok([])
  const rows = await before.db
    .select()
    .from(agreements)
    .where(
      and(
        eq(agreements.source, source),
        sql`${agreements.contract} LIKE ${`${PREFIX}%`}`,
        sql`EXISTS (SELECT 1 FROM json_each(${agreements.names}) AS n WHERE n.value IN ${list([`${kind}:${external_id}`])})`,
      ),
    )
    .orderBy(asc(agreements.revision))
    .limit(MAX_MOVED + 1)
  if (rows.length > MAX_MOVED) return err('mapping_moves_too_many')
  const steps: Step[] = []
  for (const { said } of rows) {
    const part = said as FlagTargets
    for (const input of await inputsOf(part, before, after)) {
      const own = { ...input, source, environment: part.environment, revision: part.revision }
      const imported = await importAgain(
        { ...own, mapping: mapping.revision },
        { ...facts, state: after.after(steps).state },
        why,
      )
      if (!imported.ok) return imported
      steps.push(...imported.value)
    }
  }
  return ok(steps)
}

/** Of the flag that it was, nobody has it by import any more; of the one that it is, those who are its targets now. */
async function inputsOf(part: FlagTargets, before: Known, after: Known) {
  if (part.deleted || part.targets === null) return []
  const names = externalsOf(part)
  const was = (await resolver(part.source, names, before))(part.flag, 'flag')
  const resolve = await resolver(part.source, names, after)
  const flag = resolve(part.flag, 'flag')
  const organizations = part.targets.organizations.flatMap((org) => resolve(org, 'org') ?? []).toSorted()
  const targets = { organizations: [...new Set(organizations)], users: part.targets.users.toSorted() }
  if (flag !== undefined && flag === was) return [{ flag, access: null, targets }]
  return [
    // What its rule was before is not known: at least nobody has it who has no grant or contract.
    ...(was === undefined
      ? []
      : [{ flag: was, access: part.access === 'all' ? 'some' : null, targets: NOBODY } as const]),
    ...(flag === undefined ? [] : [{ flag, access: part.access, targets }]),
  ]
}

type Input = Parameters<typeof flagImport.create>[0]

async function importAgain(input: Input, facts: Facts, why: Why): Promise<Result<readonly Step[], Refusal>> {
  const decided = await flagImport.create(input, why).decide(facts)
  if (!decided.ok) {
    // A later event has set its rule: the targets follow all the same.
    if (decided.reason === 'change_stale' && input.access !== null)
      return importAgain({ ...input, access: null }, facts, why)
    return decided.reason === 'flag_retired' ? ok([]) : err(decided.reason)
  }
  const { value } = decided
  const own = { action: flagImport.action, actor: facts.actor, ...why }
  const steps: Step[] =
    'table' in value ? [{ edit: value, ...own }] : [...value.first, { edit: value.edit, ...own }]
  return ok(steps.filter(({ edit }) => !isUnchanged(edit)))
}
