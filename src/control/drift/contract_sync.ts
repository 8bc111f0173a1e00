/** Drift between what sources said and what was made of it: events that nobody has looked at, and corrected mappings. Pure. */
import { call, type Finding, finding } from './kinds.ts'

/** Events in quarantine, by their source. */
export interface Quarantine {
  readonly sources: readonly {
    readonly source: string
    readonly count: number
    readonly oldest_at: string
    readonly oldest_event: string
    readonly problems: Readonly<Record<string, number>>
  }[]
}

/** One finding a source, so that a flood of events is not a flood of findings. */
export const quarantineFindings = ({ sources }: Quarantine): Finding[] =>
  sources.map(({ source, oldest_at, oldest_event, problems }) =>
    finding('event_quarantined', {
      detail: [source],
      evidence: { source, oldest_at, oldest_event, problems },
      repair: `GET /api/v1/inbox?state=quarantined&source=${source}`,
    }),
  )

/** A contract that is not what the mappings of now make of it. */
export interface Misderived {
  readonly contract: string
  readonly org: string
  readonly changes: readonly string[]
}

export const misderivedFindings = (contracts: readonly Misderived[]): Finding[] =>
  contracts.map(({ contract, org, changes }) =>
    finding('contract_maps_otherwise', {
      org,
      detail: ['contract', contract],
      evidence: { contract, changes },
      repair: call('POST', ['contracts', contract, 'derive'], 'contract_maps_otherwise'),
    }),
  )
