/** What events are about: the entity that puts them in order, and everything that they will ask for. Pure. */
import type { CanonicalEvent, External } from '../model/events.ts'
import type { SourceName } from '../model/source.ts'
import { externalsOf } from './project.ts'

/** What an event is about, for the order and for people: the most telling of its parts. */
export function aboutOf(events: readonly CanonicalEvent[]): {
  entity: string | null
  revision: number | null
} {
  const [first = { entity: null, revision: null }] = events.flatMap((event) => {
    const entity = entityOf(event)
    return entity === undefined ? [] : [{ entity, revision: 'revision' in event ? event.revision : null }]
  })
  return first
}

export function entityOf(event: CanonicalEvent): string | undefined {
  switch (event.type) {
    case 'contract.snapshot':
    case 'contract.delta':
    case 'entitlements.snapshot':
      return `contract:${event.contract}`
    case 'org.upserted':
    case 'org.deleted':
      return `${event.source}:org:${nameOf(event.org)}`
    case 'flag.targets':
    case 'flag.deleted':
      return `${event.source}:flag:${event.environment}:${event.external_id}`
    case 'session.revoked':
      return `session:${event.sid}`
    case 'org.linked':
    case 'ignored':
      return undefined
  }
}

export const nameOf = ({ candidates, ours }: External): string => candidates[0] ?? ours ?? ''

/** Everything that the events will ask for, so that it is read at once. */
export function prefetchOf(source: SourceName, events: readonly CanonicalEvent[]) {
  const names = events.flatMap((event) => externalsOf(event))
  const oursOf = (wanted: External['kind']) =>
    names.flatMap(({ kind, ours }) => (kind === wanted && ours !== undefined ? [ours] : []))
  const linked = events.flatMap((event) => (event.type === 'org.linked' ? [event] : []))
  return {
    mappings: [
      ...names.flatMap(({ candidates }) => candidates.map((external_id) => ({ source, external_id }))),
      ...linked.map(({ external_id }) => ({ source, external_id })),
    ],
    organizations: [
      ...names.filter(({ kind }) => kind === 'org').flatMap(({ ours }) => (ours === undefined ? [] : [ours])),
      ...linked.map(({ org }) => org),
    ],
    contracts: events.flatMap((event) => ('contract' in event ? [event.contract] : [])),
    plans: oursOf('plan'),
    flags: oursOf('flag'),
  }
}
