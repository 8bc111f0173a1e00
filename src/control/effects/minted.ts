/**
 * Compares a minted token with what it should have held: its entitlements, evaluated by the gateway's own rules from the
 * rows of the versions that it names. Pure.
 */
import { documentId } from '../../core/claims.ts'
import { type Decision, evaluate, evaluateForToken } from '../../core/evaluate.ts'
import type { MintRow } from '../db/rows.ts'
import { caseOf, type EvaluationCase, type SubjectRows } from './explain.ts'

/** What the mint log says about a token, as far as its flags depend on it. */
export type MintFacts = Pick<MintRow, 'environment' | 'org' | 'sub' | 'flags' | 'ver' | 'src' | 'minted_at'>

/** Versions of documents, each the `seq` of the last command that touched it; 0: there was no document. */
export interface Versions {
  readonly catalog: number
  readonly org: number
  readonly user: number
}

/** `87.12` or `87.12.9`: `feature_flags_meta.ver`. */
export const VERSIONS = /^\d{1,15}\.\d{1,15}(\.\d{1,15})?$/

/** @param ver - in the form of `VERSIONS`; anything else has no versions */
export function versionsOf(ver: string): Versions {
  const [catalog = 0, org = 0, user = 0] = VERSIONS.test(ver) ? ver.split('.').map(Number) : []
  return { catalog, org, user }
}

/** The subject of a token, as documents name it. */
export const mintSubject = ({ environment, org, sub }: Pick<MintFacts, 'environment' | 'org' | 'sub'>) => ({
  environment,
  orgId: documentId(org),
  userId: documentId(sub),
})

export interface MintEvaluation {
  readonly case: EvaluationCase
  /** Epoch milliseconds. */
  readonly at: number
  readonly decisions: readonly Decision[]
  readonly flags: readonly string[]
}

export interface Differences {
  /** In the token, but not by evaluation. Sorted. */
  readonly extra: readonly string[]
  /** By evaluation, but not in the token. Sorted. */
  readonly missing: readonly string[]
}

/** @param rows - the past rows about the token's subject, of the versions that it names */
export function evaluateMint(rows: SubjectRows, mint: MintFacts): MintEvaluation {
  const versions = versionsOf(mint.ver)
  const now = Date.parse(mint.minted_at)
  if (mint.src === 'degraded') {
    // An anonymous subject has what everybody has; without a catalog that is nothing.
    const nobody = { environment: mint.environment, orgId: undefined, userId: undefined }
    const made = caseOf(rows, nobody, { org: false, user: false })
    if (versions.catalog === 0) return { case: made, at: now, decisions: [], flags: [] }
    return { case: made, at: now, ...evaluate(made.catalog, {}, now) }
  }
  const made = caseOf(rows, mintSubject(mint), { org: versions.org > 0, user: versions.user > 0 })
  return { case: made, ...evaluateForToken(made.catalog, made.subject, now) }
}

export function differencesOf(
  evaluated: Pick<MintEvaluation, 'flags'>,
  minted: readonly string[],
): Differences {
  const [due, held] = [new Set(evaluated.flags), new Set(minted)]
  return {
    extra: [...held].filter((flag) => !due.has(flag)).sort(),
    missing: [...due].filter((flag) => !held.has(flag)).sort(),
  }
}

/** Whether a token held exactly what it should have. */
export const compareMint = (rows: SubjectRows, mint: MintFacts): Differences =>
  differencesOf(evaluateMint(rows, mint), mint.flags)
