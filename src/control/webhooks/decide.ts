/**
 * A group of events decided one on what the other made, to be committed together; and what follows where something is
 * taken away. Reads through `State`.
 */
import { inArray, sql } from 'drizzle-orm'
import { type Evaluation, evaluateEdits } from '../changes/assess.ts'
import type { CommandBook, Facts, Step } from '../changes/command.ts'
import { readPolicies } from '../changes/policy.ts'
import type { State } from '../changes/state.ts'
import type { Database } from '../db/client.ts'
import type { InboxRow } from '../db/rows.ts'
import { inbox } from '../db/schema.ts'
import type { Edit } from '../model/edit.ts'
import type { CanonicalEvent } from '../model/events.ts'
import { entityOf, prefetchOf } from './about.ts'
import { type Applied, applyEvent, type LastApplied } from './effects.ts'
import type { Decided, Incoming } from './inbox_rows.ts'

/** Events that waited, moved on by one commit; the rest of them come with the next. */
const MAX_FOLLOWERS = 100

export interface Group {
  /** What has come in. */
  readonly incoming: readonly Incoming[]
  /** Contracts whose events may wait although what they are based on is there. */
  readonly contracts?: readonly string[]
}

export interface Made {
  readonly ok: true
  readonly value: readonly Decided[]
  readonly evaluation: Evaluation
  /** Contracts of which more events can be applied than this commit takes. */
  readonly unfinished: readonly string[]
}

/** The events that wait for one of these contracts to change, parsed again; the first revision first. */
export type Waiting = (entities: readonly string[]) => Promise<readonly Incoming[]>

/** Denies a session to live verification. It may be done more than once. */
export type Deny = (environment: string, sid: string) => Promise<void>

async function denied(events: readonly CanonicalEvent[], deny: Deny): Promise<boolean> {
  try {
    await Promise.all(
      events.map((event) => event.type === 'session.revoked' && deny(event.environment, event.sid)),
    )
    return true
  } catch {
    return false
  }
}

export const NOTHING: Applied = {
  ...{ state: 'applied', problem: null, steps: [], entity: null, org: null, revision: null },
}

const editsOf = (decided: readonly Decided[]): Edit[] =>
  decided.flatMap(({ applied }) => applied.steps.map(({ edit }) => edit))

/** The same event earlier in the same group; told as that one is. */
function firstOf(decided: readonly Decided[], own: string): InboxRow | undefined {
  const first = decided.find(
    ({ incoming, id }) => nameOf(incoming) === own && id === incoming.arrival.event.id,
  )
  return first && ({ state: first.applied.state, problem: first.applied.problem, seq: null } as InboxRow)
}

const nameOf = ({ arrival: { source, event } }: Incoming): string => `${source} ${event.id}`

const prefetchAll = (group: readonly Incoming[]) => {
  const all = group.map(({ arrival: { source, parsed } }) =>
    prefetchOf(source, parsed.ok ? parsed.value : []),
  )
  return {
    mappings: all.flatMap(({ mappings }) => mappings),
    organizations: [...new Set(all.flatMap(({ organizations }) => organizations))],
    contracts: [...new Set(all.flatMap(({ contracts }) => contracts))],
    plans: [...new Set(all.flatMap(({ plans }) => plans))],
    flags: [...new Set(all.flatMap(({ flags }) => flags))],
  }
}

/** Everything that the events will ask for, in two round trips: what they name, and what the contracts have. */
async function readAhead(state: State, events: readonly Incoming[]): Promise<void> {
  const named = prefetchAll(events)
  await state.prefetch(named)
  const rows = (await Promise.all(named.contracts.map((contract) => state.contractRows(contract)))).flat()
  const others = (all: readonly (string | null)[], known: readonly string[]) =>
    [...new Set(all)].filter((one) => one !== null && !known.includes(one)) as string[]
  const organizations = others(
    rows.map(({ org }) => org),
    named.organizations,
  )
  const plans = others(
    rows.map(({ plan }) => plan),
    named.plans,
  )
  const flags = others(
    rows.flatMap(({ add }) => add),
    named.flags,
  )
  await state.prefetch({ organizations, plans, flags })
}

