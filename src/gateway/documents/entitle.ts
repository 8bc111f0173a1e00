/**
 * From documents to the flags of a token, with the name of the fallback that was used. Pure.
 *
 * `fresh`, `stale`, `degraded`: least privilege, never a lock-out.
 */
import type { FeatureFlagsMeta, SubjectIds } from '../../core/claims.ts'
import { type Decision, evaluate, evaluateForToken } from '../../core/evaluate.ts'
import type { Documents } from './store.ts'

export interface Entitlements {
  /** Sorted and unique. */
  readonly flags: readonly string[]
  /** The reason for each flag of the catalog; empty if not everything could be read. */
  readonly decisions: readonly Decision[]
  /** Epoch seconds at which a window that holds one of the flags on ends, later than now; `null` when none ends. */
  readonly until: number | null
  readonly meta: FeatureFlagsMeta
}

/** @param now - epoch milliseconds */
export function entitle(
  documents: Documents,
  ids: SubjectIds,
  environment: string,
  now: number,
): Entitlements {
  const { org, user } = documents
  const catalog = documents.catalog?.document
  const readings = [documents.catalog, org, user].filter((reading) => reading !== undefined)
  const readAt = Math.min(now, ...readings.map((reading) => reading.readAt))
  const versions = [catalog?.version ?? 0, org?.document?.version ?? 0]
  if (user?.document) versions.push(user.document.version)
  const meta = { env: environment, ver: versions.join('.'), as_of: Math.floor(readAt / 1000) }

  if (!catalog) return { flags: [], decisions: [], until: null, meta: { ...meta, src: 'degraded' } }
  if (ids.unreadable || (ids.orgId !== undefined && !org) || (ids.userId !== undefined && !user)) {
    // Without documents, the subject has what everybody has, and no more.
    const { flags } = evaluate(catalog, {}, now)
    return { flags, decisions: [], until: null, meta: { ...meta, src: 'degraded' } }
  }
  const subject = { ...ids, org: org?.document, user: user?.document }
  const { flags, decisions, until } = evaluateForToken(catalog, subject, now)
  const stale = readings.some((reading) => reading.stale)
  const ends = until === null ? null : toSeconds(until)
  return { flags, decisions, until: ends, meta: { ...meta, src: stale ? 'stale' : 'fresh' } }
}

const toSeconds = (milliseconds: number): number => Math.floor(milliseconds / 1000)
