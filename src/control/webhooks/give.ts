/**
 * How an event acts: as commands, on behalf of the system that told it, or not at all, which is named by a code.
 */
import type * as z from 'zod'
import { ok } from '../../core/result.ts'
import { type Actor, systemActor } from '../auth/actor.ts'
import { isUnchanged } from '../entities/edit.ts'
import type { CommandRegistry, Facts, Step } from '../ledger/command.ts'
import type { State } from '../ledger/state.ts'
import type { ReceivedEvent, SourceName } from '../model/source.ts'
import { nameOf } from './about.ts'
import { displayName } from './names.ts'
import type { Unresolved } from './project.ts'

export interface EventContext {
  readonly source: SourceName
  readonly event: ReceivedEvent
  readonly facts: Facts
  readonly book: CommandRegistry
  /** The digest of what the event means. */
  readonly meaning: string | null
  /** The latest event about something that was applied, of these types if they are named. */
  applied(entity: string, types?: readonly string[]): Promise<LastApplied | undefined>
}

export interface LastApplied {
  readonly revision: number
  readonly meaning: string | null
}

/** Why an event goes no further. */
interface Stop {
  readonly state: 'superseded' | 'waiting' | 'quarantined' | 'ignored'
  readonly problem: string
  /** Of what: a name, or where in the payload. */
  readonly detail: string | null
}

export type Stopped = { readonly ok: false; readonly stop: Stop }
export const stopped = (state: Stop['state'], problem: string, detail: string | null = null): Stopped => ({
  ok: false,
  stop: { state, problem, detail },
})
export const quarantined = (problem: string, detail?: string): Stopped =>
  stopped('quarantined', problem, detail)
export const unresolved = ({ reason, external }: Unresolved): Stopped => quarantined(reason, nameOf(external))
export const superseded = stopped('superseded', 'later_revision_applied')
/** The same revision says something else: nobody may guess which is true. */
export const conflict = quarantined('revision_conflict')

export type Steps = { readonly ok: true; readonly value: readonly Step[] } | Stopped

/** What of an input is not taken: the name itself, or the member that has it. */
function refusedIn(input: Record<string, unknown>, error: z.ZodError | undefined): string | undefined {
  const path = error?.issues[0]?.path
  if (!path) return undefined
  const value = path.reduce<unknown>(
    (part, member) => (part as Record<PropertyKey, unknown>)?.[member],
    input,
  )
  return displayName(typeof value === 'string' ? value : path.join('.'), 'the event')
}

/** One command of the book, on the state that the steps before it leave. */
export async function give(
  action: string,
  input: Record<string, unknown>,
  { book, facts, ...context }: EventContext,
  actor: Actor,
  before: readonly Step[] = [],
): Promise<Steps> {
  const kind = book.get(action)
  const parsed = kind?.input.strict().safeParse(input)
  if (!kind || !parsed?.success) return quarantined('payload_invalid', refusedIn(input, parsed?.error))
  const why = whyOf(context)
  const state = facts.state.after(before.map(({ edit }) => edit))
  const decided = await kind.create(parsed.data, why).decide({ ...facts, actor, state })
  if (!decided.ok) return quarantined(decided.reason, await unknownNames(decided.reason, input, state))
  if (!('table' in decided.value)) return quarantined('payload_invalid')
  const edit = decided.value
  return ok(isUnchanged(edit) ? [] : [{ edit, action, actor, ...why }])
}

export const whyOf = ({ source, event: { type, id, askedBy } }: Pick<EventContext, 'source' | 'event'>) => ({
  reason: `As ${source} says${askedBy === undefined ? '' : `, whom ${askedBy} asked`}: ${type} ${id}`,
  ticket: null,
})

/** Contract sync acts under the contract's id. */
export const contractActor = (contract: string): Actor => importing(`system:contract:${contract}`)
export const sourceActor = (source: SourceName): Actor => importing(`system:${source}`)
const importing = (id: `system:${string}`): Actor => ({ ...systemActor(id), roles: ['editor'] })

/** The names in a command's input that it does not know. */
async function unknownNames(
  reason: string,
  { plan, org, subject, target, flag, add }: Record<string, unknown>,
  state: State,
): Promise<string | undefined> {
  switch (reason) {
    case 'plan_unknown':
      return plan as string
    case 'org_unknown':
      return (org ?? (subject as { id: string } | undefined)?.id ?? target) as string
    case 'flag_unknown': {
      const named = (flag === undefined ? add : [flag]) as string[]
      const known = new Set((await state.rows('flags').loadMany(named)).map(({ key }) => key))
      return named.find((key) => !known.has(key))
    }
    default:
      return undefined
  }
}