function lastApplied(
  db: Database,
  entity: string,
  types: readonly string[] | undefined,
): Promise<LastApplied | undefined> {
  const ofType = types ? sql` AND type IN (SELECT value FROM json_each(${JSON.stringify(types)}))` : sql``
  return db
    .all<LastApplied>(
      sql`SELECT revision, meaning FROM inbox
          WHERE entity = ${entity} AND state = 'applied' AND revision IS NOT NULL${ofType}
          ORDER BY revision DESC LIMIT 1`,
    )
    .then(([row]) => row)
}

/**
 * Decides what has come in, one event after the other; and what waited for one of them, right behind it. So they are
 * committed together, and none is left to wait for something that is there.
 */
export async function decideGroup(
  group: Group,
  facts: Facts,
  book: CommandBook,
  waiting: Waiting,
  deny: Deny,
): Promise<Made | { ok: false; reason: 'flags_exclusive' }> {
  const {
    environments,
    state: { db },
  } = facts
  const [known, waited] = await Promise.all([
    knownRows(db, group.incoming),
    waiting([...new Set([...(group.contracts ?? []), ...group.incoming.flatMap(contractEntities)])]),
  ])
  const own = new Set(group.incoming.map(nameOf))
  const followers = waited.filter((follower) => !own.has(nameOf(follower)))
  await readAhead(facts.state, [...group.incoming, ...followers])
  /** What was applied in this commit, by entity. */
  const applied = new Map<string, (LastApplied & { readonly type: string })[]>()
  const latest = async (entity: string, types?: readonly string[]): Promise<LastApplied | undefined> => {
    const own = (applied.get(entity) ?? []).filter(({ type }) => types?.includes(type) ?? true)
    const before = await lastApplied(db, entity, types)
    return [...own, ...(before ? [before] : [])].toSorted((a, b) => b.revision - a.revision)[0]
  }
  const seen = new Map<string, string>()
  const decided: Decided[] = []
  const repeated: { incoming: Incoming; row: InboxRow | undefined }[] = []
  const stillWaiting: { incoming: Incoming; applied: Applied | undefined }[] = followers.map((incoming) => ({
    ...{ incoming, applied: undefined },
  }))
  const edits: Edit[] = []
  const unfinished = new Set<string>()
  let followed = 0

  const decide = async (incoming: Incoming): Promise<Applied> => {
    const { source, event, parsed } = incoming.arrival
    if (!parsed.ok) return { ...NOTHING, state: 'quarantined', problem: parsed.reason }
    if (!(await denied(parsed.value, deny)))
      return { ...NOTHING, state: 'quarantined', problem: 'apply_failed' }
    return applyEvent(parsed.value, {
      ...{ source, event, book },
      facts: { ...facts, state: facts.state.after(edits) },
      meaning: incoming.meaning,
      applied: latest,
    })
  }
  const settle = (incoming: Incoming, id: string, told: Applied): void => {
    if (told.state === 'applied' && told.entity !== null && told.revision !== null) {
      const { type } = incoming.arrival.event
      const last = { revision: told.revision, meaning: incoming.meaning, type }
      applied.set(told.entity, [...(applied.get(told.entity) ?? []), last])
    }
    edits.push(...told.steps.map(({ edit }) => edit))
    decided.push({ incoming, id, duplicate: undefined, applied: told })
  }
  /** What waits for the contract moves on, as far as it can now. */
  const follow = async (entity: string): Promise<void> => {
    const own = stillWaiting
      .filter(({ incoming }) => contractEntities(incoming).includes(entity))
      .toSorted((a, b) => revisionOf(a.incoming) - revisionOf(b.incoming))
    for (const one of own) {
      if (followed >= MAX_FOLLOWERS) {
        unfinished.add(entity)
        return
      }
      const applied = await decide(one.incoming)
      if (applied.state === 'waiting') continue
      followed++
      stillWaiting.splice(stillWaiting.indexOf(one), 1)
      settle(one.incoming, one.incoming.arrival.event.id, applied)
    }
  }

  for (const entity of group.contracts ?? []) await follow(entity)
  for (const incoming of group.incoming) {
    const { event } = incoming.arrival
    const own = nameOf(incoming)
    const row = known.get(own)
    const digest = seen.get(own) ?? row?.digest
    const reused = digest !== undefined && digest !== incoming.digest
    // Another event under the same name is kept beside the first, for somebody to look at.
    const id = reused ? `${event.id}~${incoming.digest.slice(0, 12)}` : event.id
    const settled =
      seen.has(own) || (row !== undefined && row.state !== 'waiting' && row.state !== 'quarantined')
    if (settled && !reused) {
      repeated.push({ incoming, row })
      continue
    }
    seen.set(own, incoming.digest)
    if (reused) {
      settle(incoming, id, { ...NOTHING, state: 'quarantined', problem: 'event_id_reused' })
      continue
    }
    const applied = await decide(incoming)
    if (applied.state === 'waiting') stillWaiting.push({ incoming, applied })
    else settle(incoming, id, applied)
    if (applied.state === 'applied') for (const entity of contractEntities(incoming)) await follow(entity)
  }
  for (const { incoming, applied } of stillWaiting) {
    if (applied) settle(incoming, incoming.arrival.event.id, applied)
  }
  for (const { incoming, row } of repeated) {
    const duplicate = row ?? firstOf(decided, nameOf(incoming))
    decided.push({ incoming, id: incoming.arrival.event.id, duplicate, applied: NOTHING })
  }
  const policies = await readPolicies(db, environments)
  const evaluated = await evaluateEdits(db, edits, policies, facts.now)
  if (!evaluated.ok) return evaluated
  const flags = await revokeOnLoss(decided, evaluated.value, facts)
  return {
    ...{ ok: true, value: decided, unfinished: [...unfinished] },
    evaluation: { ...evaluated.value, flags },
  }
}

