/**
 * The command that imports a flag's rule and targets from another system: a single one, so that it can be requested, reviewed
 * and approved as one. A click at a vendor is not an agreement, so what it grants is checked like a promotion. Does I/O.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { sha256Hex } from '../canonical.ts'
import type { GrantRow, RuleRow } from '../db/rows.ts'
import type { EditOf } from '../entities/edit.ts'
import { environmentName, externalId, flagKey } from '../entities/fields.ts'
import { bySource } from '../entities/grant.ts'
import {
  commandKind,
  commandRegistry,
  type Decision,
  type Facts,
  type Step,
  type Why,
} from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS } from '../roles.ts'
import { sourceName } from './fields.ts'
import { lastApplied } from './inbox/store.ts'

const MAX_TARGETS = 500
const targets = z.array(externalId).max(MAX_TARGETS)

const input = z.object({
  source: sourceName,
  flag: flagKey,
  environment: environmentName,
  /** The event's revision: a late event is refused. */
  revision: z.int().min(0),
  access: z.enum(['none', 'some', 'all']).nullable().openapi({ description: 'null: the rule stays.' }),
  targets: z
    .object({ organizations: targets, users: targets })
    .nullable()
    .openapi({ description: 'Who has the flag by import, and nobody else; null: grants stay.' }),
  mapping: z.int().min(1).optional().openapi({ description: 'Revision of the mapping that moves it.' }),
})

type Import = z.output<typeof input>
type FlagImportEdit = EditOf<'rules'> | EditOf<'grants'>

export const flagImport = commandKind({
  action: 'flag.import',
  roles: EDITORS,
  input,
  checkContracts: true,
  async decide(wanted, facts, why): Promise<Result<FlagImportEdit | Decision<FlagImportEdit>, Refusal>> {
    const { flag: key, environment, revision } = wanted
    const { state, environments, actor } = facts
    if (!environments.includes(environment)) return err('environment_unknown')
    const flag = await state.rows('flags').load(key)
    if (!flag) return err('flag_unknown')
    if (flag.state === 'retired') return err('flag_retired')
    const last = await lastApplied(state.db, `flag:${environment}:${key}`)
    if (last && last.revision > revision && wanted.access !== null) return err('change_stale')
    const told = { actor, ...why }
    const steps: Step[] = []
    for (const edit of await grantsOf(wanted, facts, why)) {
      const action = edit.before === null ? 'grant.create' : 'grant.revoke'
      steps.push({ edit, action, ...told })
    }
    const rule = await ruleOf(wanted, facts)
    if (rule) return ok({ first: steps, edit: rule })
    const granted = steps.at(-1)?.edit as FlagImportEdit | undefined
    if (granted) return ok({ first: steps.slice(0, -1), edit: granted })
    const before = await state.rows('rules').load([environment, key])
    const unset = unsetRule(wanted, facts)
    return ok({ table: 'rules', before: before ?? unset, after: before ?? unset })
  },
})

export const flagImportCommands = commandRegistry(flagImport)

const unsetRule = ({ flag, environment }: Import, { now }: Facts): RuleRow => ({
  flag,
  environment,
  access: 'none',
  percentage: null,
  killed: false,
  revision: 0,
  updated_at: new Date(now).toISOString(),
})

/** The rule, if it changes. Percentage and kill switch stay. */
async function ruleOf(wanted: Import, facts: Facts): Promise<EditOf<'rules'> | undefined> {
  const { flag, environment, access } = wanted
  if (access === null) return undefined
  const before = await facts.state.rows('rules').load([environment, flag])
  if (before?.access === access) return undefined
  const current = before ?? unsetRule(wanted, facts)
  const after = {
    ...current,
    access,
    revision: current.revision + 1,
    updated_at: new Date(facts.now).toISOString(),
  }
  return { table: 'rules', before: before ?? null, after }
}

/** Ends the grants of former targets, and creates those of new ones. */
async function grantsOf(wanted: Import, facts: Facts, why: Why): Promise<EditOf<'grants'>[]> {
  const { flag, environment, targets: all } = wanted
  if (all === null) return []
  const missing = new Map(
    [
      ...all.organizations.map((id) => ({ kind: 'org' as const, id })),
      ...all.users.map((id) => ({ kind: 'user' as const, id })),
    ].map((subject) => [`${subject.kind} ${subject.id}`, subject]),
  )
  const at = new Date(facts.now).toISOString()
  const edits: EditOf<'grants'>[] = []
  // Moved back, it is another grant than the one that ended.
  const moved = wanted.mapping === undefined ? [] : [wanted.mapping]
  for (const before of await facts.state.rows('grants').by(bySource, [['import', flag, environment]])) {
    if (before.effect !== 'allow' || (before.to !== null && before.to <= at)) continue
    if (missing.delete(`${before.subject_kind} ${before.subject_id}`)) continue
    const ended = { to: before.from > at ? before.from : at, revoked_at: at, revoked_by: facts.actor.id }
    const after = { ...before, ...ended, updated_at: at, revision: before.revision + 1 }
    edits.push({ table: 'grants', before, after })
  }
  for (const { kind, id } of missing.values()) {
    // By name, so that repeated assessments give the same result.
    const digest = await sha256Hex(
      JSON.stringify([wanted.source, environment, flag, kind, id, wanted.revision, ...moved]),
    )
    const after: GrantRow = {
      id: `grant_${digest.slice(0, 32)}`,
      environment,
      flag,
      effect: 'allow',
      source: 'import',
      subject_kind: kind,
      subject_id: id,
      ...why,
      from: at,
      to: null,
      created_by: facts.actor.id,
      created_at: at,
      updated_at: at,
      revoked_at: null,
      revoked_by: null,
      revision: 1,
    }
    const existing = await facts.state.rows('grants').load(after.id)
    if (!existing) edits.push({ table: 'grants', before: null, after })
  }
  return edits
}
