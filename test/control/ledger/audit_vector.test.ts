/** The published vector of the audit chain: other implementations check themselves by it, so it never changes. */
import { expect, test } from 'vitest'
import vector from '../../../docs/audit-vector.json?raw'
import { canonical, sha256Hex } from '../../../src/control/canonical.ts'
import { type AuditEntry, GENESIS, hashEntry, verifyChain } from '../../../src/control/ledger/audit_chain.ts'
import database from '../../fixtures/upgrade/database.sql?raw'

const { rows } = JSON.parse(vector) as { rows: { row: AuditEntry; hashed: string }[] }
const [before, after] = rows.map(({ row }) => row) as [AuditEntry, AuditEntry]

test('a row of before a column was added and one of after verify as one chain', async () => {
  expect('on_behalf_of' in before).toBe(false)
  expect(after.on_behalf_of).toBe('user:ada')
  const head = { seq: 2, hash: after.hash }
  expect(await verifyChain([before, after], { seq: 0, hash: GENESIS })).toEqual({ intact: true, head })
  // As a database has it after the upgrade.
  expect(await hashEntry({ ...before, on_behalf_of: null })).toBe(before.hash)
})

test('the row of before is one that an earlier version wrote', () => {
  expect(database).toContain(`'${before.hash}'`)
})

test.each(rows.map(({ row, hashed }) => [row.seq, row, hashed] as const))(
  'of row %i, the hash is the SHA-256 of the text',
  async (_, row, hashed) => {
    expect(await sha256Hex(hashed)).toBe(row.hash)
    expect(canonical(JSON.parse(hashed))).toBe(hashed)
  },
)

test.each(['actor', 'reason', 'on_behalf_of', 'ticket'] as const)('another %s is found', async (member) => {
  const altered = { ...after, [member]: 'user:eve' }
  expect(await verifyChain([altered], { seq: 1, hash: before.hash })).toMatchObject({ problem: 'altered' })
})