/** The contracts that an event is about, as entities. */
export const contractEntities = ({ arrival: { parsed } }: Incoming): string[] =>
  parsed.ok ? parsed.value.flatMap((event) => ('contract' in event ? [entityOf(event) ?? ''] : [])) : []

const revisionOf = ({ arrival: { parsed } }: Incoming): number =>
  (parsed.ok && parsed.value.map((event) => ('revision' in event ? event.revision : 0))[0]) || 0

/**
 * Where a change takes something from an organization whose flag's policy wants it, the tokens that are out are refused
 * by live verification from now on: one more step behind the last one about that organization.
 *
 * @returns the flags of every step, in their order
 */
async function revokeOnLoss(
  decided: readonly Decided[],
  { effects, flags }: Evaluation,
  facts: Facts,
): Promise<(readonly string[])[]> {
  const perStep = [...flags]
  const lost = effects.filter(({ at, lost }) => at === null && lost.organizations.length > 0)
  const revoking = (await facts.state.flags([...new Set(lost.map(({ flag }) => flag))].sort()))
    .filter(({ revoke_on_loss }) => revoke_on_loss)
    .map(({ key }) => key)
  const organizations = [
    ...new Set(lost.filter(({ flag }) => revoking.includes(flag)).flatMap(({ lost }) => lost.organizations)),
  ]
  for (const org of organizations) {
    const position = decided.findLastIndex(({ applied }) =>
      applied.steps.some(({ edit }) => edit.table === 'contracts' && edit.after.org === org),
    )
    const event = decided[position]
    const before = await facts.state.after(editsOf(decided)).organization(org)
    const last = event?.applied.steps.at(-1)
    if (!event || !before || !last) continue
    const not_before = Math.max(before.not_before, Math.ceil(facts.now / 1000))
    const at = new Date(facts.now).toISOString()
    const after = { ...before, not_before, updated_at: at, revision: before.revision + 1 }
    const step: Step = {
      ...last,
      edit: { table: 'organizations', before, after },
      action: 'organization.revoke',
    }
    event.applied = { ...event.applied, steps: [...event.applied.steps, step] }
    perStep.splice(editsOf(decided.slice(0, position + 1)).length - 1, 0, [])
  }
  return perStep
}

async function knownRows(db: Database, group: readonly Incoming[]): Promise<Map<string, InboxRow>> {
  const ids = JSON.stringify([...new Set(group.map(({ arrival }) => arrival.event.id))])
  const rows = await db
    .select()
    .from(inbox)
    .where(inArray(inbox.event_id, sql`(SELECT value FROM json_each(${ids}))`))
  return new Map(rows.map((row) => [`${row.source} ${row.event_id}`, row]))
}
