/**
 * The one place where contract sync uses the ledger: it decides an event's commands, each on the result of those before, and
 * commits a group. Does I/O.
 */
import type { z } from '@hono/zod-openapi'
import { type Actor, systemActor } from '../auth/actor.ts'
import { evaluateEdits } from '../effects/evaluate.ts'
import { type Edit, isUnchanged } from '../entities/edit.ts'
import type { CommandRegistry, Facts, Step, Why } from '../ledger/command.ts'
import { requirementsIn } from '../ledger/requirements.ts'
import type { Known } from './known.ts'
import { displayName } from './sources/names.ts'
import type { ReceivedEvent } from './sources/source.ts'
import { awaitingApproval, quarantined, type Verdict } from './verdict.ts'

/** The context of a command's decision. */
export interface Commands {
  readonly facts: Facts
  readonly registry: CommandRegistry
}

export type Steps =
  | { readonly ok: true; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly verdict: Verdict }

/** The steps of one command on the known state; none if nothing would change. */
export async function runCommand(
  action: string,
  input: Record<string, unknown>,
  event: ReceivedEvent,
  known: Known,
  { facts, registry }: Commands,
): Promise<Steps> {
  const kind = registry.get(action)
  const parsed = kind?.input.strict().safeParse(input)
  if (!kind || !parsed?.success) {
    return { ok: false, verdict: quarantined('payload_invalid', refusedIn(input, parsed?.error)) }
  }
  const actor = sourceActor(event.source)
  const why = whyOf(event)
  const decided = await kind.create(parsed.data, why).decide({ ...facts, actor, state: known.state })
  if (!decided.ok) return { ok: false, verdict: quarantined(decided.reason) }
  const value = decided.value
  const own = { action, actor, ...why }
  const steps = 'table' in value ? [{ edit: value, ...own }] : [...value.first, { edit: value.edit, ...own }]
  return { ok: true, steps: steps.filter(({ edit }) => !isUnchanged(edit)) }
}

/**
 * A command that is not an agreement: what it grants must not contradict a contract, and if somebody only clicked at a vendor
 * and a policy guards it, it requires approval like any other.
 */
export async function runGuarded(
  action: string,
  input: Record<string, unknown>,
  { event, known, click }: { readonly event: ReceivedEvent; readonly known: Known; readonly click: boolean },
  commands: Commands,
): Promise<Steps> {
  const run = await runCommand(action, input, event, known, commands)
  if (!run.ok || run.steps.length === 0) return run
  const { policies, now, state } = commands.facts
  const edits = run.steps.map(({ edit }) => edit)
  const checked = edits.flatMap((edit) => (edit.table === 'rules' ? [edit.after] : []))
  const evaluated = await evaluateEdits(known.db, edits, { policies, now, checked })
  if (!evaluated.ok) return { ok: false, verdict: quarantined(evaluated.reason) }
  const [contradiction] = evaluated.value.contradictions
  if (contradiction) return { ok: false, verdict: quarantined('contract_contradicts', contradiction.flag) }
  const { effects } = evaluated.value
  const guarded = click ? await requirementsIn({ policies, state }, edits, effects) : []
  return guarded.length === 0 ? run : { ok: false, verdict: awaitingApproval({ action, input }) }
}

/** The refused part of an input: the name itself, or its member. */
function refusedIn(input: Record<string, unknown>, error: z.ZodError | undefined): string | null {
  const path = error?.issues[0]?.path
  if (!path) return null
  const value = path.reduce<unknown>(
    (part, member) => (part as Record<PropertyKey, unknown>)?.[member],
    input,
  )
  return displayName(typeof value === 'string' ? value : path.join('.'), 'the event')
}

/** The reason of every change: the event and the person behind it. */
export const whyOf = ({ source, type, id, askedBy, person }: ReceivedEvent): Why => ({
  reason: [
    `As ${source} says`,
    ...(person === undefined ? [] : [`, by ${person}`]),
    ...(askedBy === undefined ? [] : [`, whom ${askedBy} asked`]),
    `: ${type} ${id}`,
  ].join(''),
  ticket: null,
})

/** Changes of a contract are recorded under its id. */
export const contractStep = (edit: Edit, id: string, why: Why): Step => ({
  edit,
  action: 'contract.put',
  actor: systemActor(`system:contract:${id}`),
  ...why,
})

/** The person behind the event cannot approve what it requests. */
export const sourceActor = (source: string, person?: string): Actor => ({
  ...systemActor(`system:${source}`),
  roles: ['editor'],
  people: person === undefined ? [] : [`user:${person.toLowerCase()}`],
})
