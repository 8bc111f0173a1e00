/**
 * Why a token held its flags: they are evaluated again from the versions that it names, and each gets its reason, down to the
 * audit rows and the people behind them. Does I/O, a constant number of statements.
 */

import type { Database } from '../db/client.ts'
import type { MintRow } from '../db/rows.ts'
import { explainDecision, fundingOf } from '../effects/explain.ts'
import { type Differences, differencesOf, evaluateMint, mintSubject, versionsOf } from '../effects/minted.ts'
import { readSubject } from '../ledger/history.ts'
import { type Evidence, type Need, needsOf, needsOfUnknown, readEvidence } from './evidence.ts'

type Funding = ReturnType<typeof fundingOf>

export interface FlagTrace extends Funding {
  readonly flag: string
  /** Whether the token held it. */
  readonly held: boolean
  /** Whether evaluation gives it. */
  readonly on: boolean
  readonly reason: string
  readonly evidence: readonly Evidence[]
  /** How many audit rows the caller may not see. */
  readonly withheld: number
}

export interface Trace {
  readonly agrees: boolean
  readonly differences: Differences
  readonly why: readonly FlagTrace[]
}

export interface TraceOptions {
  /** Only this flag, held or not. */
  readonly flag: string | undefined
  /** The environments whose audit rows may be shown; `null`: all, and those that concern every environment. */
  readonly environments: readonly string[] | null
}

export async function traceMint(
  db: Database,
  mint: MintRow,
  { flag, environments }: TraceOptions,
): Promise<Trace> {
  const versions = versionsOf(mint.ver)
  const rows = await readSubject(db, { ...mintSubject(mint), moment: { versions } })
  const evaluated = evaluateMint(rows, mint)
  const differences = differencesOf(evaluated, mint.flags)
  const decisions = new Map(evaluated.decisions.map((decision) => [decision.flag, decision]))
  const held = new Set(mint.flags)
  const asked = flag === undefined ? [...mint.flags, ...differences.missing].sort() : [flag]

  const needs: Need[] = []
  const explained = asked.map((key) => {
    const decision = decisions.get(key)
    const seen = { flag: key, held: held.has(key) }
    if (!decision) {
      needs.push(...needsOfUnknown(key, versions))
      const reason = versions.catalog === 0 ? 'degraded' : 'not_in_catalog'
      return { ...seen, on: false, reason, funded_by: null, ends_at: null }
    }
    const one = explainDecision(decision, evaluated.case, evaluated.at)
    needs.push(...needsOf(one, evaluated.case, mint.environment, versions))
    // Without the documents only the rule could decide.
    const reason = mint.src === 'degraded' && one.reason === 'default' ? 'degraded' : one.reason
    return { ...seen, on: one.on, reason, ...fundingOf(one) }
  })

  const evidence = await readEvidence(db, needs)
  const mayShow = ({ environment }: Evidence) =>
    environments === null || (environment !== null && environments.includes(environment))
  return {
    agrees: differences.extra.length === 0 && differences.missing.length === 0,
    differences,
    why: explained.map((one) => {
      const all = evidence.get(one.flag) ?? []
      const shown = all.filter(mayShow)
      return { ...one, evidence: shown, withheld: all.length - shown.length }
    }),
  }
}
