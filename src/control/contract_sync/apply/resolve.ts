/** Resolves the names of an event: by a mapping first, else the name itself if it exists here. Does I/O. */
import type { MappingRow } from '../../db/rows.ts'
import type { Resolve } from '../contracts/projection.ts'
import type { External } from '../events.ts'
import type { Known } from '../known.ts'

type Kind = MappingRow['kind']

/** Looks all of them up, and returns a pure function. @param source - whose mappings apply */
export async function resolver(source: string, names: readonly External[], known: Known): Promise<Resolve> {
  const mapped = new Map<string, string>()
  const own = new Set<string>()
  for (const { kind: of, candidates, ours } of names) {
    for (const kind of of === 'price' ? (['plan', 'flag'] as const) : [of]) {
      for (const name of candidates) {
        const mapping = await known.mapping(source, kind, name)
        if (mapping?.target) mapped.set(`${kind} ${name}`, mapping.target)
      }
      if (ours !== undefined && (await exists(kind, ours, known))) own.add(`${kind} ${ours}`)
    }
  }
  return ({ candidates, ours, invalid }, kind) => {
    for (const name of candidates) {
      const target = mapped.get(`${kind} ${name}`)
      if (target !== undefined) return target
    }
    return invalid === undefined && own.has(`${kind} ${ours}`) ? ours : undefined
  }
}

async function exists(kind: Kind, name: string, known: Known): Promise<boolean> {
  switch (kind) {
    case 'plan':
      return (await known.plan(name)) !== undefined
    case 'flag':
      return (await known.flag(name)) !== undefined
    case 'org':
      return (await known.organization(name)) !== undefined
  }
}
