/**
 * The effective diff of a command, which can take a second for a rule. It is reused after a lost race if the faster commit
 * concerned other single organizations or users only, so that a kill gets through any stream of contracts. Does I/O.
 */
import { gt } from 'drizzle-orm'
import { ok, type Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { RuleRow } from '../db/rows.ts'
import { audit } from '../db/schema.ts'
import { type Evaluation, evaluateEdits } from '../effects/evaluate.ts'
import { contentOf, type Edit, filingOf } from '../entities/edit.ts'
import type { Facts } from './command.ts'

/** An effective diff, and the audit row whose state it was computed on. */
export interface Diff extends Evaluation {
  readonly base: number
}

export class DiffCache {
  readonly #db: Database
  #kept: { readonly edits: readonly Edit[]; readonly diff: Diff } | undefined

  constructor(db: Database) {
    this.#db = db
  }

  /** @param checked - the rules among the edits that must not contradict a contract */
  async diffOf(
    edits: readonly Edit[],
    { head, policies, now }: Facts,
    checked: readonly RuleRow[],
  ): Promise<Result<Diff, 'flags_exclusive'>> {
    // Exclusions and contradictions can depend on changes of other organizations.
    const dependsOnOthers = checked.length > 0 || policies.some(({ exclusive }) => exclusive.length > 0)
    if (this.#kept && !dependsOnOthers && (await this.#stillHolds(edits))) return ok(this.#kept.diff)
    const evaluated = await evaluateEdits(this.#db, edits, { policies, now, checked })
    if (!evaluated.ok) return evaluated
    const diff = { ...evaluated.value, base: head }
    this.#kept = { edits, diff }
    return ok(diff)
  }

  /** Whether the edits are still the same, and all later rows concern other single organizations or users. */
  async #stillHolds(edits: readonly Edit[]): Promise<boolean> {
    const kept = this.#kept
    if (!kept || contentsOf(kept.edits) !== contentsOf(edits)) return false
    const subjects = new Set(edits.map(filingOf).map(({ org, user }) => org ?? user))
    const since = await this.#db
      .select({ org: audit.org, user: audit.user })
      .from(audit)
      .where(gt(audit.seq, kept.diff.base))
    return since.every(({ org, user }) => (org !== null || user !== null) && !subjects.has(org ?? user))
  }
}

const contentsOf = (edits: readonly Edit[]): string =>
  edits
    .map(({ table, before, after }) => [contentOf(table, before), contentOf(table, after)].join())
    .join('\n')
