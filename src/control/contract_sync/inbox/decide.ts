/**
 * Decides a group of events, each on the result of those before, to be committed together; and what follows when something is
 * taken away. Reads through `Known`.
 *
 * Waiting events are decided again whenever something else has changed, so the order of a group does not matter.
 */
import { type Evaluation, evaluateEdits } from '../../effects/evaluate.ts'
import type { Edit } from '../../entities/edit.ts'
import type { Step } from '../../ledger/command.ts'
import { applyEvent } from '../apply/apply.ts'
import { isContractEvent } from '../events.ts'
import { Known } from '../known.ts'
import type { Commands } from '../run_command.ts'
import type { Parsed, ReceivedEvent } from '../sources/source.ts'
import { conflict, superseded, type Verdict } from '../verdict.ts'
import { readAhead } from './read_ahead.ts'
import { lastApplied } from './store.ts'

/** A parsed event. */
export interface ParsedEvent {
  readonly event: ReceivedEvent
  readonly parsed: Parsed
  readonly meaning: string | null
  /** Why only its restrictions may be applied. */
  readonly held?: string
}

export interface DecidedEvent extends ParsedEvent {
  verdict: Verdict
}

export interface Decided {
  readonly ok: true
  readonly events: readonly DecidedEvent[]
  readonly evaluation: Evaluation
}

/** Whether another event, or its consequences, may release this one. */
const mayGoOn = ({ state, needs }: Verdict): boolean => state === 'waiting' || needs.length > 0

export async function decideGroup(
  group: readonly ParsedEvent[],
  commands: Commands,
): Promise<Decided | { readonly ok: false; readonly reason: 'flags_exclusive' }> {
  const { facts } = commands
  let known = new Known(facts.state)
  await readAhead(known, group)
  const order = new Order(facts.state.db)
  const events: DecidedEvent[] = []
  let open: readonly ParsedEvent[] = byRevision(group)
  for (;;) {
    const left: DecidedEvent[] = []
    let changed = false
    for (const one of open) {
      const passed = (entity: string, revision: number, types?: readonly string[]) =>
        order.passed(one, entity, revision, types)
      const verdict = await applyEvent(
        one.parsed,
        { event: one.event, known, now: facts.now, held: one.held, passed },
        commands,
      )
      if (mayGoOn(verdict) && verdict.steps.length + verdict.said.length === 0) {
        left.push({ ...one, verdict })
        continue
      }
      known = known.after(verdict.steps, verdict.said)
      order.note(one, verdict)
      events.push({ ...one, verdict })
      changed ||= verdict.steps.length + verdict.said.length > 0
    }
    if (!changed || left.length === 0) {
      events.push(...left)
      break
    }
    open = left
  }
  const evaluated = await evaluateEdits(facts.state.db, editsOf(events), facts)
  if (!evaluated.ok) return evaluated
  const flags = await revokeOnLoss(events, evaluated.value, commands)
  return { ok: true, events, evaluation: { ...evaluated.value, flags } }
}

export const stepsOf = (events: readonly DecidedEvent[]): Step[] =>
  events.flatMap(({ verdict }) => verdict.steps)
const editsOf = (events: readonly DecidedEvent[]): Edit[] => stepsOf(events).map(({ edit }) => edit)

/** Stable, so that events about different subjects stay in order of arrival. */
function byRevision(group: readonly ParsedEvent[]): ParsedEvent[] {
  const revision = ({ parsed }: ParsedEvent) =>
    (parsed.ok && parsed.value.map((part) => (isContractEvent(part) ? part.revision : 0))[0]) || 0
  const contract = ({ parsed }: ParsedEvent) =>
    parsed.ok ? parsed.value.map((part) => (isContractEvent(part) ? part.contract : ''))[0] : undefined
  const sorted = [...group]
  const places = Map.groupBy(group.keys(), (index) => contract(group[index] as ParsedEvent) || `#${index}`)
  for (const own of places.values()) {
    const events = own
      .map((index) => group[index] as ParsedEvent)
      .toSorted((a, b) => revision(a) - revision(b))
    own.forEach((place, index) => {
      sorted[place] = events[index] as ParsedEvent
    })
  }
  return sorted
}

/** The late events among those about the same subject, of the group and earlier. */
class Order {
  readonly #db: ConstructorParameters<typeof Known>[0]['db']
  readonly #noted = new Map<string, { revision: number; meaning: string | null; type: string }[]>()

  constructor(db: ConstructorParameters<typeof Known>[0]['db']) {
    this.#db = db
  }

  note({ event, meaning }: ParsedEvent, { state, entity, revision, steps }: Verdict): void {
    if ((state !== 'applied' && steps.length === 0) || entity === null || revision === null) return
    this.#noted.set(entity, [...(this.#noted.get(entity) ?? []), { revision, meaning, type: event.type }])
  }

  async passed(
    { event, meaning }: ParsedEvent,
    entity: string,
    revision: number,
    types?: readonly string[],
  ): Promise<Verdict | undefined> {
    const own = (this.#noted.get(entity) ?? []).filter(({ type }) => types?.includes(type) ?? true)
    const before = await lastApplied(this.#db, entity, types, event)
    const [last] = [...own, ...(before ? [before] : [])].toSorted((a, b) => b.revision - a.revision)
    if (!last || revision > last.revision) return undefined
    return revision === last.revision && last.meaning !== meaning ? conflict : superseded
  }
}

/**
 * If a contract takes away a flag with `revoke_on_loss`, live verification refuses the organization's earlier tokens from now
 * on: one more step after the last one about that organization.
 *
 * @returns the flags of every step, in their order
 */
async function revokeOnLoss(
  events: readonly DecidedEvent[],
  { effects, flags }: Evaluation,
  { facts }: Commands,
): Promise<(readonly string[])[]> {
  const perStep = [...flags]
  const lost = effects.filter((effect) => effect.at === null && effect.lost.organizations.length > 0)
  const revoking = (await facts.state.rows('flags').loadMany(lost.map(({ flag }) => flag).sort()))
    .filter(({ revoke_on_loss }) => revoke_on_loss)
    .map(({ key }) => key)
  const organizations = new Set(
    lost.filter(({ flag }) => revoking.includes(flag)).flatMap((effect) => effect.lost.organizations),
  )
  for (const org of organizations) {
    const position = events.findLastIndex(({ verdict }) =>
      verdict.steps.some(({ edit }) => isContractOf(edit, org)),
    )
    const event = events[position]
    const before = await facts.state.after(editsOf(events)).rows('organizations').load(org)
    const last = event?.verdict.steps.at(-1)
    if (!event || !before || !last) continue
    const not_before = Math.max(before.not_before, Math.ceil(facts.now / 1000))
    const at = new Date(facts.now).toISOString()
    const after = { ...before, not_before, updated_at: at, revision: before.revision + 1 }
    const step: Step = {
      ...last,
      edit: { table: 'organizations', before, after },
      action: 'organization.revoke',
    }
    event.verdict = { ...event.verdict, steps: [...event.verdict.steps, step] }
    perStep.splice(editsOf(events.slice(0, position + 1)).length - 1, 0, [])
  }
  return perStep
}

/** Whether it is, or was, a contract of the organization. */
const isContractOf = (edit: Edit, org: string): boolean =>
  edit.table === 'contracts' && (edit.after.org === org || edit.before?.org === org)
