/**
 * A group of events decided one on what the other made, to be committed together; and what follows where something is
 * taken away. Reads through `State`.
 */
import { inArray, sql } from 'drizzle-orm'
import { type Evaluation, evaluateEdits } from '../changes/assess.ts'
import type { CommandBook, Facts, Step } from '../changes/command.ts'
import { readPolicies } from '../changes/policy.ts'
import type { Database } from '../db/client.ts'
import type { InboxRow } from '../db/rows.ts'
import { inbox } from '../db/schema.ts'
import type { Edit } from '../model/edit.ts'
import { type Applied, applyEvent, prefetchOf } from './effects.ts'
import type { Decided, Incoming } from './inbox_rows.ts'

export interface Made {
  readonly ok: true
  readonly value: readonly Decided[]
  readonly evaluation: Evaluation
}

export const NOTHING: Applied = {
  ...{ state: 'applied', problem: null, steps: [], entity: null, org: null, revision: null },
}

const editsOf = (decided: readonly Decided[]): Edit[] =>
  decided.flatMap(({ applied }) => applied.steps.map(({ edit }) => edit))

/** The same event earlier in the same group; told as that one is. */
function firstOf(decided: readonly Decided[], own: string): InboxRow | undefined {
  const first = decided.find(
    ({ incoming: { arrival }, id }) =>
      `${arrival.source} ${arrival.event.id}` === own && id === arrival.event.id,
  )
  return first && ({ state: first.applied.state, problem: first.applied.problem, seq: null } as InboxRow)
}

const prefetchAll = (group: readonly Incoming[]) => {
  const all = group.map(({ arrival: { source, parsed } }) =>
    prefetchOf(source, parsed.ok ? parsed.value : []),
  )
  return {
    mappings: all.flatMap(({ mappings }) => mappings),
    organizations: [...new Set(all.flatMap(({ organizations }) => organizations))],
    contracts: [...new Set(all.flatMap(({ contracts }) => contracts))],
  }
}

function lastRevision(
  db: Database,
  entity: string,
  known: Map<string, Promise<number | undefined>>,
): Promise<number | undefined> {
  const earlier = known.get(entity)
  if (earlier) return earlier
  const reading = db
    .all<{ last: number | null }>(
      sql`SELECT max(revision) AS last FROM inbox WHERE entity = ${entity} AND state = 'applied'`,
    )
    .then(([row]) => row?.last ?? undefined)
  known.set(entity, reading)
  return reading
}

export async function decideGroup(
  group: readonly Incoming[],
  facts: Facts,
  book: CommandBook,
): Promise<
  { ok: true; value: Decided[]; evaluation: Evaluation } | { ok: false; reason: 'flags_exclusive' }
> {
  const {
    environments,
    state: { db },
  } = facts
  const known = await knownRows(facts.state.db, group)
  await facts.state.prefetch(prefetchAll(group))
  const revisions = new Map<string, Promise<number | undefined>>()
  const seen = new Map<string, string>()
  const decided: Decided[] = []
  const edits: Edit[] = []
  for (const incoming of group) {
    const { source, event, parsed } = incoming.arrival
    const own = `${source} ${event.id}`
    const row = known.get(own)
    const digest = seen.get(own) ?? row?.digest
    const reused = digest !== undefined && digest !== incoming.digest
    // Another event under the same name is kept beside the first, for somebody to look at.
    const id = reused ? `${event.id}#${incoming.digest.slice(0, 12)}` : event.id
    const settled =
      seen.has(own) || (row !== undefined && row.state !== 'waiting' && row.state !== 'quarantined')
    if (settled && !reused) {
      decided.push({ incoming, id, duplicate: row ?? firstOf(decided, own), applied: NOTHING })
      continue
    }
    seen.set(own, incoming.digest)
    const applied = reused
      ? { ...NOTHING, state: 'quarantined' as const, problem: 'event_id_reused' }
      : parsed.ok
        ? await applyEvent(parsed.value, {
            ...{ source, event, book },
            facts: { ...facts, state: facts.state.after(edits) },
            applied: (entity) => lastRevision(db, entity, revisions),
          })
        : { ...NOTHING, state: 'quarantined' as const, problem: parsed.reason }
    if (applied.state === 'applied' && applied.entity !== null && applied.revision !== null) {
      revisions.set(applied.entity, Promise.resolve(applied.revision))
    }
    edits.push(...applied.steps.map(({ edit }) => edit))
    decided.push({ incoming, id, duplicate: undefined, applied })
  }
  const policies = await readPolicies(db, environments)
  const evaluated = await evaluateEdits(db, edits, policies, facts.now)
  if (!evaluated.ok) return evaluated
  const flags = await revokeOnLoss(decided, evaluated.value, facts)
  return { ok: true, value: decided, evaluation: { ...evaluated.value, flags } }
}

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
