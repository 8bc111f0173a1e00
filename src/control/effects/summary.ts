/**
 * An effective diff as it is answered and kept: counted in full, named up to a bound, and hashed in full, so that two
 * diffs are the same only if every single subject is. Pure but for WebCrypto.
 */

import { canonical, sha256Hex } from '../canonical.ts'
import type { FlagEffect, Subjects } from './diff.ts'

/** Ids named on each side of a flag's change, and changes told; an audit row stays readable, and far under D1's 2 MB a row. */
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
  /** How many more changes there are than are told. */
  readonly omitted?: number
  /** SHA-256 over the canonical JSON of the whole diff, hex. */
  readonly digest: string
  /**
   * The audit row on whose state it was computed. Between that one and the row that keeps the diff there are only changes
   * to other single organizations or users. `null` where nothing had to be computed.
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
