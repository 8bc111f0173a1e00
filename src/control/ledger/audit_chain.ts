/**
 * The chain of the audit log: every row is hashed with its predecessor's hash, SHA-256 over the canonical JSON of the
 * row (RFC 8785). Pure but for WebCrypto; the offline tool verifies with this same module.
 *
 * To change, remove or insert a row, one must rewrite all that follow, which an earlier export reveals.
 */
import { canonical, sha256Hex } from '../canonical.ts'
import type { AuditRow } from '../db/rows.ts'

/** The predecessor's hash of the first row. */
export const GENESIS = '0'.repeat(64)

/** A row as it is hashed, returned and exported: with values where D1 stores their JSON. */
export type AuditEntry = Omit<AuditRow, 'before' | 'after' | 'effect'> & {
  readonly before: unknown
  readonly after: unknown
  readonly effect: unknown
}

export const toEntry = (row: AuditRow): AuditEntry => ({
  ...row,
  before: row.before === null ? null : JSON.parse(row.before),
  after: row.after === null ? null : JSON.parse(row.after),
  effect: JSON.parse(row.effect),
})

export const toRow = (entry: AuditEntry): AuditRow => ({
  ...entry,
  before: entry.before === null ? null : canonical(entry.before),
  after: entry.after === null ? null : canonical(entry.after),
  effect: canonical(entry.effect),
})

/** Columns that are later than the first rows: where they are empty, a row is hashed without them, as it was before. */
const LATER = ['change', 'on_behalf_of'] as const

/** The hash of a row: over all its members except the hash itself, `prev` included. */
export function hashEntry({
  hash: _,
  ...entry
}: Omit<AuditEntry, 'hash'> & { hash?: string }): Promise<string> {
  const hashed: Record<string, unknown> = { ...entry }
  for (const column of LATER) if ((entry[column] ?? null) === null) delete hashed[column]
  return sha256Hex(canonical(hashed))
}

export interface Head {
  readonly seq: number
  readonly hash: string
}

export type ChainVerdict =
  | { readonly intact: true; readonly head: Head }
  | { readonly intact: false; readonly seq: number; readonly problem: 'gap' | 'broken_link' | 'altered' }

/** Checks that the entries, in order, continue the chain from `head`. */
export async function verifyChain(entries: Iterable<AuditEntry>, head: Head): Promise<ChainVerdict> {
  let { seq, hash } = head
  for (const entry of entries) {
    if (entry.seq !== seq + 1) return { intact: false, seq: seq + 1, problem: 'gap' }
    if (entry.prev !== hash) return { intact: false, seq: entry.seq, problem: 'broken_link' }
    if ((await hashEntry(entry)) !== entry.hash) return { intact: false, seq: entry.seq, problem: 'altered' }
    ;({ seq, hash } = entry)
  }
  return { intact: true, head: { seq, hash } }
}
