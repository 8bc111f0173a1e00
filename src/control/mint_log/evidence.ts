/**
 * The audit rows that put a flag into a token, or kept it out, and the change requests behind them. `needsOf` is pure;
 * `readEvidence` reads all of a token's rows in one statement.
 */
import { sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { AuditRow, ChangeRequestRow } from '../db/rows.ts'
import type { Approval } from '../db/schema.ts'
import { type Candidate, planHolds } from '../effects/candidates.ts'
import type { EvaluationCase, Explained } from '../effects/explain.ts'
import type { Versions } from '../effects/minted.ts'

/** An audit row to find, up to the version that the token names. */
export interface Need {
  readonly flag: string
  readonly entity: string
  readonly upTo: number
  /** `first` made the row, `last` is how the token found it, `added` is the last that put the flag into the plan. */
  readonly pick: 'first' | 'last' | 'added'
}

export interface Evidence
  extends Pick<
    AuditRow,
    'seq' | 'at' | 'action' | 'entity' | 'environment' | 'actor' | 'api_key' | 'reason' | 'ticket'
  > {
  readonly change: ChangeEvidence | null
}

export interface ChangeEvidence
  extends Pick<
    ChangeRequestRow,
    'id' | 'state' | 'kind' | 'author' | 'ticket' | 'reason' | 'reviewed_by' | 'applied_at'
  > {
  readonly approvals: readonly Pick<Approval, 'actor' | 'at'>[]
}

export function needsOf(
  explained: Explained,
  { catalog, recorded }: EvaluationCase,
  environment: string,
  versions: Versions,
): Need[] {
  const { flag, reason, decider, lost } = explained
  const last = (entity: string, upTo: number): Need => ({ flag, entity, upTo, pick: 'last' })
  const rule = last(`rule:${environment}:${flag}`, versions.catalog)
  switch (reason) {
    case 'killed':
    case 'rule_none':
    case 'rule_all':
    case 'rollout':
      return [rule]
    case 'default':
      return [rule, ...lost.flatMap((candidate) => recordedNeeds(candidate))]
    default:
      return decider ? recordedNeeds(decider) : []
  }

  function recordedNeeds({ id, reason: through, subject }: Candidate): Need[] {
    if (id === null) return []
    if (through !== 'contract') {
      const grant = last(`grant:${id}`, subject === 'user' ? versions.user : versions.org)
      return [{ ...grant, pick: 'first' }, grant]
    }
    const plan = recorded.contracts.find((contract) => contract.id === id)?.plan ?? null
    const contract = last(`contract:${id}`, versions.org)
    if (plan === null || !planHolds(catalog, plan, flag)) return [contract]
    return [{ ...last(`plan:${plan}`, versions.catalog), pick: 'added' }, contract]
  }
}

/** For a flag that the catalog did not contain: its last change. */
export const needsOfUnknown = (flag: string, versions: Versions): Need[] => [
  { flag, entity: `flag:${flag}`, upTo: versions.catalog, pick: 'last' },
]

type Found = Omit<Evidence, 'change'> & {
  readonly flag: string
  readonly change_id: string | null
  readonly state: ChangeRequestRow['state']
  readonly kind: ChangeRequestRow['kind']
  readonly author: string
  readonly change_reason: string
  readonly change_ticket: string | null
  readonly approvals: string
  readonly reviewed_by: string | null
  readonly applied_at: string | null
}

/** The rows of each flag, earliest first. */
export async function readEvidence(db: Database, needs: readonly Need[]): Promise<Map<string, Evidence[]>> {
  const json = JSON.stringify(needs)
  const holds = (row: 'before' | 'after') =>
    sql`EXISTS (SELECT 1 FROM json_each(coalesce(a.${sql.identifier(row)}, '{}'), '$.flags')
                WHERE value = need.value ->> 'flag')`
  const found = await db.all<Found>(
    sql`SELECT DISTINCT need.value ->> 'flag' AS flag, audit.seq, audit.at, audit.action, audit.entity,
          audit.environment, audit.actor, audit.api_key, audit.reason, audit.ticket, c.id AS change_id, c.state,
          c.kind, c.author, c.reason AS change_reason, c.ticket AS change_ticket, c.approvals, c.reviewed_by,
          c.applied_at
        FROM json_each(${json}) AS need
        JOIN audit ON audit.seq = (CASE need.value ->> 'pick'
          WHEN 'first' THEN (SELECT min(a.seq) FROM audit a WHERE a.entity = need.value ->> 'entity')
          WHEN 'last' THEN (SELECT max(a.seq) FROM audit a
            WHERE a.entity = need.value ->> 'entity' AND a.seq <= need.value ->> 'upTo')
          ELSE (SELECT a.seq FROM audit a
            WHERE a.entity = need.value ->> 'entity' AND a.seq <= need.value ->> 'upTo'
              AND ${holds('after')} AND NOT ${holds('before')} ORDER BY a.seq DESC LIMIT 1) END)
        LEFT JOIN change_requests c ON c.id = audit.change
        ORDER BY audit.seq`,
  )
  return Map.groupBy(found.map(toEvidence), ({ flag }) => flag) as Map<string, Evidence[]>
}

function toEvidence(row: Found): Evidence & { flag: string } {
  const { seq, at, action, entity, environment, actor, api_key, reason, ticket, flag } = row
  const approvals = row.change_id === null ? [] : (JSON.parse(row.approvals) as Approval[])
  return {
    seq,
    at,
    action,
    entity,
    environment,
    actor,
    api_key,
    reason,
    ticket,
    flag,
    change:
      row.change_id === null
        ? null
        : {
            id: row.change_id,
            state: row.state,
            kind: row.kind,
            author: row.author,
            ticket: row.change_ticket,
            reason: row.change_reason,
            approvals: approvals.map(({ actor, at }) => ({ actor, at })),
            reviewed_by: row.reviewed_by,
            applied_at: row.applied_at,
          },
  }
}
