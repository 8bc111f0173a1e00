/**
 * The kinds of drift with their severity and meaning; a finding; and the commands that repair one. Pure.
 *
 * `docs/drift.md` explains each kind with an example. A finding's id consists of its kind and subject, so that the same
 * finding is the same row. Its evidence does not contain the time of the check, so that the row does not change.
 */
import type { ContractRow, FindingRow } from '../db/rows.ts'

export type Severity = FindingRow['severity']

/** Worst first. */
export const SEVERITIES = ['over_grant', 'under_grant', 'metadata'] as const satisfies readonly Severity[]

interface Meaning {
  /** The severity of most of its findings; single ones can differ. */
  readonly severity: Severity
  readonly explanation: string
}

export const KINDS = {
  granted_without_contract: {
    severity: 'over_grant',
    explanation:
      'An entitlement is on for organizations whose contracts do not hold it, by a grant that never ends or by a rule that gives a sold flag away.',
  },
  contract_without_access: {
    severity: 'under_grant',
    explanation:
      'A contract in force holds a published flag, and it is off: killed, its rule says none, or it is denied.',
  },
  expired_contract_granting: {
    severity: 'over_grant',
    explanation:
      'A contract that no longer holds is published as one that does; or its status still says that it does, after its end.',
  },
  override_ended_or_unticketed: {
    severity: 'metadata',
    explanation: 'A grant by hand has ended and is published as open; or one that is open names no ticket.',
  },
  environments_differ: {
    severity: 'metadata',
    explanation: 'The rule of an entitlement differs between one environment and the next.',
  },
  promoted_rule_moved: {
    severity: 'metadata',
    explanation: 'A rule was promoted, and the one that it came from is another by now.',
  },
  plan_contract_mismatch: {
    severity: 'under_grant',
    explanation:
      'A contract in force names a plan that is not there or an add-on that is no published flag; or a plan holds a draft.',
  },
  kv_out_of_step: {
    severity: 'over_grant',
    explanation: 'A published document is not what the database says, a minute after it should be.',
  },
  minted_claim_disagrees: {
    severity: 'over_grant',
    explanation:
      'A token held other flags than evaluation gives for the documents and the instant that it names.',
  },
  retired_flag_granted: {
    severity: 'metadata',
    explanation: 'A grant, a plan, an add-on or a published catalog still has a flag that is retired.',
  },
  contract_maps_otherwise: {
    severity: 'over_grant',
    explanation:
      'A mapping was corrected after a contract was derived with it, and the contract was not moved: the mappings of now make something else of it.',
  },
  event_quarantined: {
    severity: 'under_grant',
    explanation:
      'Events of a source are in quarantine: what they take away is applied, what they give is not, until somebody looks.',
  },
  owner_gone: {
    severity: 'metadata',
    explanation: 'The owner of a flag is not known any more.',
  },
} as const satisfies Record<string, Meaning>

export type Kind = keyof typeof KINDS

export const KIND_NAMES = Object.keys(KINDS) as [Kind, ...Kind[]]

export interface Finding {
  readonly id: string
  readonly kind: Kind
  readonly severity: Severity
  readonly environment: string | null
  readonly org: string | null
  readonly flag: string | null
  /** Ids, values and instants. */
  readonly evidence: Readonly<Record<string, unknown>>
  readonly repair: string
}

export interface About {
  readonly severity?: Severity
  readonly environment?: string
  readonly org?: string
  readonly flag?: string
  /** What else distinguishes this finding from others of its kind. */
  readonly detail?: readonly string[]
  readonly evidence: Readonly<Record<string, unknown>>
  readonly repair: string
}

export function finding(kind: Kind, about: About): Finding {
  const { severity = KINDS[kind].severity, environment, org, flag, detail = [], evidence, repair } = about
  const parts = [environment, org, flag, ...detail].filter((part) => part !== undefined)
  return {
    id: [kind, ...parts.map(encodeURIComponent)].join(':'),
    kind,
    severity,
    evidence,
    repair,
    environment: environment ?? null,
    org: org ?? null,
    flag: flag ?? null,
  }
}

/** A call of the API: method, path, the revision for `If-Match` if one is required, and the body. */
export function call(
  method: 'POST' | 'PUT' | 'PATCH',
  path: readonly string[],
  kind: Kind,
  body: Readonly<Record<string, unknown>> = {},
  revision?: number,
): string {
  const url = ['/api/v1', ...path.map(encodeURIComponent)].join('/')
  const match = revision === undefined ? '' : ` If-Match: "${revision}"`
  return `${method} ${url}${match} ${JSON.stringify({ ...body, reason: `drift: ${kind}` })}`
}

export const revokeCall = (grant: string, kind: Kind): string =>
  call('POST', ['grants', grant, 'revoke'], kind)

/** Puts a contract with changed members, under the revision after the latest. */
export function contractCall(contract: ContractRow, change: Partial<ContractRow>, kind: Kind): string {
  const { id, org, updated_at: _, revision, ...content } = contract
  return call('PUT', ['orgs', org, 'contracts', id], kind, { ...content, ...change, revision: revision + 1 })
}

export const rebuildCommand = (environment: string): string =>
  `npm run rebuild -- --environment ${environment}`
