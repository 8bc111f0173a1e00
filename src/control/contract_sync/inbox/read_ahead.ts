/** Reads everything that a group of events will need, in a few round trips. Does I/O through `Known`. */
import { byContract } from '../../entities/contract.ts'
import type { State } from '../../ledger/state.ts'
import { idsOf } from '../contracts/identity.ts'
import type { ContractSnapshot } from '../events.ts'
import { type CanonicalEvent, type External, externalsOf, isContractEvent } from '../events.ts'
import type { Known } from '../known.ts'
import type { ParsedEvent } from './decide.ts'

export async function readAhead(known: Known, group: readonly ParsedEvent[]): Promise<void> {
  const parts = group.flatMap(({ parsed }) => (parsed.ok ? parsed.value : parsed.ends ? [parsed.ends] : []))
  const contracts = parts.filter(isContractEvent)
  await known.prefetch({
    numbers: contracts.map(({ source, contract }) => ({ source, number: contract })),
    customers: contracts.flatMap((part) =>
      'customer' in part && part.customer !== null ? [{ source: part.source, customer: part.customer }] : [],
    ),
  })
  const ids = new Set<string>()
  const said: ContractSnapshot[] = []
  for (const part of contracts) {
    for (const id of await idsOf({ system: null, ...part })) ids.add(id)
    for (const row of await known.numbered(part.source, part.contract)) {
      ids.add(row.contract)
      said.push(row.said as ContractSnapshot)
    }
  }
  await readNames(known, [...ids], [...parts, ...said])
}

/** Reads these contracts, and resolves the names in these events. */
export async function readNames(
  { state }: Known,
  contracts: readonly string[],
  parts: readonly CanonicalEvent[],
): Promise<void> {
  const names = parts.flatMap((part) => externalsOf(part).map((name) => ({ source: sourceOf(part), name })))
  const links = parts.flatMap((part) => (part.type === 'org.linked' ? [part] : []))
  const ours = (...kinds: External['kind'][]) =>
    names.flatMap(({ name: { kind, ours } }) => (kinds.includes(kind) && ours !== undefined ? [ours] : []))
  const mapped = [
    ...names.flatMap(({ source, name }) => name.candidates.map((external_id) => ({ source, external_id }))),
    ...links,
  ]
  const [rows] = await Promise.all([
    state.rows('contracts').by(byContract, contracts),
    state.rows('contracts').loadMany(contracts),
    state
      .rows('mappings')
      .loadMany(
        mapped.flatMap(({ source, external_id }) => MAPPED.map((kind) => [source, kind, external_id])),
      ),
    loadAll(state, {
      organizations: [...ours('org'), ...links.map(({ org }) => org)],
      plans: ours('plan'),
      flags: ours('flag'),
    }),
  ])
  // Further names in the rows.
  await loadAll(state, {
    organizations: rows.map(({ org }) => org),
    plans: rows.flatMap(({ plan }) => plan ?? []),
    flags: rows.flatMap(({ add }) => add),
  })
}

const MAPPED = ['plan', 'flag', 'org'] as const

const loadAll = (
  state: State,
  keys: Readonly<Record<'organizations' | 'plans' | 'flags', readonly string[]>>,
) =>
  Promise.all([
    state.rows('organizations').loadMany(keys.organizations),
    state.rows('plans').loadMany(keys.plans),
    state.rows('flags').loadMany(keys.flags),
  ])

const sourceOf = (part: CanonicalEvent): string => ('source' in part ? part.source : '')
