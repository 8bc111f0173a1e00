/** Everything that a group of events will ask for, in a few round trips. Does I/O through `Known`. */
import type { ContractRow } from '../../db/rows.ts'
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
  const names = [...parts, ...said].flatMap((part) =>
    externalsOf(part).map((name) => ({ source: sourceOf(part), name })),
  )
  const links = parts.flatMap((part) => (part.type === 'org.linked' ? [part] : []))
  const ours = (...kinds: External['kind'][]) =>
    names.flatMap(({ name: { kind, ours } }) => (kinds.includes(kind) && ours !== undefined ? [ours] : []))
  await known.state.prefetch({
    mappings: [
      ...names.flatMap(({ source, name }) => name.candidates.map((external_id) => ({ source, external_id }))),
      ...links.map(({ source, external_id }) => ({ source, external_id })),
    ],
    organizations: [...new Set([...ours('org'), ...links.map(({ org }) => org)])],
    contracts: [...ids],
    plans: [...new Set(ours('plan'))],
    flags: [...new Set(ours('flag'))],
  })
  const rows = (await Promise.all([...ids].map((id) => known.contractRows(id)))).flat()
  await known.state.prefetch(
    othersOf(rows, { organizations: ours('org'), plans: ours('plan'), flags: ours('flag') }),
  )
}

const sourceOf = (part: CanonicalEvent): string => ('source' in part ? part.source : '')

/** What the rows name besides. */
function othersOf(
  rows: readonly ContractRow[],
  { organizations, plans, flags }: { organizations: string[]; plans: string[]; flags: string[] },
) {
  const others = (all: readonly (string | null)[], known: readonly string[]) =>
    [...new Set(all)].filter((one): one is string => one !== null && !known.includes(one))
  return {
    organizations: others(
      rows.map(({ org }) => org),
      organizations,
    ),
    plans: others(
      rows.map(({ plan }) => plan),
      plans,
    ),
    flags: others(
      rows.flatMap(({ add }) => add),
      flags,
    ),
  }
}
