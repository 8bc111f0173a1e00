/**
 * An effective diff as it is returned and stored: counted in full, with ids up to a limit, and hashed in full, so that two
 * digests are equal only if all subjects are. Pure but for WebCrypto.
 */

import { canonical, sha256Hex } from '../canonical.ts'
import type { FlagEffect, Subjects } from './diff.ts'

/** Limits for the ids on each side and for the changes listed, so that audit rows stay readable and far below 2 MB. */
const MAX_NAMED = 50
const MAX_CHANGES = 200

export interface SubjectsSummary {
  readonly organizations: { readonly count: number; readonly ids: readonly string[] }
  readonly users: { readonly count: number; readonly ids: readonly string[] }
}

export interface EffectSummary {
  readonly changes: readonly {
    readonly environment: string
    readonly flag: string
    readonly at: string | null
    readonly gained: SubjectsSummary
    readonly lost: SubjectsSummary
  }[]
  /** How many further changes are not listed. */
  readonly omitted?: number
  /** SHA-256 over the canonical JSON of the whole diff, hex. */
  readonly digest: string
  /**
   * The audit row whose state it was computed on. Between it and the row that stores the diff there are only changes to
   * other single organizations or users. `null` if nothing had to be computed.
   */
  readonly base: number | null
}

/** The digest is that of `[]`. */
export const NO_EFFECT: EffectSummary = {
  changes: [],
  base: null,
  digest: '4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945',
}

export async function summarize(effects: readonly FlagEffect[], base: number): Promise<EffectSummary> {
  if (effects.length === 0) return NO_EFFECT
  return {
    base,
    ...(effects.length > MAX_CHANGES && { omitted: effects.length - MAX_CHANGES }),
    changes: effects.slice(0, MAX_CHANGES).map(({ gained, lost, ...change }) => ({
      ...change,
      gained: named(gained),
      lost: named(lost),
    })),
    digest: await sha256Hex(canonical(effects)),
  }
}

const named = ({ organizations, users }: Subjects): SubjectsSummary => ({
  organizations: { count: organizations.length, ids: organizations.slice(0, MAX_NAMED) },
  users: { count: users.length, ids: users.slice(0, MAX_NAMED) },
})
