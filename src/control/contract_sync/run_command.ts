/**
 * The one place from which contract sync reaches the ledger: an event's commands, decided on what those before them leave,
 * and the commit of a group. Does I/O.
 */
import type { z } from '@hono/zod-openapi'
import { type Actor, systemActor } from '../auth/actor.ts'
import { evaluateEdits } from '../effects/evaluate.ts'
import { type Edit, guardedEnvironments, isUnchanged } from '../entities/edit.ts'
import type { CommandRegistry, Facts, Step, Why } from '../ledger/command.ts'
import type { Known } from './known.ts'
import { displayName } from './sources/names.ts'
import type { ReceivedEvent } from './sources/source.ts'
import { awaitingApproval, quarantined, type Verdict } from './verdict.ts'

/** What a command is decided with. */
export interface Commands {
  readonly facts: Facts
  readonly registry: CommandRegistry
}

export type Steps =
  | { readonly ok: true; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly verdict: Verdict }

/** The steps of one command, on what is known; none where nothing would change. */
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
 * A command that is no agreement: what it gives away must not contradict a contract, and where somebody only clicked at a
 * vendor and a policy guards it, it waits to be approved like anybody's.
 */
export async function runGuarded(
  action: string,
  input: Record<string, unknown>,
  { event, known, click }: { readonly event: ReceivedEvent; readonly known: Known; readonly click: boolean },
  commands: Commands,
): Promise<Steps> {
  const run = await runCommand(action, input, event, known, commands)
  if (!run.ok || run.steps.length === 0) return run
  const { policies, now } = commands.facts
  const edits = run.steps.map(({ edit }) => edit)
  const checked = edits.flatMap((edit) => (edit.table === 'rules' ? [edit.after] : []))
  const evaluated = await evaluateEdits(known.db, edits, { policies, now, checked })
  if (!evaluated.ok) return { ok: false, verdict: quarantined(evaluated.reason) }
  const [contradiction] = evaluated.value.contradictions
  if (contradiction) return { ok: false, verdict: quarantined('contract_contradicts', contradiction.flag) }
  const guarded = click ? guardedEnvironments(edits, policies) : []
  return guarded.length === 0 ? run : { ok: false, verdict: awaitingApproval({ action, input }) }
}

/** What of an input is not taken: the name itself, or the member that has it. */
function refusedIn(input: Record<string, unknown>, error: z.ZodError | undefined): string | null {
  const path = error?.issues[0]?.path
  if (!path) return null
  const value = path.reduce<unknown>(
    (part, member) => (part as Record<PropertyKey, unknown>)?.[member],
    input,
  )
  return displayName(typeof value === 'string' ? value : path.join('.'), 'the event')
}

/** On record with every change: which event, and who was behind it. */
export const whyOf = ({ source, type, id, askedBy, person }: ReceivedEvent): Why => ({
  reason: [
    `As ${source} says`,
    ...(person === undefined ? [] : [`, by ${person}`]),
    ...(askedBy === undefined ? [] : [`, whom ${askedBy} asked`]),
    `: ${type} ${id}`,
  ].join(''),
  ticket: null,
})

/** A change of a contract is on record under its id. */
export const contractStep = (edit: Edit, id: string, why: Why): Step => ({
  ...{ edit, action: 'contract.put', actor: systemActor(`system:contract:${id}`), ...why },
})

/** Who was behind the event cannot approve what it asks for. */
export const sourceActor = (source: string, person?: string): Actor => ({
  ...systemActor(`system:${source}`),
  roles: ['editor'],
  people: person === undefined ? [] : [`user:${person.toLowerCase()}`],
})
